"""Pareto-smoothed importance sampling: weights that a few draws do not rule, and when not to trust them.

    log ratios (units, draws) -> log weights (units, draws), k (units,)

The largest ratios are replaced by quantiles of a generalised Pareto distribution fitted to them. Its shape
k says how heavy their tail is: below TRUSTED the weighted means are near those of a new fit.

Vehtari et al., JMLR 25 (2024) 72; the fit by Zhang and Stephens, Technometrics 51 (2009) 316-325.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRUSTED = 0.7  # k up to which weighted means are taken for those of a new fit
LEAST_TAIL = 5  # ratios that a tail is fitted to, at least
_AT_ONCE = 4_000_000  # numbers of the fit's grid that are in memory at once
_PRIOR = 10  # observations that the prior of k counts for; its mean is 0.5


def smooth(ratios: Floats) -> tuple[Floats, Floats]:
    """Smooth log importance ratios (units, draws): log weights whose weights sum to 1, and k (units,).

    k is infinite where no tail can be fitted to few draws, and -inf for ratios that are all the same.
    """
    units, draws = ratios.shape
    log = ratios - ratios.max(axis=1, keepdims=True, initial=-np.inf) if units else ratios.copy()
    k = np.full(units, np.inf)
    tail = int(np.ceil(min(0.2 * draws, 3 * np.sqrt(draws))))
    if tail >= LEAST_TAIL:
        step = max(1, _AT_ONCE // (tail * _grid_size(tail)))
        for start in range(0, units, step):
            part = slice(start, start + step)
            log[part], k[part] = _smooth_tails(log[part], tail)
    top = log.max(axis=1, keepdims=True, initial=-np.inf)
    return log - top - np.log(np.exp(log - top).sum(axis=1, keepdims=True)), k


def _smooth_tails(log: Floats, tail: int) -> tuple[Floats, Floats]:
    """Replace the `tail` largest of each row by quantiles of the fitted tail, none above the largest."""
    order = np.argsort(log, axis=1)
    largest, cut = order[:, -tail:], np.take_along_axis(log, order[:, -tail - 1, None], axis=1)
    # Below the smallest normal number exp() would lose the differences.
    floor = np.exp(np.maximum(cut, np.log(np.finfo(float).tiny)))
    above = np.exp(np.take_along_axis(log, largest, axis=1)) - floor
    same = above[:, -1] <= 1e-300
    above[same] = np.arange(1, tail + 1) / tail  # no tail: fitted to something, and not used
    k, scale = fit_pareto(np.maximum(above, above[:, -1:] * 1e-15))
    at = (np.arange(tail) + 0.5) / tail
    flat = np.abs(k) < 1e-12
    shape = np.where(flat, 1.0, k)[:, None]
    quantile = np.where(flat[:, None], -np.log1p(-at), np.expm1(-shape * np.log1p(-at)) / shape)
    smoothed = np.minimum(np.log(floor + scale[:, None] * quantile), 0.0)
    out = log.copy()
    kept = np.where(same[:, None], np.take_along_axis(log, largest, axis=1), smoothed)
    np.put_along_axis(out, largest, kept, axis=1)
    return out, np.where(same, -np.inf, k)


def fit_pareto(above: Floats) -> tuple[Floats, Floats]:
    """Fit generalised Pareto distributions to rows of ascending positive numbers: k and scale (units,).

    k is the shape, positive for heavy tails, drawn towards 0.5 as by _PRIOR more observations.
    """
    n = above.shape[1]
    size = _grid_size(n)
    quarter = above[:, int(n / 4 + 0.5) - 1, None]
    grid = 1 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    theta = grid / (3 * quarter) + 1 / above[:, -1:]  # (units, grid)
    shapes = np.log1p(-theta[:, :, None] * above[:, None, :]).mean(axis=2)
    likelihood = n * (np.log(-theta / shapes) - shapes - 1)
    weight = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    theta = (theta * weight).sum(axis=1) / weight.sum(axis=1)
    k = np.log1p(-theta[:, None] * above).mean(axis=1)
    return (n * k + _PRIOR * 0.5) / (n + _PRIOR), -k / theta


def _grid_size(tail: int) -> int:
    return 30 + int(np.sqrt(tail))
