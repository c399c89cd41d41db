"""A recipe may choose how a model is trained, and no code, file or place of its author."""

import pytest
import yaml

from preceptor.schemas.errors import RecipeError, TrainingError
from preceptor.training.config import read_config
from preceptor.training.keys import list_keys
from preceptor.training.launch import build_launch_command
from preceptor.training.stages.registry import STAGES
from preceptor.training.trainer.permissions import MAPPINGS

pytest.importorskip("trl")

# Keys whose values are no numbers, truths or enumerations: why a stranger's value does no harm. One that TRL adds
# is to be judged before it is added here.
WORDS = """attn_implementation bnb_4bit_quant_storage bnb_4bit_quant_type dataloader_multiprocessing_context
ddp_backend debug dtype eval_strategy f_divergence_type fsdp hub_strategy include_for_metrics
include_num_input_tokens_seen liger_kernel_config log_level log_level_replica logging_strategy lora_task_type
loss_type loss_weights lr_scheduler_type metric_for_best_model optim optim_args packing_strategy
pad_to_multiple_of parallelism_config report_to save_strategy torch_compile_backend torch_compile_mode
train_sampling_strategy truncation_mode"""  # one of some words, which TRL, accelerate and torch look up
NAMES = """dataset_config dataset_test_split dataset_text_field dataset_train_split eos_token label_names
length_column_name lora_modules_to_save lora_target_modules lora_target_parameters optim_target_modules
pad_token project run_name"""  # of columns, layers, tokens and runs
DATA = "chat_template_path dataset_name model_name_or_path model_revision output_dir"  # read as data, or written to
UNSENT = "hub_model_id hub_revision"  # nothing is pushed
REFUSED = """hub_token resume_from_checkpoint trackio_bucket_id trackio_space_id trackio_static_space_id"""
NUMBERS = {"int", "float", "bool", "None"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_key_that_holds_texts_was_judged(stage):
    judged = {name for names in (WORDS, NAMES, DATA, UNSENT, REFUSED) for name in names.split()} | {*MAPPINGS}
    texts = {name for name, key in list_keys(stage).items() if not set(key.type.split(" | ")) <= NUMBERS}
    assert texts - judged == set()


GOOD = {"model_name_or_path": "m", "dataset_name": "d"}
HOSTILE = {
    "code": (
        {"model_init_kwargs": {"trust_remote_code": True}},
        "give --trust-remote-code|--trust-remote-code",
    ),
    "code, as JSON": (
        {"model_init_kwargs": '{"trust_remote_code": true}'},
        "trust_remote_code: could run code",
    ),
    "code of another commit": ({"model_init_kwargs": {"code_revision": "x"}}, "code_revision: could run"),
    "kernels": ({"model_init_kwargs": {"use_kernels": True}}, "use_kernels: could run"),
    "all kernels": ({"model_init_kwargs": {"allow_all_kernels": True}}, "allow_all_kernels: could"),
    "pickles": ({"model_init_kwargs": {"weights_only": False}}, "weights_only: could run"),
    "no safetensors": ({"model_init_kwargs": {"use_safetensors": False}}, "use_safetensors: could"),
    "a proxy": ({"model_init_kwargs": {"proxies": {"https": "http://x"}}}, "proxies: could"),
    "a token": ({"model_init_kwargs": {"token": "hf_x"}}, "token: could"),
    "another config": ({"model_init_kwargs": {"config": "x/y"}}, "config: could"),
    "quantisation": ({"model_init_kwargs": {"quantization_config": {}}}, "quantization_config: could"),
    "a kernel": ({"attn_implementation": "someone/kernel"}, "is code of a repository"),
    "a paged kernel": ({"attn_implementation": "paged|someone/kernel"}, "is code of a repository"),
    "a kernel inside": ({"model_init_kwargs": {"attn_implementation": "a/b"}}, "is code of a repository"),
    "a kernel of a part": (
        {"model_init_kwargs": {"attn_implementation": {"text_config": "a/b@main:f"}}},
        "is code of a repository",
    ),
    "DeepSpeed's file": ({"deepspeed": "ds.json"}, "may not name a file"),
    "DeepSpeed, packed": ({"deepspeed": "eyJ3YW5kYiI6IHt9fQ=="}, "may not name a file"),
    "DeepSpeed's figures": ({"deepspeed": {"wandb": {"enabled": True}}}, "wandb: could"),
    "DeepSpeed's tuning": ({"deepspeed": {"autotuning": {"enabled": True}}}, "autotuning: could"),
    "DeepSpeed's folder": (
        {"deepspeed": {"zero_optimization": {"offload_param": {"nvme_path": "/etc"}}}},
        "nvme_path: a recipe may not name a folder",
    ),
    "FSDP's file": ({"fsdp_config": "fsdp.json"}, "may not name a file"),
    "accelerate's file": ({"accelerator_config": "/etc/a.json"}, "may not name a file"),
    "a Space": ({"trackio_space_id": "them/space"}, "--set trackio_space_id=them/space"),
    "a bucket": ({"trackio_bucket_id": "them/bucket"}, "--set trackio_bucket_id"),
    "a checkpoint": ({"resume_from_checkpoint": "theirs"}, "goes on when its command is given again"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_value_is_refused_at_the_top_and_in_a_variant(tmp_path, kind):
    values, expected = HOSTILE[kind]
    path = tmp_path / "r.yaml"
    for content in (values, {"variants": {"tiny": values}}):
        path.write_text(yaml.safe_dump(GOOD | {"stage": "dpo"} | content))
        with pytest.raises(RecipeError, match=expected) as refused:
            read_config(path)
        assert "r.yaml" in str(refused.value)
        if "kernel" in kind and "s" not in kind.split()[-1]:
            read_config(path, trusting_code=True)


@pytest.mark.parametrize(
    "one",
    ["trackio_space_id=me/space", "deepspeed=mine.json", "fsdp_config=mine.json", "attn_implementation=a/b"],
)
def test_files_and_places_may_be_given_with_the_command(tmp_path, one):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(GOOD | {"stage": "sft"}))
    name, _, value = one.partition("=")
    assert read_config(path, [one]).values[name] == value


def test_harmless_values_are_taken(tmp_path):
    path = tmp_path / "r.yaml"
    values = {
        "attn_implementation": "sdpa",
        "deepspeed": {"train_batch_size": "auto", "zero_optimization": {"stage": 3}},
        "fsdp_config": {"fsdp_version": 2},
        "model_init_kwargs": {"device_map": None, "attn_implementation": "eager"},
        "report_to": "trackio",
        "trust_remote_code": False,
    }
    path.write_text(yaml.safe_dump(GOOD | {"stage": "sft"} | values))
    assert read_config(path).values.items() >= values.items()
    assert read_config(path, trusting_code=True).values["trust_remote_code"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("compute_environment: AMAZON_SAGEMAKER", "only LOCAL_MACHINE"),
        ("commands: [touch ran]", "commands: could run code"),
        ("command_file: theirs.sh", "command_file: could run code"),
        ("tpu_use_sudo: true", "tpu_use_sudo: could"),
        ("mpirun_config: {mpirun_hostfile: hosts}", "mpirun_config: could"),
        ("deepspeed_config: {deepspeed_hostfile: hosts}", "names a file or a program of its own"),
        ("deepspeed_config: {deepspeed_config_file: ds.json}", "--launch-set deepspeed_config_file"),
        ("- a", "expected keys and values"),
        ("a: [", "not YAML"),
    ],
)
def test_a_file_of_accelerate_runs_nothing_else(tmp_path, content, expected):
    path = tmp_path / "launch.yaml"
    path.write_text(content)
    with pytest.raises(TrainingError, match=expected):
        build_launch_command(str(path), 2, [], [])
