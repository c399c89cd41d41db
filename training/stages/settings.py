"""Read the settings of a run that decide which rows are used and how much memory it needs.

pick_settings({"max_length": 512, "learning_rate": 1e-5}) -> PreflightSettings(max_length=512)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

ALLOWABLE = ("dead_pairs", "empty_completions", "one_label")


@dataclass(frozen=True)
class PreflightSettings:
    """Settings that matter for rows and memory, under TRL's own names and with its defaults (1.16).

    Two are ours: `num_processes` (GPUs that share the batches; accelerate's name) and `allow`, the kinds of
    refusals that only warn, from `ALLOWABLE`. The config.json of `model_name_or_path` gives the memory
    estimate.
    """

    max_length: int | None = 1024
    truncation_mode: str = "keep_start"
    packing: bool = False
    packing_strategy: str = "bfd"
    eval_packing: bool | None = None
    completion_only_loss: bool | None = None
    assistant_only_loss: bool = False
    dataset_text_field: str = "text"
    chat_template_path: str | None = None
    pad_token: str | None = None
    eos_token: str | None = None
    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_train_epochs: float = 3.0
    max_steps: int = -1
    dataloader_drop_last: bool = False
    num_processes: int = 1
    loss_type: str | tuple[str, ...] | None = None
    precompute_ref_log_probs: bool = False
    gradient_checkpointing: bool = True
    bf16: bool = True
    fp16: bool = False
    optim: str = "adamw_torch_fused"
    model_name_or_path: str | None = None
    model_revision: str | None = None
    trust_remote_code: bool = False
    dtype: str = "float32"
    use_peft: bool = False
    lora_r: int = 16
    lora_target_modules: tuple[str, ...] | str | None = None
    lora_modules_to_save: tuple[str, ...] | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    use_bnb_nested_quant: bool = False
    allow: tuple[str, ...] = ()


def pick_settings(values: Mapping[str, Any]) -> PreflightSettings:
    """Pick the settings out of the keys of a trainer's config; other keys are ignored."""
    known = {field.name for field in fields(PreflightSettings)}
    if values.get("activation_checkpointing") is not None:  # the new name, which transformers goes by
        values = {**values, "gradient_checkpointing": values["activation_checkpointing"]}
    given: dict[str, Any] = {
        n: tuple(v) if isinstance(v, list) else v for n, v in values.items() if n in known
    }
    if isinstance(given.get("allow"), str):
        given["allow"] = (given["allow"],)
    return PreflightSettings(**given)


def choose_targets(targets: Sequence[str] | str | None) -> list[str] | str | None:
    """Choose how PEFT is to read the layers that get LoRA: names by their ends, or one pattern.

    TRL makes a pattern for whole names of every list of one, so that ["q_proj"] matches no layer; here a
    plain name alone is read as several are: ["q_proj"] -> ["q_proj"], [".*q_proj"] -> ".*q_proj".
    """
    if targets is None or isinstance(targets, str):
        return targets
    if len(targets) == 1 and not re.fullmatch(r"[\w.]+", targets[0]):
        return targets[0]
    return list(targets)
