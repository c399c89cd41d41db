"""Values and packages that the trainer would raise for are refused before weights are loaded."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from templated import templated_dataset, templated_model

from preceptor.schemas.errors import PreceptorError, RecipeError, TrainingError
from preceptor.training.config import read_config
from preceptor.training.run import check_rows, train
from preceptor.training.stages import dpo, kto, sft

pytest.importorskip("trl")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `data` and `base`, the model to start from."""
    import datasets

    top = tmp_path_factory.mktemp("values")
    templated_dataset(top / "data")
    templated_model(top / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(top / "cache"))
        yield top


def recipe(place, stage, sets=(), **values):
    content = {
        "model_name_or_path": str(place / "base"),
        "dataset_name": str(place / "data"),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "save_strategy": "no",
        "report_to": "none",
        "max_length": 128,
        "stage": stage,
    }
    path = place / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | values))
    return read_config(path, sets)


def refusal(place, stage, values, sets=()):
    """What a recipe is refused for: by the reader, by the configs of TRL, or by preflight."""
    try:
        return "; ".join(defect.text for defect in check_rows(recipe(place, stage, sets, **values)).refusals)
    except (RecipeError, TrainingError) as error:
        return str(error)


LORA = {"use_peft": True}
# Stage, values, and what preflight says of them; without the package it names, where one is named.
REFUSED = {
    "unknown loss": ("dpo", {"loss_type": "simpo"}, "'loss_type': the trainer knows no 'simpo'"),
    "unknown loss among known": ("dpo", {"loss_type": ["sigmoid", "sftt"]}, "did you mean 'sft'"),
    "unknown loss of sft": ("sft", {"loss_type": "nl"}, "it knows: nll"),
    "unknown loss of kto": ("kto", {"loss_type": "bco"}, "it knows: kto, apo_zero_unpaired"),
    "unknown divergence": ("dpo", {"f_divergence_type": "kl"}, "reverse_kl"),
    "divergence of another loss": (
        "dpo",
        {"f_divergence_type": "forward_kl", "loss_type": "apo_zero"},
        "goes with reverse_kl alone",
    ),
    "exo_pair": ("dpo", {"loss_type": "exo_pair"}, "needs a label_smoothing"),
    "weights of losses": ("dpo", {"loss_weights": [1.0, 1.0]}, "same length"),
    "weighting": ("dpo", {"use_weighting": True, "loss_type": "aot"}, "use_weighting does not go with"),
    "soft labels weighted": ("soft-dpo", {"use_weighting": True}, "soft labels go without it"),
    "soft labels, divergence": ("soft-dpo", {"f_divergence_type": "forward_kl"}, "reverse_kl alone"),
    "reference that follows": ("dpo", {"sync_ref_model": True, **LORA}, "sync_ref_model does not go with"),
    "reference that follows, kto": ("kto", {"sync_ref_model": True, **LORA}, "sync_ref_model does not"),
    "grouped by length": ("dpo", {"train_sampling_strategy": "group_by_length"}, "group_by_length needs"),
    "order of kto": ("kto", {"train_sampling_strategy": "random"}, "sequential alone"),
    "padding-free": ("sft", {"padding_free": True}, "max_length: null"),
    "fused loss of Liger": (
        "dpo",
        {"liger_kernel_config": {"fused_linear_cross_entropy": True}},
        "refuse fused_linear_cross_entropy",
    ),
    "fsdp alone": ("sft", {"fsdp": "full_shard"}, "--launch fsdp"),
    "Liger": ("sft", {"use_liger_kernel": True}, "--set use_liger_kernel=false", "liger_kernel"),
    "4 bits": ("sft", {"load_in_4bit": True, **LORA}, "--set load_in_4bit=false", "bitsandbytes"),
    "8 bits": ("sft", {"load_in_8bit": True, **LORA}, "--set load_in_8bit=false", "bitsandbytes"),
    "optimizer in 8 bits": ("sft", {"optim": "adamw_bnb_8bit"}, "--set optim=adamw_torch", "bitsandbytes"),
    "paged optimizer": ("sft", {"optim": "paged_adamw_32bit"}, "--set optim=", "bitsandbytes"),
    "galore": ("sft", {"optim": "galore_adamw"}, "--set optim=adamw_torch", "galore_torch"),
    "schedule-free": ("sft", {"optim": "schedule_free_adamw"}, "--set optim=", "schedulefree"),
    "unknown optimizer": ("sft", {"optim": "adamx"}, "--set KEY=VALUE"),
    "flash attention": (
        "sft",
        {"attn_implementation": "flash_attention_2"},
        "--set attn_implementation=sdpa",
        "flash_attn",
    ),
    "kernel of the Hub": (
        "sft",
        {"attn_implementation": "kernels-community/flash-attn2"},
        "take sdpa, or give --trust-remote-code",
        "kernels",
    ),
    "unknown attention": ("sft", {"attn_implementation": "fast"}, "--set attn_implementation=sdpa"),
    **{
        name: ("sft", {"report_to": name}, "--set report_to=none", package)
        for name, package in {
            "wandb": "wandb",
            "trackio": "trackio",
            "mlflow": "mlflow",
            "comet_ml": "comet_ml",
            "clearml": "clearml",
            "swanlab": "swanlab",
        }.items()
    },
    "unknown report": ("sft", {"report_to": "wandbb"}, "--set report_to=none"),
    "DeepSpeed": ("sft", {"deepspeed": {"train_batch_size": "auto"}}, "deepspeed", "deepspeed"),
    "schedule": (
        "sft",
        {"lr_scheduler_type": "warmup_stable_decay"},
        "lr_scheduler_type, lr_scheduler_kwargs",
    ),
    "unknown schedule": ("sft", {"lr_scheduler_type": "cosin"}, "--set KEY=VALUE"),
    "unknown strategy": ("sft", {"save_strategy": "never"}, "--set KEY=VALUE"),
    "task of LoRA": ("sft", {"lora_task_type": "CAUSAL", **LORA}, "use_peft and lora_"),
    "LoRA on the head": ("dpo", {"lora_target_modules": ["lm_head"], **LORA}, "lora_modules_to_save"),
    "no such layer": ("dpo", {"lora_target_modules": ["q_prj"], **LORA}, "did you mean q_proj"),
    "no such layer by a pattern": ("dpo", {"lora_target_modules": [".*q_prj"], **LORA}, "no linear layer"),
    "no such layer to save": (
        "dpo",
        {"lora_modules_to_save": ["embed_token"], **LORA},
        "did you mean embed_tokens",
    ),
}


@pytest.mark.parametrize("of", REFUSED)
def test_what_the_trainer_would_raise_for_is_refused_and_leaves_nothing(place, tmp_path, monkeypatch, of):
    monkeypatch.chdir(tmp_path)
    stage, values, said, *package = REFUSED[of]
    if package and importlib.util.find_spec(package[0]):
        pytest.skip(f"{package[0]} is installed")
    told = refusal(place, stage, values)
    assert said in told
    if remedy := re.search(r"--set (\w+=(?!VALUE)[^\s;,)]+)", told):
        assert remedy[0] not in refusal(place, stage, values, [remedy[1]])
    with pytest.raises(PreceptorError):
        train(recipe(place, stage, **values), tmp_path / "deep" / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_remedy_on_the_command_line_makes_the_run_pass(place):
    for values, remedy in (
        ({"report_to": "trackio"}, "report_to=none"),
        ({"use_liger_kernel": True}, "use_liger_kernel=false"),
        ({"optim": "galore_adamw"}, "optim=adamw_torch"),
        ({"attn_implementation": "flash_attention_3"}, "attn_implementation=sdpa"),
        ({"padding_free": True}, "max_length=null"),
        ({"loss_type": "simpo"}, "loss_type=nll"),
    ):
        assert remedy.partition("=")[0] in refusal(place, "sft", values)
        assert not check_rows(recipe(place, "sft", [remedy], **values)).refusals


def test_whatever_else_the_libraries_raise_is_a_message_and_leaves_nothing(place, tmp_path, monkeypatch):
    from trl import SFTTrainer

    def refuse(*arguments, **rest):
        raise KeyError("of a library")

    for name, said in (("__init__", "the trainer cannot be made: KeyError"), ("train", "stopped at step 0")):
        with monkeypatch.context() as patch:
            patch.setattr(SFTTrainer, name, refuse)
            with pytest.raises(PreceptorError, match=said):
                train(recipe(place, "sft"), tmp_path / "deep" / "model")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("targets", "layers"), [(["q_proj"], 2), ([r".*(q|k)_proj"], 4), (["q_proj", "v_proj"], 4)]
)
def test_one_name_alone_is_read_as_several_are(place, tmp_path, targets, layers):
    config = recipe(place, "sft", lora_target_modules=targets, lora_r=4, **LORA)
    report = check_rows(config)
    assert not report.refusals
    from safetensors import safe_open

    train(config, tmp_path / "m")
    with safe_open(tmp_path / "m" / "adapter_model.safetensors", "pt") as held:
        shapes = {name: held.get_slice(name).get_shape() for name in held.keys()}  # noqa: SIM118
    assert len(shapes) == 2 * layers
    assert report.size.trainable == sum(a * b for a, b in shapes.values())


def test_the_losses_are_those_that_the_installed_trainers_compute():
    """Read from the source of TRL: the texts that its trainers compare the loss's name with."""

    def compared(module):
        tree = ast.parse(Path(importlib.util.find_spec(f"trl.trainer.{module}").origin).read_text())
        found = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and "loss_type" in ast.unparse(node.left):
                found |= {
                    c.value
                    for part in node.comparators
                    for c in ast.walk(part)
                    if isinstance(c, ast.Constant)
                }
        return found

    assert compared("dpo_trainer") - {1} == set(dpo.LOSSES)
    assert compared("kto_trainer") == set(kto.LOSSES)
    assert compared("sft_trainer") | {"chunked_nll"} == set(sft.LOSSES)
