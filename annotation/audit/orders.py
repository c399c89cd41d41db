"""Measure whether a judge chooses by position or by length.

    item  first  second  choice  first_length  second_length
    q1    9f…    1c…     first   120           80             the same pair, shown in both orders:
    q1    1c…    9f…     first   80            120            the first slot twice

Lengths are in characters. A pair's verdict is the choice in both orders; a tie if they differ.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from ..agreement.intervals import (
    LEVEL,
    Floats,
    IntervalEstimate,
    Ints,
    Share,
    compute_share,
    divide_or_nan,
    estimate_from_draws,
    resample,
)

JUDGEMENTS: dict[str, type[pl.DataType]] = {
    "item": pl.String,
    "first": pl.String,
    "second": pl.String,
    "choice": pl.String,
    "first_length": pl.Int64,
    "second_length": pl.Int64,
}
CHOICES = ("first", "second", "tie")
_STEPS = 50  # of Newton's method
_SURE = 20.0  # log-odds beyond which a slope counts as infinite


@dataclass(frozen=True)
class PositionBias:
    """Outcomes of pairs that were shown in both orders; the five shares add up to 1."""

    pairs: int
    consistent: Share  # the same completion in both orders
    first_twice: Share  # whichever was shown first
    second_twice: Share
    both_tie: Share  # a tie in both orders
    one_tie: Share  # a tie in one order, a choice in the other
    first: IntervalEstimate | None  # share of decided judgements for the first slot; bootstrap over pairs


@dataclass(frozen=True)
class PeopleLengthBias:
    """Share of pairs that the longer one wins, of those that people decided too; bootstrap over pairs."""

    pairs: int
    votes: int  # decided votes of people about them
    judge: IntervalEstimate
    people: IntervalEstimate
    difference: IntervalEstimate  # judge less people


@dataclass(frozen=True)
class LengthBias:
    """Length bias of a judge: share of pairs that the longer completion wins, equal lengths left out."""

    pairs: int  # with a decided verdict and two lengths
    longer: Share | None  # of these, the longer one won
    judgements: int  # decided judgements, each order counted alone
    slope: (
        IntervalEstimate | None
    )  # log-odds of choosing the first for each unit of log(first / second length)
    first_slot: IntervalEstimate | None  # log-odds of choosing the first of two that are equally long
    people: PeopleLengthBias | None


def combine_orders(judgements: pl.DataFrame) -> pl.DataFrame:
    """Combine both orders to one row an item and pair: item, low, high, in_low, in_high, verdict, lengths.

    Columns: item, low, high, in_low, in_high, verdict, lengths. in_low and in_high are the choice (low, high
    or tie) when the lower, and the higher, key was shown first; null if it never was. verdict is the common
    choice, or the only one; a tie if they differ. If one order was shown again, the first answer counts.
    """
    low_first = pl.col("first") < pl.col("second")
    places = judgements.with_columns(
        low=pl.min_horizontal("first", "second"),
        high=pl.max_horizontal("first", "second"),
        low_first=low_first,
        low_length=pl.when(low_first).then("first_length").otherwise("second_length"),
        high_length=pl.when(low_first).then("second_length").otherwise("first_length"),
        won=pl.when(pl.col("choice") == "tie")
        .then(pl.lit("tie"))
        .when((pl.col("choice") == "first") == low_first)
        .then(pl.lit("low"))
        .otherwise(pl.lit("high")),
    )
    found = places.group_by("item", "low", "high", maintain_order=True).agg(
        pl.col("won").filter("low_first").first().alias("in_low"),
        pl.col("won").filter(~pl.col("low_first")).first().alias("in_high"),
        pl.col("low_length").drop_nulls().first(),
        pl.col("high_length").drop_nulls().first(),
    )
    one = pl.coalesce("in_low", "in_high")
    both = pl.col("in_low").is_not_null() & pl.col("in_high").is_not_null()
    differ = both & (pl.col("in_low") != pl.col("in_high"))
    return found.with_columns(verdict=pl.when(differ).then(pl.lit("tie")).otherwise(one), both=both)


def measure_position(found: pl.DataFrame, seed: int, resamples: int) -> PositionBias | None:
    """Measure position bias in `combine_orders`' rows over pairs shown in both orders; None without any."""
    rows = found.filter("both")
    if rows.is_empty():
        return None
    low, high = pl.col("in_low"), pl.col("in_high")
    ties = (low == "tie").cast(pl.Int64) + (high == "tie").cast(pl.Int64)
    firsts = (low == "low").cast(pl.Int64) + (high == "high").cast(pl.Int64)
    kinds = rows.select(k=firsts, n=2 - ties, same=(low == high) & (low != "tie"))
    counts = kinds.select(
        consistent=pl.col("same").sum(),
        first_twice=(pl.col("k") == 2).sum(),
        second_twice=((pl.col("n") == 2) & (pl.col("k") == 0)).sum(),
        both_tie=(pl.col("n") == 0).sum(),
        one_tie=(pl.col("n") == 1).sum(),
    ).to_dicts()[0]
    shares = {name: compute_share(k, rows.height) for name, k in counts.items()}
    return PositionBias(rows.height, **shares, first=_first_rate(kinds, seed, resamples))  # type: ignore[arg-type]


def measure_first_slot(found: pl.DataFrame, seed: int, resamples: int) -> IntervalEstimate | None:
    """Measure the share of decided judgements for the first slot, of pairs shown in any number of orders."""
    firsts = [pl.col(f"in_{side}") == side for side in ("low", "high")]
    decided = [pl.col(f"in_{side}") != "tie" for side in ("low", "high")]
    count = [pl.sum_horizontal(*(part.cast(pl.Int64) for part in parts)) for parts in (firsts, decided)]
    return _first_rate(found.select(k=count[0], n=count[1]), seed, resamples)


def _first_rate(pairs: pl.DataFrame, seed: int, resamples: int) -> IntervalEstimate | None:
    kinds = pairs.group_by("k", "n").len("many").sort("k", "n")
    k, n, many = (kinds[name].cast(pl.Int64).to_numpy() for name in ("k", "n", "many"))
    drawn = [divide_or_nan(w @ k, w @ n) for w in resample(many, seed, resamples)]
    point = divide_or_nan(np.array([float(many @ k)]), np.array([float(many @ n)]))
    return estimate_from_draws(float(point[0]), np.concatenate(drawn))


def measure_length(found: pl.DataFrame, people: pl.DataFrame, seed: int, resamples: int) -> LengthBias | None:
    """Measure length bias in `combine_orders`' rows; None if no decided pair has two different lengths.

    `people` has low, high, for_low, for_high: their decided votes about each pair.
    """
    rows = found.filter((pl.col("low_length") > 0) & (pl.col("high_length") > 0)).with_columns(
        longer=pl.when(pl.col("low_length") > pl.col("high_length"))
        .then(pl.lit("low"))
        .when(pl.col("low_length") < pl.col("high_length"))
        .then(pl.lit("high"))
    )
    decided = rows.filter((pl.col("verdict") != "tie") & pl.col("longer").is_not_null())
    if decided.is_empty():
        return None
    won = decided.with_columns(won=pl.col("verdict") == pl.col("longer"))
    design, cluster = _design(rows)
    slope, first_slot = fit_logistic(design[:, :2], design[:, 2], cluster) if len(design) else (None, None)
    return LengthBias(
        decided.height,
        compute_share(int(won["won"].sum()), won.height),
        len(design),
        slope,
        first_slot,
        _length_of_people(won, people, seed, resamples),
    )


def _design(rows: pl.DataFrame) -> tuple[Floats, Ints]:
    """Make the design of decided judgements: log length ratio, 1, first chosen (0 or 1); and the pair's
    number.
    """
    apart = (pl.col("low_length") / pl.col("high_length")).log()
    rows = rows.with_columns(pair=pl.concat_str("low", "high", separator="\n").rank("dense").cast(pl.Int64))
    parts = [
        rows.filter(pl.col(f"in_{side}") != "tie").select(
            x=apart * sign, one=pl.lit(1.0), y=(pl.col(f"in_{side}") == side).cast(pl.Float64), pair="pair"
        )
        for side, sign in (("low", 1.0), ("high", -1.0))
    ]
    every = pl.concat(parts)
    return every.select("x", "one", "y").to_numpy(), every["pair"].to_numpy()


def fit_logistic(x: Floats, y: Floats, cluster: Ints) -> list[IntervalEstimate | None]:
    """Fit a logistic regression of y (rows,) on x (rows, columns), with 95 % intervals.

    Intervals are normal, with standard errors robust to correlation within a `cluster` (rows,) (Liang &
    Zeger, Biometrika 73 (1986) 13-22; times G / (G - 1) and (n - 1) / (n - k), as Stata and statsmodels have
    it). All are null if there is no finite maximum: y is constant, or x predicts it without error.
    """
    beta = np.zeros(x.shape[1])
    nothing: list[IntervalEstimate | None] = [None] * x.shape[1]
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -700, 700)))
        bend = (x * (p * (1 - p))[:, None]).T @ x
        if np.linalg.cond(bend) > 1e12 or np.abs(beta).max() > _SURE:
            return nothing
        step = np.linalg.solve(bend, x.T @ (y - p))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    else:
        return nothing
    numbers, of = np.unique(cluster, return_inverse=True)
    groups, (rows, columns) = len(numbers), x.shape
    if groups < 2 or rows <= columns:
        return [IntervalEstimate(float(b), None, None) for b in beta]
    p = 1 / (1 + np.exp(-(x @ beta)))
    scores = np.zeros((groups, columns))
    np.add.at(scores, of, x * (y - p)[:, None])
    inverse = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)
    factor = groups / (groups - 1) * (rows - 1) / (rows - columns)
    reach = norm.ppf((1 + LEVEL) / 2) * np.sqrt(np.diag(inverse @ (scores.T @ scores) @ inverse) * factor)
    return [IntervalEstimate(float(b), float(b - r), float(b + r)) for b, r in zip(beta, reach, strict=True)]


def _length_of_people(
    won: pl.DataFrame, people: pl.DataFrame, seed: int, resamples: int
) -> PeopleLengthBias | None:
    both = (
        won.join(people, on=["low", "high"])
        .with_columns(
            k=pl.when(pl.col("longer") == "low").then("for_low").otherwise("for_high"),
            n=pl.col("for_low") + pl.col("for_high"),
        )
        .filter(pl.col("n") > 0)
    )
    if both.is_empty():
        return None
    kinds = both.group_by("won", "k", "n").len("many").sort("won", "k", "n")
    w, k, n, many = (kinds[c].cast(pl.Int64).to_numpy() for c in ("won", "k", "n", "many"))

    def shares(weights: Floats) -> tuple[Floats, Floats]:
        return divide_or_nan(weights @ w, weights.sum(axis=-1)), divide_or_nan(weights @ k, weights @ n)

    judge, human = (float(part[0]) for part in shares(many[None, :].astype(np.float64)))
    drawn = [shares(weights) for weights in resample(many, seed, resamples)]
    judges, humans = (np.concatenate([pair[i] for pair in drawn]) for i in (0, 1))
    estimates = [
        estimate_from_draws(value, draws)
        for value, draws in ((judge, judges), (human, humans), (judge - human, judges - humans))
    ]
    found = [one for one in estimates if one]
    return PeopleLengthBias(both.height, int(both["n"].sum()), *found)
