"""Count judgements of each annotator: frames of annotator, k, n (k of n judgements), sorted by annotator.

All take frames as `join_others` makes them: a row for each judgement of a named annotator.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from .habits import BREAK_SECONDS, FAST_SECONDS
from .intervals import divide_or_nan
from .judgements import SIDES, TIE, Signal, compute_means, count_others, find_modes

LEANS = 0.05  # a fit takes a side where it is further than this from a half


def join_others(signals: Sequence[Signal], annotators: pl.DataFrame) -> pl.DataFrame:
    """Join each judgement of a named annotator, in order of time, to the others' answers about its unit.

    Columns: signal, annotator, unit, value, at, shown, again (see judgements.Signal), and of the other
    people's answers to that unit: mode (the most frequent; null if several are), lead (how many more
    gave answer 0 than 1), mean. These are null if the judgement is a repeated one. `annotators` has
    annotator and peer: true if they count as others.
    """
    who = annotators.schema["annotator"]
    models = annotators.filter(~pl.col("peer"))["annotator"]
    by_model = pl.col("annotator").is_in(models.implode()).fill_null(value=False)
    parts = []
    for signal in signals:
        once = signal.once
        counts = count_others(signal, once.filter(~by_model))
        mode, mean = find_modes(counts), compute_means(counts)
        others = once.select("unit", "annotator").with_columns(
            pl.Series("mode", mode, pl.Int64).replace(-1, None),
            pl.Series("lead", counts[:, 0] - counts[:, 1], pl.Int64),
            pl.Series("mean", mean, pl.Float64, nan_to_null=True),
        )
        rows = signal.rows
        if rows.height > once.height:
            rows = rows.join(
                others.with_columns(again=pl.lit(value=False)),
                on=["unit", "annotator", "again"],
                how="left",
                maintain_order="left",
            )
        else:
            rows = rows.with_columns(others.select("mode", "lead", "mean"))
        named = rows.filter(pl.col("annotator").is_not_null())
        parts.append(named.select(pl.lit(signal.name).alias("signal"), *list(_told(who))[1:]))
    return pl.concat(parts) if parts else pl.DataFrame(schema=_told(who))


def _told(who: pl.DataType) -> dict[str, pl.DataType]:
    return {
        "signal": pl.String(),
        "annotator": who,
        "unit": pl.Int64(),
        "value": pl.Int64(),
        "at": pl.Datetime("us", "UTC"),
        "shown": pl.String(),
        "again": pl.Boolean(),
        "mode": pl.Int64(),
        "lead": pl.Int64(),
        "mean": pl.Float64(),
    }


def _hits(rows: pl.DataFrame, hit: pl.Expr) -> pl.DataFrame:
    """Count the rows for which a condition holds."""
    return (
        rows.group_by("annotator")
        .agg(hit.sum().cast(pl.Int64).alias("k"), pl.len().cast(pl.Int64).alias("n"))
        .sort("annotator")
    )


def count_as_most(rows: pl.DataFrame) -> pl.DataFrame:
    """Count answers equal to the most frequent one of the others, if there is one."""
    return _hits(rows.filter(pl.col("mode").is_not_null()), pl.col("value") == pl.col("mode"))


def count_sides(votes: pl.DataFrame) -> pl.DataFrame:
    """Count decided votes for the side that more of the others took."""
    decided = votes.filter((pl.col("lead") != 0) & (pl.col("value") != TIE))
    return _hits(decided, (pl.col("value") == 0) == (pl.col("lead") > 0))


def count_as_fit(votes: pl.DataFrame, consensus: pl.DataFrame, weights: pl.DataFrame) -> pl.DataFrame:
    """Count decided votes for the side that the fit leans to without that vote.

    `consensus` has unit, lead and sd: log-odds N(m, s2), under the fit, of an average vote for answer 0;
    `weights` annotator and weight: how much more the annotator's vote counts than an average one.

    A fit has seen the vote. Turned to the side that got it, the mean without a vote of weight w is
    E[x / p(x)] / E[1 / p(x)] = m - w s2 q / (1 + q), where q = exp(w2 s2 / 2 - w m). A vote is left out where
    the rest leans to neither side, and where the fit leans to the vote's side, but only by that vote: it can
    neither be held against the annotator nor speak for them.
    """
    rows = votes.filter(~pl.col("again") & (pl.col("value") != TIE))
    rows = rows.join(consensus.select("unit", "sd", fit="lead"), on="unit").join(weights, on="annotator")
    rows = rows.with_columns(m=pl.when(pl.col("value") == 0).then("fit").otherwise(-pl.col("fit")))
    w, m, s2 = pl.col("weight"), pl.col("m"), pl.col("sd") ** 2
    # q / (1 + q), written so that a large q does not overflow.
    removed = w * s2 / (1 + (w * m - w**2 * s2 / 2).exp())
    rows = rows.with_columns(with_it=_chance(m), without=_chance(m - removed))
    leans = (pl.col("without") - 0.5).abs() > LEANS
    alone = (pl.col("without") < 0.5) & (pl.col("with_it") > 0.5 + LEANS)
    return _hits(rows.filter(leans & ~alone), pl.col("without") > 0.5)


def _chance(log_odds: pl.Expr) -> pl.Expr:
    return 1 / (1 + (-log_odds).exp())


def count_first_shown(votes: pl.DataFrame) -> pl.DataFrame:
    """Count decided votes for the side that was shown first."""
    return _hits(votes.filter(pl.col("shown").is_in(SIDES)), pl.col("shown") == SIDES[0])


def count_known_right(votes: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Count right answers to known questions; `known` has unit and expected."""
    return _hits(votes.filter(~pl.col("again")).join(known, on="unit"), pl.col("value") == pl.col("expected"))


def count_as_before(rows: pl.DataFrame) -> pl.DataFrame:
    """Count repeated judgements equal to the annotator's first one."""
    which = ["signal", "annotator", "unit"]
    first = rows.filter(~pl.col("again")).select(*which, before="value")
    again = rows.filter("again").join(first, on=which)
    return _hits(again, pl.col("value") == pl.col("before"))


def count_ties(votes: pl.DataFrame) -> pl.DataFrame:
    """Count ties; with others (share of ties among everybody else's votes) and answer (in words)."""
    rest = (pl.col("k").sum() - pl.col("k")) / (pl.col("n").sum() - pl.col("n"))
    return _hits(votes, pl.col("value") == TIE).with_columns(
        rest.fill_nan(0).cast(pl.Float64).alias("others"), pl.lit("a tie").alias("answer")
    )


def count_favourites(rated: pl.DataFrame) -> pl.DataFrame:
    """Count completions that got an annotator's favourite level, a mean over criteria.

    Columns: those of `count_ties`.

    Ratings of one completion are correlated, so completions are counted, not ratings.
    """
    said = (
        rated.group_by("signal", "value", "annotator")
        .len("k")
        .with_columns(
            pl.col("k").sum().over("signal", "annotator").alias("n"),
            pl.col("k").sum().over("signal", "value").alias("all_k"),
            pl.col("k").sum().over("signal").alias("all_n"),
        )
        .sort("k", "value")
        .unique(["signal", "annotator"], keep="last", maintain_order=True)
    )
    rest = ((pl.col("all_k") - pl.col("k")) / (pl.col("all_n") - pl.col("n"))).fill_nan(0)
    many = rated.group_by("annotator").agg(pl.struct("unit", "again").n_unique().cast(pl.Int64).alias("many"))
    levels = pl.col("value").unique().sort()
    return (
        said.with_columns(rest=rest)
        .group_by("annotator")
        .agg(
            pl.col("k").sum() / pl.col("n").sum(),
            (pl.col("rest") * pl.col("n")).sum() / pl.col("n").sum(),
            levels.alias("levels"),
        )
        .join(many, on="annotator")
        .select(
            "annotator",
            (pl.col("k") * pl.col("many")).floor().cast(pl.Int64).alias("k"),
            pl.col("many").alias("n"),
            pl.col("rest").cast(pl.Float64).alias("others"),
            pl.when(pl.col("levels").list.len() == 1)
            .then(pl.format("level {}", pl.col("levels").list.first() + 1))
            .otherwise(pl.lit("the same levels"))
            .alias("answer"),
        )
        .sort("annotator")
    )


def measure_gaps(votes: pl.DataFrame, rated: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Measure seconds between successive answers: annotator, median, k (fast ones) of n; and notes.

    Ratings of one completion at one time are one answer. If most answers share their time with
    another, times are those of batches, and there are no gaps.
    """
    cards = rated.unique(["annotator", "unit", "at"], keep="first", maintain_order=True)
    times = pl.concat([part.select("annotator", "at") for part in (votes, cards)])
    times = times.filter(pl.col("at").is_not_null()).sort("at", maintain_order=True)
    apart = pl.col("at").diff().over("annotator").dt.total_microseconds() / 1e6
    between = times.select("annotator", seconds=apart).filter(pl.col("seconds") <= BREAK_SECONDS)
    found = (
        between.group_by("annotator")
        .agg(
            pl.col("seconds").median().alias("median"),
            (pl.col("seconds") < FAST_SECONDS).sum().cast(pl.Int64).alias("k"),
            pl.len().cast(pl.Int64).alias("n"),
        )
        .sort("annotator")
    )
    if between.filter(pl.col("seconds") == 0).height > between.height / 2:
        return found.clear(), ["most answers share their time with another, so speed is not known"]
    return found, []


def list_sequences(votes: pl.DataFrame, rated: pl.DataFrame) -> pl.DataFrame:
    """List (annotator, answer) in order of time: of votes the side, of a completion all its ratings."""
    dated = pl.col("at").is_not_null()
    taken = votes.filter(dated & pl.col("shown").is_not_null()).select("annotator", answer="shown")
    levels = (
        rated.filter(dated)
        .group_by("annotator", "unit", "at", maintain_order=True)
        .agg(pl.concat_str(["signal", "value"], separator=" ").str.join(", ").alias("answer"))
    )
    return pl.concat([taken, levels.sort("at", maintain_order=True).select("annotator", "answer")])


def correlate_ratings(rated: pl.DataFrame) -> pl.DataFrame:
    """Correlate ratings with the others' mean, within criteria: annotator, r, n (completions)."""
    both = rated.filter(pl.col("mean").is_not_null()).select(
        "annotator",
        "unit",
        (pl.col("value") - pl.col("value").mean().over("annotator", "signal")).alias("x"),
        (pl.col("mean") - pl.col("mean").mean().over("annotator", "signal")).alias("y"),
    )
    sums = (
        both.group_by("annotator")
        .agg(
            (pl.col("x") * pl.col("y")).sum().alias("xy"),
            (pl.col("x") ** 2).sum().alias("xx"),
            (pl.col("y") ** 2).sum().alias("yy"),
            pl.col("unit").n_unique().cast(pl.Int64).alias("n"),
        )
        .sort("annotator")
    )
    xy, xx, yy = (sums[name].to_numpy() for name in ("xy", "xx", "yy"))
    spread = np.where((xx > 1e-9) & (yy > 1e-9), np.sqrt(xx * yy), 0)  # a rounding error is no spread
    return sums.select("annotator", pl.Series("r", divide_or_nan(xy, spread)), "n")
