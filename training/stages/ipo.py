"""Identity preference optimisation (Azar et al. 2024): DPO's trainer with the loss ipo."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import dpo


def _find_fault(values: Mapping[str, Any]) -> str | None:
    losses = dpo.list_losses(values)
    if losses not in (None, ["ipo"]):
        return f"'loss_type': stage ipo has the loss ipo, not {losses}; leave it out (--set loss_type=)"
    return None


STAGE = replace(dpo.STAGE, name="ipo", settles={"loss_type": ["ipo"]}, find_fault=_find_fault)
