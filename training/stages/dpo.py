"""Direct preference optimisation (Rafailov et al. 2023) on pairs of a chosen and a rejected completion.

{"prompt": "Correct: He go.", "chosen": "He goes.", "rejected": "He going."}
"""

from collections.abc import Mapping
from typing import Any

from .figures import ACCURACY_CURVE, ACCURACY_WORDS, ALWAYS, LOSS_CURVE, SIDES, SIDES_CARD, SIDES_CURVE
from .stage import Stage, StageFigures

_SMOOTHED = {"robust", "exo_pair", "aot", "aot_unpaired"}  # losses for which TRL follows label_smoothing


def list_losses(values: Mapping[str, Any]) -> list[str] | None:
    """List the losses that a recipe names; None if it names none."""
    losses = values.get("loss_type")
    return [losses] if isinstance(losses, str) else losses


def _find_fault(values: Mapping[str, Any]) -> str | None:
    losses = list_losses(values) or ["sigmoid"]
    if values.get("label_smoothing") and not _SMOOTHED & set(losses):
        return (
            f"'label_smoothing': TRL ignores it for the loss {', '.join(losses)}; for conservative DPO "
            "take stage: soft-dpo with dataset_config: preference, for robust DPO loss_type: robust"
        )
    return None


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
)
