"""Measure self-preference: does a judge choose completions that it wrote itself, beyond what people do?

40 pairs with one of its own: chose it in 71 % (57 to 84), people in 52 %; +19 % (4 to 33)
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ...schemas.support.numbers import format_interval
from ..agreement.intervals import IntervalEstimate, divide_or_nan, estimate_from_draws, resample


@dataclass(frozen=True)
class OwnPreference:
    """How often a judge chooses its own completion of a pair; a tie is half a choice. 95 % intervals."""

    pairs: int  # with one completion of its own and one of another's
    own: IntervalEstimate | None  # share for its own
    people_pairs: int  # of these, judged by people too
    people: IntervalEstimate | None  # people's mean share for the judge's own, on these
    difference: IntervalEstimate | None  # the judge's share minus people's, on these


def measure_own(
    found: pl.DataFrame, people: pl.DataFrame, own: pl.Series, seed: int, resamples: int
) -> OwnPreference | None:
    """Measure self-preference; None if no pair has exactly one completion of the judge's own.

    `found` has low, high and verdict (low, high, tie); `people` low, high, for_low, for_high: their decided
    votes about each pair; `own` are keys of completions. Units of the bootstrap are pairs.
    """
    mine = [pl.col(side).is_in(own.implode()) for side in ("low", "high")]
    rows = found.filter(mine[0] != mine[1]).with_columns(is_low=mine[0])
    if rows.is_empty():
        return None
    side = pl.when("is_low").then(pl.lit("low")).otherwise(pl.lit("high"))
    share = (
        pl.when(pl.col("verdict") == "tie").then(0.5).otherwise((pl.col("verdict") == side).cast(pl.Float64))
    )
    rows = rows.select("low", "high", "is_low", judge=share)
    both = rows.join(people, on=["low", "high"], how="inner").filter(
        pl.col("for_low") + pl.col("for_high") > 0
    )
    chosen = pl.when("is_low").then("for_low").otherwise("for_high")
    both = both.with_columns(people=chosen / (pl.col("for_low") + pl.col("for_high")))
    return OwnPreference(
        rows.height,
        _estimate_mean(rows.select("judge"), pl.col("judge"), seed, resamples),
        both.height,
        _estimate_mean(both, pl.col("people"), seed, resamples),
        _estimate_mean(both, pl.col("judge") - pl.col("people"), seed, resamples),
    )


def describe_own(found: OwnPreference) -> str:
    """Describe self-preference in a sentence."""
    chosen = _show(found.own)
    said = f"own: of {found.pairs:,} pairs with one completion that it wrote, it chose that in {chosen}"
    if found.difference is None:
        return f"{said}; no person judged these, so whether its own are better cannot be told"
    return (
        f"{said}; on the {found.people_pairs:,} that people judged too, they chose it in "
        f"{_show(found.people)}: the judge prefers its own by {_show(found.difference, sign=True)}"
    )


def _show(found: IntervalEstimate | None, *, sign: bool = False) -> str:
    if found is None:
        return "an unknown share"
    return format_interval(
        found.value, found.low, found.high, lambda x: f"{100 * x:{'+' if sign else ''}.1f}", " %"
    )


def _estimate_mean(rows: pl.DataFrame, value: pl.Expr, seed: int, resamples: int) -> IntervalEstimate | None:
    """Estimate a mean over rows; None without rows. Rows of one value are drawn together."""
    if rows.is_empty():
        return None
    kinds = rows.select(value.alias("value")).group_by("value").len("many").sort("value")
    values, many = kinds["value"].to_numpy(), kinds["many"].cast(pl.Int64).to_numpy()
    drawn = [divide_or_nan(w @ values, w.sum(axis=1)) for w in resample(many, seed, resamples)]
    return estimate_from_draws(float(values @ many / many.sum()), np.concatenate(drawn))
