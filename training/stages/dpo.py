"""Direct preference optimisation (Rafailov et al. 2023) on pairs of a chosen and a rejected completion.

{"prompt": "Correct: He go.", "chosen": "He goes.", "rejected": "He going."}
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .figures import ACCURACY_CURVE, ACCURACY_WORDS, ALWAYS, LOSS_CURVE, SIDES, SIDES_CARD, SIDES_CURVE
from .stage import Stage, StageFigures, find_unknown, refuse_reference_sync

LOSSES = (
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
)
DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
# Losses that only the divergence reverse_kl is defined for.
_REVERSE_ONLY = {"nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down"}
_SMOOTHED = {"robust", "exo_pair", "aot", "aot_unpaired"}  # losses for which TRL follows label_smoothing


def list_losses(values: Mapping[str, Any]) -> list[str] | None:
    """List the losses that a recipe names; None if it names none."""
    losses = values.get("loss_type")
    return [losses] if isinstance(losses, str) else losses


def _find_fault(values: Mapping[str, Any]) -> str | None:
    losses = list_losses(values) or ["sigmoid"]
    divergence = values.get("f_divergence_type") or "reverse_kl"
    if fault := find_unknown("loss_type", losses, LOSSES):
        return fault
    if fault := find_unknown("f_divergence_type", [divergence], DIVERGENCES):
        return fault
    if divergence != "reverse_kl" and (odd := sorted(_REVERSE_ONLY & set(losses))):
        return f"'f_divergence_type': the loss {', '.join(odd)} goes with reverse_kl alone: leave it out"
    if "exo_pair" in losses and not values.get("label_smoothing"):
        return "'loss_type': exo_pair needs a label_smoothing above 0, such as 0.001"
    if values.get("label_smoothing") and not _SMOOTHED & set(losses):
        return (
            f"'label_smoothing': TRL ignores it for the loss {', '.join(losses)}; for conservative DPO "
            "take stage: soft-dpo with dataset_config: preference, for robust DPO loss_type: robust"
        )
    return None


def refuse_arguments(arguments: Any, model: Any) -> Iterator[str]:
    """Refuse what DPOTrainer raises for, some of it at the first step."""
    yield from refuse_reference_sync(arguments, model)
    if arguments.use_weighting and {"aot", "aot_unpaired"} & set(arguments.loss_type):
        yield "use_weighting does not go with the losses aot and aot_unpaired: take it out"
    if arguments.train_sampling_strategy == "group_by_length":
        yield "train_sampling_strategy: group_by_length needs rows of one sequence, not pairs: take it out"


STAGE = Stage(
    "dpo",
    trainer="trl.trainer.dpo_trainer:DPOTrainer",
    config="trl.trainer.dpo_config:DPOConfig",
    dataset_config="preference",
    columns=("prompt", "chosen", "rejected"),
    figures=StageFigures(
        (*ALWAYS, *SIDES, "rewards/margins", "rewards/accuracies", "mean_token_accuracy"),
        ACCURACY_WORDS,
        (LOSS_CURVE, ACCURACY_CURVE, SIDES_CURVE),
        SIDES_CARD,
    ),
    hints={"p": "stage: soft-dpo trains on p"},
    reserved=frozenset({"ref_chosen_logps", "ref_rejected_logps"}),
    honours=frozenset({"truncation_mode"}),
    find_fault=_find_fault,
    refuse_arguments=refuse_arguments,
)
