"""Read what a fit is made from: `fuse` and `influence` must see the same, or kept draws would not fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ...store.connection import Store
from ..observations import Observations, encode
from .copies import drop_copies
from .signals import read_signals


@dataclass(frozen=True)
class FitInput:
    """The signals of a store, those of them that a fit uses, and these as arrays."""

    signals: dict[str, pl.DataFrame]
    used: dict[str, pl.DataFrame]
    obs: Observations  # without texts


def read_input(con: Store, sources: Sequence[str], unjudged: bool) -> FitInput:
    """Read the input of a fit of `sources`; `unjudged` and errors as in `read_signals` and `encode`."""
    signals = read_signals(con, sources, unjudged)
    used = drop_copies(signals)
    return FitInput(signals, used, encode(used))
