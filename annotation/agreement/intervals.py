"""Intervals and tests that the measures of agreement share.

compute_share(95, 100): 0.95, between 0.887 and 0.984 (exact binomial, 95 %).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.95  # of every interval
RESAMPLES = 1000
_CELLS = 4_000_000  # numbers of a block of resamples, which bounds memory


@dataclass(frozen=True)
class IntervalEstimate:
    """A number with its 95 % interval; the interval is None if it is unknown."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Share:
    """`k` of `n`, as a share with its exact 95 % interval."""

    k: int
    n: int
    value: float
    low: float
    high: float


def compute_exact_interval(k: Ints, n: Ints) -> tuple[Floats, Floats]:
    """Compute exact binomial intervals of k of n: low, high; Clopper & Pearson, Biometrika 26 (1934) 404."""
    tail = (1 - LEVEL) / 2
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    low = np.where(k > 0, beta.ppf(tail, k, n - k + 1), 0.0)
    high = np.where(k < n, beta.ppf(1 - tail, k + 1, n - k), 1.0)
    return low, high


def compute_share(k: int, n: int) -> Share | None:
    """Compute the share k of n with its interval; None if n is 0."""
    if not n:
        return None
    low, high = compute_exact_interval(np.array([k]), np.array([n]))
    return Share(k, n, k / n, float(low[0]), float(high[0]))


def resample(counts: Ints, seed: int, resamples: int = RESAMPLES) -> Iterator[Floats]:
    """Draw bootstrap resamples of units: how often each kind is drawn, in blocks (resamples, kinds).

    Units are drawn with replacement, as many as there are. Units of one kind are alike, so that it is
    enough to draw how many of each kind there are: a million units cost no more than their few kinds.
    """
    rng = np.random.default_rng(seed)
    total = int(counts.sum())
    at_once = max(1, _CELLS // max(len(counts), 1))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        yield rng.multinomial(total, counts / total, size=size).astype(np.float64)


def estimate_from_draws(value: float, draws: Floats) -> IntervalEstimate | None:
    """Estimate a value's percentile interval from its resamples.

    None if the value is not defined; no interval where it is defined in fewer than nine of ten resamples.
    """
    if not np.isfinite(value):
        return None
    found = draws[np.isfinite(draws)]
    if len(found) < 0.9 * len(draws) or not len(found):
        return IntervalEstimate(float(value), None, None)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return IntervalEstimate(float(value), float(low), float(high))


def divide_or_nan(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, NaN if the denominator is 0."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=out, where=denominator != 0))
