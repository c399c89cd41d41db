"""Estimate figures with bootstrap intervals: a metric counts in every prompt, a figure is made of the sums.

    share = Statistics(rows=np.array([[1, 1], [0, 1]]), figure=lambda sums: sums[:, 0] / sums[:, 1])
    estimate(share, groups=["a", "b"], seed=0)      # FigureEstimate(value=0.5, low=nan, high=nan, n=2)

The counts of prompts are summed before a figure is computed, so that figures of a whole corpus (GLEU, F0.5)
get intervals like shares: groups of prompts are resampled with replacement. Two models are compared on the
same resamples, prompt by prompt. Fewer than FEW groups get no interval, because it would be too narrow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.9
FEW = 5  # groups; fewer all fall on one side by chance in 2 of 2^4 cases, which is more than 1 - LEVEL
_TOGETHER = 50  # draws summed at once

Counts = NDArray[np.float64]
Rows = Counts | NDArray[np.float32]  # float32 for many columns of whole numbers below 2^24


@dataclass(frozen=True)
class Item:
    """A held-out prompt with its references."""

    key: str
    """Digest of the prompt, the same in every build."""
    group: str
    """Prompts of one group (a dialogue, a sentence) are not independent; they are resampled together."""
    messages: tuple[Mapping[str, str], ...]
    source: str
    """The last message without the dataset's instruction: the answer of the baseline `copy`."""
    references: tuple[str, ...]
    rejected: tuple[str, ...] = ()
    """As many as references, paired with them by position; empty if the dataset has no pairs."""
    language: str = "und"
    """BCP 47 tag from the dataset's manifest; und if it names none."""


@dataclass(frozen=True)
class Statistics:
    """Counts of every item, shape (items, k), and a function from their sums, shape (draws, k), to a figure.

    The function returns shape (draws,); NaN if the figure is undefined (division by zero).
    """

    rows: Rows
    figure: Callable[[Counts], Counts]
    n: int | None = None
    """Items that count, if not all of them do; the others have rows of zeros."""


@dataclass(frozen=True)
class FigureEstimate:
    """A figure of n items with its bootstrap interval at LEVEL; NaN if undefined."""

    value: float
    low: float
    high: float
    n: int


Figures = dict[str, Statistics]
"""Statistics by name of figure: {"gleu": Statistics(…)}."""
MISSING, TOO_LONG = "missing", "too_long"
UNCOUNTED = {MISSING: "the judge gave no answer of use", TOO_LONG: "longer than the model takes"}
"""Endings of figures that say which share of a metric's input does not count, and why: rated_missing."""


def make_share(hits: Sequence[float]) -> Statistics:
    """Make the mean of one number for each item, such as 1 for a right answer."""
    rows = np.stack([np.asarray(hits, dtype=float), np.ones(len(hits))], axis=1)
    return Statistics(rows, divide_sums)


def divide_sums(sums: Counts) -> Counts:
    """Divide the first sum by the second, shape (draws, 2) to (draws,); NaN if the second is 0."""
    over = np.where(sums[:, 1] > 0, sums[:, 1], np.nan)
    made: Counts = sums[:, 0] / over
    return made


def estimate(statistics: Statistics, groups: Sequence[str], seed: int) -> FigureEstimate:
    """Estimate the figure of all items and its interval.

    `groups`: the group of each item, in order. `seed`: of the resampling.
    """
    drawn = statistics.figure(_sums(statistics.rows, groups, seed))
    return _estimate(_value(statistics), drawn, groups, statistics.n)


def estimate_difference(
    one: Statistics, other: Statistics, groups: Sequence[str], seed: int
) -> FigureEstimate:
    """Estimate the figure of one model minus that of another on the same items, and its interval."""
    drawn = one.figure(_sums(one.rows, groups, seed)) - other.figure(_sums(other.rows, groups, seed))
    return _estimate(_value(one) - _value(other), drawn, groups, one.n)


def _value(statistics: Statistics) -> float:
    return float(statistics.figure(statistics.rows.sum(axis=0, dtype=float, keepdims=True))[0])


def _estimate(value: float, drawn: Counts, groups: Sequence[str], n: int | None) -> FigureEstimate:
    held = drawn[np.isfinite(drawn)]
    n = len(groups) if n is None else n
    if not held.size or len(set(groups)) < FEW:
        return FigureEstimate(value, float("nan"), float("nan"), n)
    low, high = np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return FigureEstimate(value, float(low), float(high), n)


def _sums(rows: Rows, groups: Sequence[str], seed: int) -> Counts:
    """Sum counts over groups resampled with replacement, shape (DRAWS, k); the same groups for a seed."""
    number, times = _draws(tuple(groups), seed)
    of_group = np.zeros((times.shape[1], rows.shape[1]))
    np.add.at(of_group, number, rows)
    some = (times[at : at + _TOGETHER] for at in range(0, DRAWS, _TOGETHER))
    return np.concatenate([one.astype(float) @ of_group for one in some])


@lru_cache(maxsize=1)  # all figures of an evaluation share it; 100 MB for 100,000 groups
def _draws(groups: tuple[str, ...], seed: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Draw groups: the index of each item's group, and times each draw has it, shape (DRAWS, groups)."""
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    n = int(number.max()) + 1
    rng = np.random.default_rng(seed)
    times = np.empty((DRAWS, n), np.uint8)  # the chance that a group is drawn 256 times is 1 in 10^506
    for draw in times:
        draw[:] = np.bincount(rng.integers(n, size=n), minlength=n)
    return number, times
