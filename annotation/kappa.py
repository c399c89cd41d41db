"""Named annotators two by two: agreement and Cohen's kappa on the units that both judged.

Cohen, Educational and Psychological Measurement 20 (1960) 37-46; weighted: Psychological Bulletin
70 (1968) 213-220. A table (answers, answers) counts what the one and the other said.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from .intervals import RESAMPLES, Estimate, Floats, Ints, estimate, exact_interval, ratio

LEAST_SHARED = 10  # units that two annotators must share to count: kappa of fewer is mostly noise
MOST_SHARED = 5_000_000  # units shared, over all pairs of annotators, that are looked at
_WORK = 1e8  # shared units times resamples; a large table needs fewer to be as exact
_FEWEST = 200
_CELLS = 4_000_000


@dataclass(frozen=True)
class Pairs:
    """Pairs of annotators that share enough units."""

    people: pl.DataFrame  # first, second (annotators), n, agreement, low, high, a column per weighting
    mean: dict[str, Estimate | None]  # by weighting: the mean over pairs, weighing the units they share
    shared: int  # units shared, over all pairs of annotators
    looked_at: int  # of these; fewer where there are more than MOST_SHARED
    resamples: int


def disagreement(size: int, weighting: str) -> Floats:
    """How far apart (size, size) two answers count: unweighted 0 or 1, linear, or quadratic."""
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    if weighting == "unweighted":
        return np.asarray((apart > 0).astype(np.float64))
    return np.asarray(apart if weighting == "linear" else apart**2)


def cohen(tables: Floats, weighting: str = "unweighted") -> Floats:
    """Cohen's kappa of tables (…, answers, answers); NaN where both only ever gave one same answer."""
    apart = disagreement(tables.shape[-1], weighting)
    n = tables.sum(axis=(-2, -1))
    observed = (tables * apart).sum(axis=(-2, -1))
    by_chance = tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :]
    expected = ratio((by_chance * apart).sum(axis=(-2, -1)), n)
    return np.asarray(1 - ratio(observed, np.nan_to_num(expected)))


def annotator_pairs(
    judged: pl.DataFrame, size: int, weightings: tuple[str, ...], seed: int, resamples: int = RESAMPLES
) -> Pairs:
    """Every two annotators of `judged` (unit, annotator, value from 0 to size - 1; one row each)."""
    some, shared = _within_reach(judged, seed)
    met = (
        some.join(some, on="unit", suffix="_2")
        .filter(pl.col("annotator") < pl.col("annotator_2"))
        .with_columns(pl.len().over("annotator", "annotator_2").alias("n"))
    )
    seen = met.height
    met = met.filter(pl.col("n") >= LEAST_SHARED)
    names = (
        met.select("annotator", "annotator_2")
        .unique()
        .sort("annotator", "annotator_2")
        .with_row_index("pair")
    )
    met = met.join(names, on=["annotator", "annotator_2"])
    cell = (pl.col("pair").cast(pl.Int64) * size + pl.col("value")) * size + pl.col("value_2")
    cells, units = met.select(cell).to_series().to_numpy(), met["unit"].to_numpy()
    shape = (names.height, size, size)
    tables = np.bincount(cells, minlength=names.height * size**2).reshape(shape).astype(np.float64)
    n = tables.sum(axis=(1, 2)).astype(np.int64)
    agree = tables.trace(axis1=1, axis2=2).astype(np.int64)
    low, high = exact_interval(agree, n)
    each = {name: cohen(tables, name) for name in weightings}
    people = names.select(first="annotator", second="annotator_2").with_columns(
        pl.Series("n", n), pl.Series("agreement", ratio(agree, n)), pl.Series("low", low),
        pl.Series("high", high),
        *(pl.Series(name, kappa, nan_to_null=True) for name, kappa in each.items()),
    )  # fmt: skip
    rounds = int(np.clip(_WORK / max(met.height, 1), min(_FEWEST, resamples), resamples))
    draws: dict[str, list[Floats]] = {name: [] for name in weightings}
    for drawn in _resampled_tables(cells, units, shape, seed, rounds):
        for name in weightings:
            draws[name].append(_mean(drawn, name))
    mean = {
        name: estimate(float(_mean(tables[None], name)[0]), np.concatenate(draws[name])) if len(n) else None
        for name in weightings
    }
    return Pairs(people, mean, shared, seen, rounds)


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
    kappas, n = cohen(tables, weighting), tables.sum(axis=(-2, -1))
    known = np.isfinite(kappas)
    return ratio((np.where(known, kappas, 0) * n).sum(axis=1), (n * known).sum(axis=1))


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
