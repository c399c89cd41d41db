"""Supervised fine-tuning: imitate completions, or whole texts and dialogues.

{"prompt": "Correct: He go.", "completion": "He goes."}; also {"messages": […]} or {"text": "…"}
"""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from .figures import ALWAYS, LOSS_CARD, LOSS_CURVE, LOSS_WORDS
from .settings import PreflightSettings
from .stage import Clash, Stage, StageFigures, UsedColumns, find_unknown

LOSSES = ("nll", "dft", "chunked_nll")


def _use_columns(have: Set[str], settings: PreflightSettings) -> UsedColumns:
    text = settings.dataset_text_field
    if "prompt" not in have and "completion" not in have and ("messages" in have or text in have):
        return UsedColumns(None, ("messages" if "messages" in have else text,))
    return UsedColumns("prompt", ("completion",))


def _find_clashes(
    used: UsedColumns, conversational: bool, others: Set[str], settings: PreflightSettings
) -> Iterator[Clash]:
    text = settings.dataset_text_field
    if not conversational and used.prompt and text in others:
        does = "TRL puts the end-of-text token there, and the completions are left without"
        yield Clash(frozenset({text}), does)
    if "conversations" in others:
        yield Clash(frozenset({"conversations"}), "TRL converts it and loses the others")


def _refuse_settings(settings: PreflightSettings) -> Iterator[str]:
    if settings.packing and settings.max_length is None:
        yield "packing needs a max_length: set one"


def _find_fault(values: Mapping[str, Any]) -> str | None:
    return find_unknown("loss_type", [values.get("loss_type") or "nll"], LOSSES)


def _refuse_arguments(arguments: Any, _model: Any) -> Iterator[str]:
    if arguments.padding_free and not arguments.packing and arguments.max_length is not None:
        yield "padding_free without packing does not keep to max_length: set packing, or max_length: null"
    kept = arguments.gradient_checkpointing_kwargs or {}
    if kept.get("selective") and not arguments.gradient_checkpointing:
        yield "gradient_checkpointing_kwargs: selective goes with gradient_checkpointing: set it to true"
    if kept.get("selective") and kept.get("use_reentrant"):
        yield "gradient_checkpointing_kwargs: selective does not go with use_reentrant: take one of them out"


STAGE = Stage(
    "sft",
    trainer="trl.trainer.sft_trainer:SFTTrainer",
    config="trl.trainer.sft_config:SFTConfig",
    dataset_config="sft",
    columns=("prompt", "completion"),
    figures=StageFigures((*ALWAYS, "mean_token_accuracy"), LOSS_WORDS, (LOSS_CURVE,), LOSS_CARD),
    reserved=frozenset({"input_ids", "labels", "seq_lengths", "assistant_masks", "completion_mask"}),
    reserved_effect="TRL takes it for its own and passes the texts by",
    honours=frozenset(
        {"packing", "assistant_only_loss", "completion_only_loss", "chat_template_path", "truncation_mode"}
    ),
    sequences=1,
    reference=False,
    drops_without_loss=True,
    find_fault=_find_fault,
    refuse_arguments=_refuse_arguments,
    refuse_settings=_refuse_settings,
    use_columns=_use_columns,
    find_clashes=_find_clashes,
)
