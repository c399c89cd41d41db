"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): completions with a label, good or not.

{"prompt": "Correct: He go.", "completion": "He going.", "label": false}; a pair becomes two such rows
"""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from .figures import ALWAYS, LOSS_CURVE, LOSS_WORDS, SIDES, SIDES_CARD, SIDES_CURVE
from .settings import PreflightSettings
from .stage import Stage, StageFigures, UsedColumns, find_unknown, refuse_reference_sync

LOSSES = ("kto", "apo_zero_unpaired")


def _use_columns(have: Set[str], _settings: PreflightSettings) -> UsedColumns:
    if {"chosen", "rejected"} <= have:
        return UsedColumns("prompt", ("chosen", "rejected"))
    return UsedColumns("prompt", ("completion",), ("label",))


def _refuse_settings(settings: PreflightSettings) -> Iterator[str]:
    kl = settings.loss_type not in ("apo_zero_unpaired", ("apo_zero_unpaired",))
    if kl and settings.per_device_train_batch_size < 2:
        yield "KTO compares the rows of a batch: set per_device_train_batch_size to 2 or more"


def _find_fault(values: Mapping[str, Any]) -> str | None:
    return find_unknown("loss_type", [values.get("loss_type") or "kto"], LOSSES)


def _refuse_arguments(arguments: Any, model: Any) -> Iterator[str]:
    yield from refuse_reference_sync(arguments, model)
    if arguments.loss_type == "kto" and arguments.train_sampling_strategy != "sequential":
        yield "the loss kto goes with train_sampling_strategy: sequential alone: take the other out"


STAGE = Stage(
    "kto",
    trainer="trl.trainer.kto_trainer:KTOTrainer",
    config="trl.trainer.kto_config:KTOConfig",
    dataset_config="unpaired",
    columns=("prompt", "completion", "label"),
    figures=StageFigures(
        (*ALWAYS, *SIDES, "rewards/margins", "kl"),
        LOSS_WORDS,
        (LOSS_CURVE, SIDES_CURVE),
        SIDES_CARD,
    ),
    own=("label",),
    label="label",
    reserved=frozenset({"ref_logps", "ref_KL_logps"}),
    sequences=1,
    find_fault=_find_fault,
    refuse_arguments=_refuse_arguments,
    refuse_settings=_refuse_settings,
    use_columns=_use_columns,
)
