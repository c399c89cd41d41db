"""What a training recipe, or a file of accelerate's, may not ask for: code, files and places of its author.

A recipe that a stranger hands over may choose how a model is trained, and nothing besides.

model_init_kwargs: {trust_remote_code: true}, attn_implementation: someone/kernel, deepspeed: theirs.json
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

LOADING = (
    "attn_implementation",
    "device_map",
    "dtype",
    "local_files_only",
    "low_cpu_mem_usage",
    "max_memory",
    "revision",
    "subfolder",
    "tie_word_embeddings",
    "use_cache",
    "variant",
)
"""What model_init_kwargs may hold; others could run code, read pickles, or name files and proxies."""
DEEPSPEED = (
    "activation_checkpointing",
    "bf16",
    "communication_data_type",
    "fp16",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "optimizer",
    "prescale_gradients",
    "scheduler",
    "steps_per_print",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "wall_clock_breakdown",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "zero_optimization",
)
"""What deepspeed may hold; others could write files and send figures to hosts of their choice."""
MAPPINGS = (
    "accelerator_config",
    "activation_checkpointing_kwargs",
    "dataset_kwargs",
    "deepspeed",
    "fsdp_config",
    "gradient_checkpointing_kwargs",
    "lr_scheduler_kwargs",
    "model_init_kwargs",
)
"""Keys of names and values, which TRL would also take as the name of a file."""
FILES = ("accelerator_config", "deepspeed", "fsdp_config")
"""Those of MAPPINGS that the trainer reads a file for."""
PLACES = ("trackio_bucket_id", "trackio_space_id", "trackio_static_space_id")
"""Keys that name a place on the Hub that the run's figures are sent to."""
LAUNCHING = {
    "compute_environment",
    "debug",
    "deepspeed_config",
    "distributed_type",
    "downcast_bf16",
    "dynamo_config",
    "enable_cpu_affinity",
    "fp8_config",
    "fsdp_config",
    "gpu_ids",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
    "main_training_function",
    "megatron_lm_config",
    "mixed_precision",
    "num_machines",
    "num_processes",
    "parallelism_config",
    "rdzv_backend",
    "same_network",
    "use_cpu",
}
"""Keys of accelerate's files that say how processes share the work."""
_RUNNING = ("deepspeed_config_file", "deepspeed_hostfile", "deepspeed_multinode_launcher")


def find_unsafe(name: str, value: Any, by_hand: bool, trusting_code: bool) -> str | None:
    """Find why a recipe may not have this value for a key; None if it may.

    `by_hand`: the value was given with the command, by --set, where files and places may be named.
    """
    if name in MAPPINGS and isinstance(value, str):
        return _find_file(name, value, by_hand, trusting_code)
    found = None
    if name == "model_init_kwargs" and isinstance(value, Mapping):
        found = _find_other("a model is loaded by", value, LOADING) or _find_kernel(value, trusting_code)
    elif by_hand:
        return None
    elif name == "attn_implementation":
        found = _find_kernel({name: value}, trusting_code)
    elif name == "deepspeed" and isinstance(value, Mapping):
        found = _find_other("DeepSpeed is set by", value, DEEPSPEED) or _find_path(value)
    elif name in PLACES and value:
        found = (
            "the run's figures would go to a place that the recipe names: leave it out, or give it with the "
            f"command (--set {name}={value}) if the place is yours"
        )
    return found


def _find_file(name: str, value: str, by_hand: bool, trusting_code: bool) -> str | None:
    """Find why a recipe may not have a text for names and values: JSON, or the name of a file."""
    if value.lstrip().startswith("{"):
        try:
            return find_unsafe(name, dict(json.loads(value)), by_hand, trusting_code)
        except ValueError:
            return "should be names and values"
    if by_hand and name != "model_init_kwargs":
        return None
    how = f", or give it with the command (--set {name}=FILE) if you have read the file"
    return (
        "a recipe may not name a file here: write its names and values into the recipe"
        f"{how if name in FILES else ''}"
    )


def find_unsafe_launch(content: Mapping[str, Any]) -> str | None:
    """Find why a file of accelerate's may not be launched; None if it may."""
    if content.get("compute_environment", "LOCAL_MACHINE") != "LOCAL_MACHINE":
        return "compute_environment: only LOCAL_MACHINE is launched from here"
    if fault := _find_other("processes are launched by", content, LAUNCHING):
        return fault
    inside = content.get("deepspeed_config")
    named = [name for name in _RUNNING if isinstance(inside, Mapping) and inside.get(name)]
    if named:
        return (
            f"deepspeed_config: {named[0]} names a file or a program of its own: leave it out, or give it "
            f"with the command (--launch-set {named[0]}=…) if it is yours"
        )
    return None


def _find_other(what: str, given: Mapping[str, Any], known: Any) -> str | None:
    """Find names that are not among those known to be harmless."""
    other = sorted(str(name) for name in given if name not in known)
    if not other:
        return None
    hint = ", and --trust-remote-code with the command" if "trust_remote_code" in other else ""
    return (
        f"{', '.join(other)}: could run code, or use files and hosts that its author chose: leave it "
        f"out{hint} ({what} {', '.join(sorted(known))})"
    )


def _find_kernel(given: Mapping[str, Any], trusting_code: bool) -> str | None:
    """Find attention that is compiled code of a repository (org/kernel), which is fetched and run."""
    for text in _list_texts(given.get("attn_implementation")):
        if "/" in text and not trusting_code:
            return (
                f"attn_implementation {text} is code of a repository, which would run on this machine: take "
                "sdpa, or give --trust-remote-code with the command if you trust it"
            )
    return None


def _find_path(given: Mapping[str, Any]) -> str | None:
    """Find a file or folder that a value of DeepSpeed's names, such as nvme_path."""
    for name, value in given.items():
        if isinstance(value, Mapping) and (found := _find_path(value)):
            return found
        if isinstance(value, str) and str(name).endswith(("_path", "_file", "_dir")):
            return f"{name}: a recipe may not name a folder to write to: leave it out"
    return None


def _list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _list_texts(one)
    elif isinstance(value, str):
        yield value
