"""Named annotators two by two: agreement and Cohen's kappa on the units that both judged.

Cohen, Educational and Psychological Measurement 20 (1960) 37-46; weighted: Psychological Bulletin
70 (1968) 213-220. A table (answers, answers) counts what the one and the other said.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from .intervals import (
    RESAMPLES,
    Floats,
    IntervalEstimate,
    Ints,
    compute_exact_interval,
    divide_or_nan,
    estimate_from_draws,
)

LEAST_SHARED = 10  # units that two annotators must share to count: kappa of fewer is mostly noise
MOST_SHARED = 5_000_000  # units shared, over all pairs of annotators, that are looked at
_WORK = 1e8  # shared units times resamples; a large table needs fewer to be as exact
_FEWEST = 200
_CELLS = 4_000_000


@dataclass(frozen=True)
class AnnotatorPairs:
    """Every two annotators that share enough units."""

    people: pl.DataFrame  # first, second (annotators), n, agreement, low, high, a column per weighting
    mean: dict[
        str, IntervalEstimate | None
    ]  # by weighting: the mean over pairs, weighing the units they share
    shared: int  # units shared, over all pairs of annotators
    looked_at: int  # of these; fewer where there are more than MOST_SHARED
    resamples: int


def weigh_disagreement(size: int, weighting: str) -> Floats:
    """Weigh the distance of two answers, (size, size): unweighted (0 or 1), linear or quadratic."""
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    if weighting == "unweighted":
        return np.asarray((apart > 0).astype(np.float64))
    return np.asarray(apart if weighting == "linear" else apart**2)


def compute_kappa(tables: Floats, weighting: str = "unweighted") -> Floats:
    """Compute Cohen's kappa of tables (…, answers, answers); NaN if both gave only one, same answer."""
    apart = weigh_disagreement(tables.shape[-1], weighting)
    n = tables.sum(axis=(-2, -1))
    observed = (tables * apart).sum(axis=(-2, -1))
    by_chance = tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :]
    expected = divide_or_nan((by_chance * apart).sum(axis=(-2, -1)), n)
    return np.asarray(1 - divide_or_nan(observed, np.nan_to_num(expected)))


def compare_pairs(
    judged: pl.DataFrame, size: int, weightings: tuple[str, ...], seed: int, resamples: int = RESAMPLES
) -> AnnotatorPairs:
    """Compare every two annotators of `judged` (unit, annotator, value from 0 to size - 1; one row each)."""
    some, shared = _within_reach(judged, seed)
    named = judged["annotator"]
    who = named.dtype if isinstance(named.dtype, pl.Enum) else pl.Enum(named.unique().sort())
    some = some.select("unit", "value", who=pl.col("annotator").cast(who).to_physical().cast(pl.Int64))
    met = some.join(some, on="unit", suffix="_2").filter(pl.col("who") < pl.col("who_2"))
    unit, value, first, other, second = (met[name].to_numpy() for name in met.columns)
    both, pair, n = np.unique(first * len(who.categories) + second, return_inverse=True, return_counts=True)
    enough = n >= LEAST_SHARED
    kept = enough[pair]
    both, n, pair = both[enough], n[enough], (np.cumsum(enough) - 1)[pair[kept]]
    unit, cells = unit[kept], (pair * size + value[kept]) * size + other[kept]
    shape = (len(both), size, size)
    tables = np.bincount(cells, minlength=len(both) * size**2).reshape(shape).astype(np.float64)
    agree = tables.trace(axis1=1, axis2=2).astype(np.int64)
    low, high = compute_exact_interval(agree, n)
    each = {name: compute_kappa(tables, name) for name in weightings}
    names = [who.categories.gather(side) for side in np.divmod(both, len(who.categories))]
    people = pl.DataFrame({"first": names[0], "second": names[1]}).with_columns(
        pl.Series("n", n),
        pl.Series("agreement", agree / n),
        pl.Series("low", low),
        pl.Series("high", high),
        *(pl.Series(name, kappa, nan_to_null=True) for name, kappa in each.items()),
    )
    rounds = int(np.clip(_WORK / max(len(unit), 1), min(_FEWEST, resamples), resamples))
    draws: dict[str, list[Floats]] = {name: [] for name in weightings}
    for drawn in _resampled_tables(cells, unit, shape, seed, rounds):
        for name in weightings:
            draws[name].append(_mean(drawn, name))
    mean = {
        name: _centred(float(_mean(tables[None], name)[0]), np.concatenate(draws[name])) if len(n) else None
        for name in weightings
    }
    return AnnotatorPairs(people, mean, shared, met.height, rounds)


def _centred(value: float, draws: Floats) -> IntervalEstimate | None:
    """The interval of resamples about the value itself.

    Two annotators who share few units share even fewer distinct ones in a resample, which lowers kappa;
    over many such pairs the resamples would miss the value.
    """
    shift = value - float(np.nanmean(draws)) if np.isfinite(draws).any() else 0.0
    return estimate_from_draws(value, np.minimum(draws + shift, 1))


def _within_reach(judged: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, int]:
    """Rows of as many units, drawn at random, as make up MOST_SHARED, and how many all make up."""
    units = (
        judged.group_by("unit").len("m").sort("unit").with_columns(pairs=pl.col("m") * (pl.col("m") - 1) // 2)
    )
    shared = int(units["pairs"].sum())
    if shared <= MOST_SHARED:
        return judged, shared
    mixed = units[np.random.default_rng(seed).permutation(units.height)]
    some = mixed.filter(pl.col("pairs").cum_sum() <= MOST_SHARED)
    return judged.join(some.select("unit"), on="unit", how="semi"), shared


def _mean(tables: Floats, weighting: str) -> Floats:
    """Mean kappa (rows,) of tables (rows, pairs, answers, answers), each weighing the units it counts."""
    kappas, n = compute_kappa(tables, weighting), tables.sum(axis=(-2, -1))
    known = np.isfinite(kappas)
    return divide_or_nan((np.where(known, kappas, 0) * n).sum(axis=1), (n * known).sum(axis=1))


def _resampled_tables(
    cells: Ints, units: Ints, shape: tuple[int, int, int], seed: int, resamples: int
) -> Iterator[Floats]:
    """Tables (rows, *shape) of units drawn with replacement, in blocks."""
    rng = np.random.default_rng(seed)
    _, unit = np.unique(units, return_inverse=True)
    many, size = int(unit.max(initial=-1)) + 1, int(np.prod(shape))
    if not many:
        return
    where = csr_array((np.ones(len(cells)), (cells, unit)), shape=(size, many))
    at_once = max(1, _CELLS // max(many, size))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = np.stack(
            [np.bincount(rng.integers(0, many, many), minlength=many) for _ in range(rows)], axis=1
        ).astype(np.float64)
        yield np.asarray((where @ drawn).T.reshape(rows, *shape))
