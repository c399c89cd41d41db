"""DPO on pairs with p, the probability that the chosen side is the better one (trainer/soft_dpo.py).

{"prompt": "Correct: He go.", "chosen": "He goes.", "rejected": "He going.", "p": 0.8}
"""

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import dpo
from .settings import PreflightSettings
from .stage import UsedColumns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def _find_fault(values: Mapping[str, Any]) -> str | None:
    losses = dpo.list_losses(values)
    if (values.get("f_divergence_type") or "reverse_kl") != "reverse_kl":
        return "'f_divergence_type': soft labels go with reverse_kl alone: leave it out"
    if odd := [key for key in ("use_weighting", "ld_alpha") if values.get(key)]:
        return f"'{odd[0]}': soft labels go without it: leave it out (--set {odd[0]}=)"
    if not set(losses or ["sigmoid"]) <= {"sigmoid", "sft"}:
        return f"'loss_type': soft labels go with sigmoid, and sft beside it, not {losses}"
    return None


def _find_bad_rows(rows: Any) -> str | None:
    import pyarrow.compute as pc

    column = rows.data.column("p")
    inside = pc.and_(pc.greater_equal(column, 0.0), pc.less_equal(column, 1.0))
    if n := pc.sum(pc.invert(pc.fill_null(inside, False))).as_py():
        return f"{n} rows have no p from 0 to 1; a fit gives it (preceptor fuse), build again"
    return None


def _use_columns(_have: Set[str], _settings: PreflightSettings) -> UsedColumns:
    return UsedColumns("prompt", ("chosen", "rejected"), ("p",))


def _mark_rows(batch: "pa.Table") -> "dict[str, NDArray[np.bool_]]":
    p = batch["p"].to_numpy().astype(float)
    inside = (p >= 0) & (p <= 1)  # not so for NaN
    return {"p_range": ~inside, "p_below_half": inside & (p < 0.5)}


STAGE = replace(
    dpo.STAGE,
    name="soft-dpo",
    trainer="preceptor.training.trainer.soft_dpo:SoftDPOTrainer",
    dataset_config="soft",
    columns=("prompt", "chosen", "rejected", "p"),
    own=("p",),
    instead_of_own="dpo",
    hints={},
    find_fault=_find_fault,
    find_bad_rows=_find_bad_rows,
    use_columns=_use_columns,
    mark_rows=_mark_rows,
)
