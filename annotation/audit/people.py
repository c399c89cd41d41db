"""Compare a judge's agreement with people to people's agreement with each other.

    helpful: judge 0.52 (0.31 to 0.69), people 0.61 (0.48 to 0.72), difference -0.09 (-0.21 to 0.02)

Every measure is of two single answers about the same unit (a pair, a completion): the judge's and a
person's, or two persons', so that both can be compared. Units with several people's answers are weighted by
their number. Intervals and differences are bootstraps over units, both sides drawn together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..agreement.alpha import compute_alpha, compute_measures, compute_mid_ranks, count_kinds
from ..agreement.intervals import Floats, IntervalEstimate, Ints, divide_or_nan, estimate_from_draws, resample
from ..agreement.kappa import compute_kappa

NAMES = ("exact", "kappa", "alpha", "pearson", "spearman")
_BLOCKS = ("judge", "beside", "people")  # beside: the judge where several people answered


@dataclass(frozen=True)
class Measure:
    """One measure of agreement. Null if it is not defined, as where all answers are the same."""

    name: str
    judge: IntervalEstimate | None  # with a person, over all units that both judged
    people: IntervalEstimate | None  # with each other, over units of several people
    difference: IntervalEstimate | None  # judge less people, over units of several people


@dataclass(frozen=True)
class PeopleAgreement:
    """A judge compared with people about one signal: votes, a criterion, or the rubric's score."""

    signal: str
    answers: list[str]  # that can be given, lowest first; of a score those that were
    units: int  # pairs or completions that the judge and a person judged
    people: int  # named
    unnamed: int  # judgements without annotator, each taken as another person's
    comparisons: int  # answers of people that the judge's was compared with
    shared_units: int  # of the units, with answers of several people
    metric: str  # of alpha
    measures: dict[str, Measure]
    best: dict[str, IntervalEstimate | None]  # how often a perfect judge could be right: majority, perfect
    table: list[list[int]]  # judge's answer by a person's, counts of comparisons
    notes: list[str]


def compare_with_people(
    signal: str,
    answers: Sequence[str],
    judge: pl.DataFrame,
    people: pl.DataFrame,
    metric: str,
    seed: int,
    resamples: int,
    values: Sequence[float] | None = None,
) -> PeopleAgreement | None:
    """Compare a judge's answers with those of people; None if they have no unit in common.

    `judge` has unit and value, one row per unit; `people` unit, annotator (null if not named) and value.
    Values index `answers` from 0; `values` gives their numeric values (the index by default). With `values`
    answers are taken as a continuous scale: no kappa and no exact agreement.
    """
    size = len(answers)
    told = people.join(judge.select("unit"), on="unit", how="semi")
    if told.is_empty():
        return None
    cells, weights, many = _kinds(judge, told, size)
    stand = np.arange(size, dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
    sides = {
        name: _measuring(cells[part], size, stand, metric, steps=values is None)
        for name, part in ((name, cells // size**2 == place) for place, name in enumerate(_BLOCKS))
    }
    found, drawn = _with_draws(sides, cells // size**2, weights, many, seed, resamples)
    shared = told.group_by("unit").len().filter(pl.col("len") > 1)
    table = np.zeros(size**2)
    here = cells < size**2
    table[cells[here]] = (many @ weights)[here]
    return PeopleAgreement(
        signal,
        list(answers),
        told["unit"].n_unique(),
        told["annotator"].drop_nulls().n_unique(),
        told["annotator"].null_count(),
        told.height,
        shared.height,
        metric,
        {name: _measure(name, found, drawn) for name in NAMES if values is None or name in NAMES[2:]},
        _best(told, size, seed, resamples) if values is None else {},
        table.reshape(size, size).round().astype(int).tolist(),
        _notes(told, shared.height),
    )


def _kinds(judge: pl.DataFrame, people: pl.DataFrame, size: int) -> tuple[Ints, Floats, Ints]:
    """Group units by their answers: cells (columns,), weights (kinds, columns), number of units of each kind.

    A cell is (block * size + the one's answer) * size + the other's.
    """
    counts = (
        people.group_by("unit", "value")
        .len("c")
        .with_columns(c=pl.col("c").cast(pl.Float64), m=pl.col("c").sum().over("unit").cast(pl.Float64))
    )
    met = counts.join(judge.select("unit", one="value"), on="unit")
    # Half of Krippendorff's coincidences, so that two answers about a unit are one comparison.
    others = (
        counts.filter(pl.col("m") > 1)
        .join(counts, on="unit", suffix="_2")
        .with_columns(
            w=pl.col("c") * (pl.col("c_2") - (pl.col("value") == pl.col("value_2"))) / (pl.col("m") - 1) / 2
        )
    )
    parts = [
        met.select("unit", block=0, one="one", other="value", w="c"),
        met.filter(pl.col("m") > 1).select("unit", block=1, one="one", other="value", w="c"),
        others.filter(pl.col("w") > 0).select("unit", block=2, one="value", other="value_2", w="w"),
    ]
    rows = pl.concat([part.cast({"block": pl.Int64, "one": pl.Int64, "other": pl.Int64}) for part in parts])
    rows = rows.with_columns(cell=(pl.col("block") * size + pl.col("one")) * size + pl.col("other"))
    kinds = (
        rows.sort("unit", "cell")
        .group_by("unit", maintain_order=True)
        .agg("cell", "w", alike=pl.format("{}:{}", "cell", "w").str.join(" "))
        .group_by("alike", maintain_order=True)
        .agg(pl.col("cell", "w").first(), pl.len().alias("many"))
    )
    flat = kinds.with_row_index("kind").explode("cell", "w")
    cells, place = np.unique(flat["cell"].to_numpy(), return_inverse=True)
    weights = np.zeros((kinds.height, len(cells)))
    weights[flat["kind"].to_numpy(), place] = flat["w"].to_numpy()
    return cells, weights, kinds["many"].cast(pl.Int64).to_numpy()


Measuring = Callable[[Floats], dict[str, Floats]]


def _measuring(cells: Ints, size: int, values: Floats, metric: str, *, steps: bool) -> Measuring | None:
    """Make a function from the mass of each cell, shape (rows, cells), to every measure, shape (rows,)."""
    if not len(cells):
        return None
    one, other = np.divmod(cells % size**2, size)
    pairs = np.zeros((len(cells), size), dtype=np.int64)
    np.add.at(pairs, (np.arange(len(cells)), one), 1)
    np.add.at(pairs, (np.arange(len(cells)), other), 1)

    def measure(mass: Floats) -> dict[str, Floats]:
        found = {
            "alpha": compute_alpha(pairs, mass, values, metric),
            "pearson": correlate(mass, values[one], values[other]),
            "spearman": correlate(mass, compute_mid_ranks(mass, one), compute_mid_ranks(mass, other)),
        }
        if steps:
            tables = np.zeros((len(mass), size**2))
            tables[:, one * size + other] = mass
            found["kappa"] = compute_kappa(tables.reshape(-1, size, size), "quadratic")
            found["exact"] = divide_or_nan(mass @ (one == other), mass.sum(axis=1))
        return found

    return measure


def correlate(mass: Floats, x: Floats, y: Floats) -> Floats:
    """Correlate x and y, (cells,) or (rows, cells), where cells weigh `mass`: Pearson's r, (rows,)."""
    total = mass.sum(axis=1, keepdims=True)
    x = x - divide_or_nan((mass * x).sum(axis=1, keepdims=True), total)
    y = y - divide_or_nan((mass * y).sum(axis=1, keepdims=True), total)
    spread = np.sqrt((mass * x**2).sum(axis=1) * (mass * y**2).sum(axis=1))
    # A rounding error is no spread.
    return divide_or_nan((mass * x * y).sum(axis=1), np.where(spread > 1e-9 * total[:, 0], spread, 0))


Found = dict[str, dict[str, Floats]]


def _with_draws(
    sides: dict[str, Measuring | None], block: Ints, weights: Floats, many: Ints, seed: int, resamples: int
) -> tuple[Found, Found]:
    """Measures of each side as they are (1,), and of every resample of units (resamples,)."""

    def measured(drawn: Floats) -> Found:
        mass = drawn @ weights
        return {
            name: measure(mass[:, block == place])
            for place, name in enumerate(_BLOCKS)
            if (measure := sides[name])
        }

    blocks = [measured(drawn) for drawn in resample(many, seed, resamples)]
    drawn = {
        side: {name: np.concatenate([part[side][name] for part in blocks]) for name in found}
        for side, found in blocks[0].items()
    }
    return measured(many[None, :].astype(np.float64)), drawn


def _measure(name: str, found: Found, drawn: Found) -> Measure:
    value = {side: float(by[name][0]) for side, by in found.items()}
    judge, people = (
        estimate_from_draws(value[side], drawn[side][name]) if side in value else None
        for side in ("judge", "people")
    )
    difference = None
    if people:
        apart = drawn["beside"][name] - drawn["people"][name]
        difference = estimate_from_draws(value["beside"] - value["people"], apart)
    return Measure(name, judge, people, difference)


def _best(people: pl.DataFrame, size: int, seed: int, resamples: int) -> dict[str, IntervalEstimate | None]:
    """Bound the share of these answers that a perfect judge could get right (see agreement/alpha.py)."""
    numbered = people["unit"].rank("dense").cast(pl.Int64).to_numpy() - 1
    kinds, many = count_kinds(numbered, people["value"].to_numpy(), size)
    found = compute_measures(kinds, many, np.arange(size, dtype=np.float64), seed, resamples)
    return {name: found.get(name) for name in ("majority", "perfect")}


def _notes(people: pl.DataFrame, shared: int) -> list[str]:
    notes = []
    unnamed, units = people["annotator"].null_count(), people["unit"].n_unique()
    if not shared:
        by = "twice" if unnamed else "by two people"
        notes.append(f"nothing was judged {by}: how far people agree among themselves cannot be told")
    elif shared < units:
        notes.append(
            f"people and the difference: over the {shared:,} of {units:,} that several people judged"
        )
    if unnamed:
        notes.append(f"{unnamed:,} judgements name nobody; each is taken as another person's")
    return notes
