"""What an evaluation measures: a metric makes counts of every prompt, and figures are made of their sums.

    share = Statistics(rows=np.array([[1, 1], [0, 1]]), figure=lambda sums: sums[:, 0] / sums[:, 1])
    estimate(share, groups=["a", "b"], seed=0)      # Estimate(value=0.5, low=nan, high=nan, n=2)

Counts of a prompt are summed before a figure is made of them, so that figures of a whole (GLEU, F0.5) get
intervals as shares do: groups of prompts are drawn with replacement. Two models are compared on the same
draws, prompt by prompt. Fewer than FEW groups get no interval: of so few it would seem surer than it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.9
FEW = 5  # groups, of which all fall on one side by chance in 2 of 2^5 cases: no rarer than 1 - LEVEL if fewer
_TOGETHER = 50  # draws that are summed at once

Counts = NDArray[np.float64]
Rows = Counts | NDArray[np.float32]  # the latter where there are many, of whole numbers below 2^24


@dataclass(frozen=True)
class Item:
    """A held-out prompt and what is held right (or not) after it."""

    key: str
    """Of the prompt, the same in every build."""
    group: str
    """Prompts of one group (a dialogue, a sentence) are not independent, and are drawn together."""
    messages: tuple[Mapping[str, str], ...]
    source: str
    """What a copy would give back: the last message, without the dataset's instruction."""
    references: tuple[str, ...]
    rejected: tuple[str, ...] = ()
    """As many as references, each beside the one at its place; none where the dataset has no pairs."""
    language: str = "und"
    """BCP 47, as far as the dataset's manifest tells."""


@dataclass(frozen=True)
class Statistics:
    """Counts of every item, shape (items, k), and the figure that sums of them, shape (draws, k), give.

    A figure is nan where the sums cannot tell (nothing to divide by).
    """

    rows: Rows
    figure: Callable[[Counts], Counts]


@dataclass(frozen=True)
class Estimate:
    """A figure of n items, and the interval that holds LEVEL of the draws; nan where these tell nothing."""

    value: float
    low: float
    high: float
    n: int


# Figures by name of one model's answers, an answer for each item: {"gleu": Statistics(…)}. What a model
# writes may be anything: a metric counts it as wrong, and never raises for it.
Metric = Callable[[Sequence[Item], Sequence[str]], Mapping[str, Statistics]]


def share(hits: Sequence[float]) -> Statistics:
    """The mean of one number for each item, such as 1 where an answer is right."""
    rows = np.stack([np.asarray(hits, dtype=float), np.ones(len(hits))], axis=1)
    return Statistics(rows, ratio)


def ratio(sums: Counts) -> Counts:
    """The first sum over the second; nan where that is 0."""
    over = np.where(sums[:, 1] > 0, sums[:, 1], np.nan)
    made: Counts = sums[:, 0] / over
    return made


def estimate(statistics: Statistics, groups: Sequence[str], seed: int) -> Estimate:
    """The figure of all items, with its interval."""
    drawn = statistics.figure(_sums(statistics.rows, groups, seed))
    return _estimate(_value(statistics), drawn, groups)


def difference(one: Statistics, other: Statistics, groups: Sequence[str], seed: int) -> Estimate:
    """The figure of one model's answers less that of another's to the same items, with its interval."""
    drawn = one.figure(_sums(one.rows, groups, seed)) - other.figure(_sums(other.rows, groups, seed))
    return _estimate(_value(one) - _value(other), drawn, groups)


def _value(statistics: Statistics) -> float:
    return float(statistics.figure(statistics.rows.sum(axis=0, dtype=float, keepdims=True))[0])


def _estimate(value: float, drawn: Counts, groups: Sequence[str]) -> Estimate:
    held = drawn[np.isfinite(drawn)]
    if not held.size or len(set(groups)) < FEW:
        return Estimate(value, float("nan"), float("nan"), len(groups))
    low, high = np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), len(groups))


def _sums(rows: Rows, groups: Sequence[str], seed: int) -> Counts:
    """Sums of counts, shape (DRAWS, k), over groups drawn with replacement; the same groups for a seed."""
    number, times = _draws(tuple(groups), seed)
    of_group = np.zeros((times.shape[1], rows.shape[1]))
    np.add.at(of_group, number, rows)
    some = (times[at : at + _TOGETHER] for at in range(0, DRAWS, _TOGETHER))
    return np.concatenate([one.astype(float) @ of_group for one in some])


@lru_cache(maxsize=1)  # of all figures of an evaluation; 100 MB of 100,000 groups
def _draws(groups: tuple[str, ...], seed: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """The number of each item's group, and how often each draw has each group, shape (DRAWS, groups)."""
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    n = int(number.max()) + 1
    rng = np.random.default_rng(seed)
    times = np.empty((DRAWS, n), np.uint8)  # nothing is drawn 256 times: 1 in 10^506
    for draw in times:
        draw[:] = np.bincount(rng.integers(n, size=n), minlength=n)
    return number, times
