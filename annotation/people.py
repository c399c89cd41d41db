"""What each named annotator did: agreement with the others and with a fit, sides, speed, known and
repeated questions, and which of them need a look (habits.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from .habits import (
    BREAK_SECONDS,
    FAST_SECONDS,
    Test,
    at_chance,
    changed_mind,
    flagged,
    known_wrong,
    longest_runs,
    one_side,
    same_answer,
    too_fast,
    uncorrelated,
)
from .intervals import Floats, Share, ratio, share
from .judgements import SIDES, TIE, VOTES, Signal, mean_of, others_counts, single_mode

LEANS = 0.05  # a fit takes a side where it is further than this from a half
_COUNT = ("k", "n")


@dataclass(frozen=True)
class Speed:
    """Seconds between successive answers, breaks left out."""

    median: float
    answers: int
    fast: int  # of these, in less than FAST_SECONDS


@dataclass(frozen=True)
class Person:
    """One annotator of a source. Shares are null where there is nothing to count."""

    annotator: str  # pseudonym
    kind: str
    votes: int
    ratings: int
    majority: Share | None  # answers equal to the most frequent one of the other people, where one is
    fit: Share | None  # decided votes on the side that the fit, without that vote, leans to
    reliability: dict[str, float] | None  # of the fit: mean, low, high (90 %)
    first_shown: Share | None  # decided votes for the side that was shown first
    speed: Speed | None
    known: Share | None  # known questions answered rightly
    repeats: Share | None  # repeated questions answered as before
    look: list[dict[str, Any]] = field(default_factory=list)  # kind, p and words of each reason


def describe(
    signals: Sequence[Signal],
    annotators: pl.DataFrame,
    known: pl.DataFrame,
    consensus: pl.DataFrame,
    reliability: Mapping[str, dict[str, float]],
    agreement: float | None,
) -> tuple[list[Person], list[str]]:
    """Everybody who judged, those of the most judgements first, and what could not be looked at.

    `annotators` has annotator (key), kind, pseudonym, peer (whether they count as others); `known` unit and
    expected (answers to known votes); `consensus` unit, lead and sd (log-odds that answer 0 is better);
    `reliability` is by pseudonym; `agreement` that of two annotators about votes, where it is known.
    """
    votes = [signal for signal in signals if not signal.ordered]
    rated = [signal for signal in signals if signal.ordered]
    gaps, notes = _gaps(signals)
    ranked = _known(votes, known)
    repeats = _repeats(signals)
    first = _first_shown(votes)
    tests = [
        *one_side(first),
        *same_answer(pl.concat([_ties(votes), _levels(rated)])),
        *longest_runs(_runs(votes, rated)),
        *at_chance(_sides(votes, annotators)),
        *uncorrelated(_correlations(rated, annotators)),
        *too_fast(gaps),
        *known_wrong(ranked),
        *changed_mind(repeats, agreement),
    ]
    looks: dict[str, list[Test]] = {}
    for test in flagged(tests):
        looks.setdefault(test.annotator, []).append(test)
    counted = {
        "majority": _majority(signals, annotators), "fit": _with_fit(votes, consensus),
        "first_shown": first, "known": ranked, "repeats": repeats,
    }  # fmt: skip
    shares = {
        name: {who: share(k, n) for who, k, n in counts.select("annotator", *_COUNT).rows()}
        for name, counts in counted.items()
    }
    speed = {r["annotator"]: Speed(r["median"], r["n"], r["k"]) for r in gaps.iter_rows(named=True)}
    n_votes, n_ratings = _judged(votes), _judged(rated)
    people = [
        Person(
            row["pseudonym"], row["kind"], n_votes.get(key, 0), n_ratings.get(key, 0),
            reliability=reliability.get(row["pseudonym"]), speed=speed.get(key),
            look=[{k: v for k, v in asdict(test).items() if k != "annotator"} for test in looks.get(key, [])],
            **{name: by.get(key) for name, by in shares.items()},
        )
        for row in annotators.iter_rows(named=True) for key in (row["annotator"],)
        if key in n_votes or key in n_ratings
    ]  # fmt: skip
    return sorted(people, key=lambda p: (-p.votes - p.ratings, p.annotator)), notes


def _rows(signals: Sequence[Signal]) -> pl.DataFrame:
    """Judgements of named annotators of several signals, with the signal's name."""
    parts = [
        signal.rows.filter(pl.col("annotator").is_not_null()).select(
            pl.lit(signal.name).alias("signal"), "annotator", "unit", "value", "at", "shown", "again",
            (pl.col("completion") if signal.ordered else pl.col("unit").cast(pl.String)).alias("card"),
        )
        for signal in signals
    ]  # fmt: skip
    return pl.concat(parts) if parts else pl.DataFrame(schema=_ROWS)


_ROWS: dict[str, Any] = {"signal": pl.String, "annotator": pl.String, "unit": pl.Int64, "value": pl.Int64,
         "at": pl.Datetime("us", "UTC"), "shown": pl.String, "again": pl.Boolean,
         "card": pl.String}  # fmt: skip


def _judged(signals: Sequence[Signal]) -> dict[str, int]:
    return dict(_rows(signals).group_by("annotator").len().rows())


def _hits(rows: pl.DataFrame, hit: pl.Expr) -> pl.DataFrame:
    """Per annotator, in how many (k) of the rows (n) something holds."""
    return rows.group_by("annotator").agg(
        hit.sum().cast(pl.Int64).alias("k"), pl.len().cast(pl.Int64).alias("n")
    ).sort("annotator")  # fmt: skip


def _others(signal: Signal, annotators: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
    """Judgements without repetitions, and how many other people gave each answer to their units."""
    models = annotators.filter(~pl.col("peer"))["annotator"]
    peers = signal.once.filter(
        pl.col("annotator").is_null() | ~pl.col("annotator").is_in(models.implode(), nulls_equal=True)
    )
    return signal.once, others_counts(signal, peers)


def _majority(signals: Sequence[Signal], annotators: pl.DataFrame) -> pl.DataFrame:
    """Answers equal to the most frequent one of the others, where there is one."""
    parts = [pl.DataFrame(schema={"annotator": pl.String, "value": pl.Int64, "mode": pl.Int64})]
    for signal in signals:
        rows, counts = _others(signal, annotators)
        mode = pl.Series("mode", single_mode(counts), pl.Int64)
        parts.append(rows.select("annotator", "value").with_columns(mode))
    rows = pl.concat(parts).filter(pl.col("annotator").is_not_null() & (pl.col("mode") >= 0))
    return _hits(rows, pl.col("value") == pl.col("mode"))


def _sides(votes: Sequence[Signal], annotators: pl.DataFrame) -> pl.DataFrame:
    """Decided votes on the side that more of the others took."""
    parts = [pl.DataFrame(schema={"annotator": pl.String, "value": pl.Int64, "lead": pl.Int64})]
    for signal in votes:
        rows, counts = _others(signal, annotators)
        lead = pl.Series("lead", counts[:, 0] - counts[:, 1], pl.Int64)
        parts.append(rows.select("annotator", "value").with_columns(lead))
    rows = pl.concat(parts).filter(
        pl.col("annotator").is_not_null() & (pl.col("lead") != 0) & (pl.col("value") != TIE)
    )
    return _hits(rows, (pl.col("value") == 0) == (pl.col("lead") > 0))


def _with_fit(votes: Sequence[Signal], consensus: pl.DataFrame) -> pl.DataFrame:
    """Decided votes on the side the fit leans to without that vote.

    A fit has seen the vote. If the log-odds that the vote goes as it went are N(m, s2) under the fit,
    its probability given all the other signals is 1 / E[1 / p] = 1 / (1 + exp(s2 / 2 - m)).
    """
    rows = _rows(votes).filter(~pl.col("again") & (pl.col("value") != TIE)).join(consensus, on="unit")
    toward = pl.when(pl.col("value") == 0).then("lead").otherwise(-pl.col("lead"))
    p = 1 / (1 + (pl.col("sd") ** 2 / 2 - toward).exp())
    rows = rows.with_columns(p=p).filter((pl.col("p") - 0.5).abs() > LEANS)
    return _hits(rows, pl.col("p") > 0.5)


def _first_shown(votes: Sequence[Signal]) -> pl.DataFrame:
    return _hits(_rows(votes).filter(pl.col("shown").is_in(SIDES)), pl.col("shown") == "first")


def _known(votes: Sequence[Signal], known: pl.DataFrame) -> pl.DataFrame:
    rows = _rows(votes).filter(~pl.col("again")).join(known, on="unit")
    return _hits(rows, pl.col("value") == pl.col("expected"))


def _repeats(signals: Sequence[Signal]) -> pl.DataFrame:
    """Repeated judgements equal to the annotator's first one of that unit."""
    first = pl.col("value").first().over("signal", "annotator", "unit")
    rows = _rows(signals).with_columns(same=pl.col("value") == first).filter("again")
    return _hits(rows, pl.col("same"))


def _gaps(signals: Sequence[Signal]) -> tuple[pl.DataFrame, list[str]]:
    """Seconds between an annotator's successive answers: median, k fast ones of n.

    Ratings of one completion at one time are one answer. Where most answers share their time with
    another, it is that of a batch, and nothing is said.
    """
    cards = _rows(signals).filter(pl.col("at").is_not_null()).with_columns(
        pl.when(pl.col("signal") == VOTES).then("signal").otherwise(pl.lit("")).alias("signal")
    ).unique(["annotator", "signal", "card", "at"]).sort("annotator", "at")  # fmt: skip
    gaps = cards.with_columns(
        seconds=pl.col("at").diff().over("annotator").dt.total_microseconds() / 1e6
    ).filter(pl.col("seconds") <= BREAK_SECONDS)
    found = gaps.group_by("annotator").agg(
        pl.col("seconds").median().alias("median"),
        (pl.col("seconds") < FAST_SECONDS).sum().cast(pl.Int64).alias("k"),
        pl.len().cast(pl.Int64).alias("n"),
    ).sort("annotator")  # fmt: skip
    if gaps.height and gaps.filter(pl.col("seconds") == 0).height > gaps.height / 2:
        return found.clear(), ["most answers share their time with another, so speed is not known"]
    return found, []


_SAME: dict[str, Any] = {
    "annotator": pl.String,
    "k": pl.Int64,
    "n": pl.Int64,
    "others": pl.Float64,
    "answer": pl.String,
}


def _ties(votes: Sequence[Signal]) -> pl.DataFrame:
    """Ties of each annotator, and the share of ties among everybody else's votes."""
    counts = _hits(_rows(votes), pl.col("value") == TIE)
    return counts.select(
        "annotator", *_COUNT, _rest("k", "n").alias("others"), pl.lit("a tie").alias("answer")
    )  # fmt: skip


def _rest(k: str, n: str) -> pl.Expr:
    """The share of k in n over all other rows; 0 where there are none."""
    return ((pl.col(k).sum() - pl.col(k)) / (pl.col(n).sum() - pl.col(n))).fill_nan(0).fill_null(0)


def _levels(rated: Sequence[Signal]) -> pl.DataFrame:
    """Each annotator's favourite level of every criterion: its share, in completions, over criteria.

    Ratings of one completion hang together, so that completions are counted, not ratings.
    """
    rows = _rows(rated)
    if rows.is_empty():
        return pl.DataFrame(schema=_SAME)
    said = rows.group_by("signal", "value", "annotator").len("k").with_columns(
        pl.col("k").sum().over("signal", "annotator").alias("n"),
        pl.col("k").sum().over("signal", "value").alias("all_k"),
        pl.col("k").sum().over("signal").alias("all_n"),
    ).sort("k", "value").unique(["signal", "annotator"], keep="last", maintain_order=True)  # fmt: skip
    rest = ((pl.col("all_k") - pl.col("k")) / (pl.col("all_n") - pl.col("n"))).fill_nan(0)
    many = rows.group_by("annotator").agg(pl.struct("card", "again").n_unique().cast(pl.Int64).alias("many"))
    levels = pl.col("value").unique(maintain_order=True)
    return (
        said.with_columns(rest=rest)
        .group_by("annotator")
        .agg(pl.col("k").sum() / pl.col("n").sum(), (pl.col("rest") * pl.col("n")).sum() / pl.col("n").sum(),
             levels.alias("levels"))
        .join(many, on="annotator")
        .select("annotator", (pl.col("k") * pl.col("many")).floor().cast(pl.Int64).alias("k"),
                pl.col("many").alias("n"), pl.col("rest").alias("others"),
                pl.when(pl.col("levels").list.len() == 1)
                .then(pl.format("level {}", pl.col("levels").list.first() + 1))
                .otherwise(pl.lit("the same levels")).alias("answer"))
        .sort("annotator")
    )  # fmt: skip


def _runs(votes: Sequence[Signal], rated: Sequence[Signal]) -> pl.DataFrame:
    """Answers in order of time: sides of votes, and of ratings what a completion got on all criteria."""
    sides = _rows(votes).filter(pl.col("at").is_not_null() & pl.col("shown").is_not_null())
    said = [sides.sort("annotator", "at").select("annotator", pl.col("shown").alias("answer"))]
    levels = _rows(rated).filter(pl.col("at").is_not_null())
    if levels.height:
        said.append(
            levels.sort("signal").group_by("annotator", "card", "at", maintain_order=True)
            .agg(pl.concat_str(["signal", "value"], separator=" ").str.join(" ").alias("answer"))
            .sort("annotator", "at", "card").select("annotator", "answer")
        )  # fmt: skip
    # Who both votes and rates has a sequence of each, and one never ends in the other's answer.
    return pl.concat(said)


def _correlations(rated: Sequence[Signal], annotators: pl.DataFrame) -> pl.DataFrame:
    """Correlation r of an annotator's ratings and the others' mean of the same completion, within
    criteria, and the number n of completions.
    """
    parts = [
        pl.DataFrame(schema={"annotator": pl.String, "x": pl.Float64, "y": pl.Float64, "card": pl.String})
    ]
    for signal in rated:
        rows, counts = _others(signal, annotators)
        both = rows.select("annotator", pl.col("value").cast(pl.Float64).alias("x"),
                           pl.Series("y", mean_of(counts)), pl.col("completion").alias("card"))  # fmt: skip
        both = both.filter(pl.col("annotator").is_not_null() & pl.col("y").is_not_nan())
        parts.append(both.with_columns(pl.col("x", "y") - pl.col("x", "y").mean().over("annotator")))
    sums = pl.concat(parts).group_by("annotator").agg(
        (pl.col("x") * pl.col("y")).sum().alias("xy"), (pl.col("x") ** 2).sum().alias("xx"),
        (pl.col("y") ** 2).sum().alias("yy"), pl.col("card").n_unique().cast(pl.Int64).alias("n"),
    ).sort("annotator")  # fmt: skip
    xy, spread = _arrays(sums)
    return sums.select("annotator", pl.Series("r", ratio(xy, spread)), "n")


def _arrays(sums: pl.DataFrame) -> tuple[Floats, Floats]:
    xx, yy = sums["xx"].to_numpy(), sums["yy"].to_numpy()
    # A rounding error is no spread.
    spread = np.where((xx > 1e-9) & (yy > 1e-9), np.sqrt(xx * yy), 0)
    return sums["xy"].to_numpy(), spread
