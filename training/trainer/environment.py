"""Environment variables that a training recipe may set.

Others could load a library, choose the programs that are run, or send data and keys elsewhere.
"""

ALLOWED = frozenset(
    {
        "ACCELERATE_MIXED_PRECISION",
        "CUDA_DEVICE_ORDER",
        "CUDA_VISIBLE_DEVICES",
        "HF_DATASETS_OFFLINE",
        "HF_HUB_DISABLE_PROGRESS_BARS",
        "HF_HUB_DISABLE_TELEMETRY",
        "HF_HUB_OFFLINE",
        "MKL_NUM_THREADS",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_TAGS",
        "NCCL_DEBUG",
        "NCCL_IB_DISABLE",
        "NCCL_P2P_DISABLE",
        "NCCL_SHM_DISABLE",
        "NCCL_SOCKET_IFNAME",
        "OMP_NUM_THREADS",
        "PYTORCH_ALLOC_CONF",
        "PYTORCH_CUDA_ALLOC_CONF",
        "TOKENIZERS_PARALLELISM",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING",
        "TORCH_NCCL_BLOCKING_WAIT",
        "TRANSFORMERS_OFFLINE",
        "TRANSFORMERS_VERBOSITY",
        "WANDB_DISABLED",
        "WANDB_MODE",
        "WANDB_NAME",
        "WANDB_NOTES",
        "WANDB_PROJECT",
        "WANDB_RUN_GROUP",
        "WANDB_TAGS",
    }
)
