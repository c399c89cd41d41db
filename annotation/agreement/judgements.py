"""Votes and ratings as judgements: who gave which answer to which unit.

    completion_a  completion_b  choice  shown_first        unit  value  shown
    9f…           1c…           a       b              →   0     1      second

The unit of a vote is its two completions, the lower key first: answers 0 and 1 are votes for the one
and the other, 2 is a tie. The unit of a rating is the completion; answer 0 is the lowest level.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from .intervals import Floats, Ints

TIE = 2
VOTE_ANSWERS = 3
SIDES = ("first", "second")
VOTES = "votes"  # the signal; other signals are ratings' criteria

LOW_HIGH = (
    pl.min_horizontal("completion_a", "completion_b").alias("low"),
    pl.max_horizontal("completion_a", "completion_b").alias("high"),
)


@dataclass(frozen=True)
class Signal:
    """Judgements of one kind: of pairs (votes), or of completions on one criterion.

    `rows` has unit (number from 0), annotator (key, null if not named), value (0 to answers - 1), at,
    shown (place of the chosen side: first or second; tie; null if the order is not
    known), again (true if the annotator had judged the unit before), in order. Signals of ratings number
    completions alike.
    """

    name: str
    answers: int
    rows: pl.DataFrame

    @property
    def ordered(self) -> bool:
        """True if the answers are levels, lowest first."""
        return self.name != VOTES

    @property
    def once(self) -> pl.DataFrame:
        """Judgements without repetitions."""
        return self.rows.filter(~pl.col("again"))


def read_vote_signal(votes: pl.DataFrame) -> tuple[Signal, pl.DataFrame]:
    """Read table `votes` as a signal, and its units: unit, low, high (completions)."""
    for_a = pl.col("choice") == "a"
    rows = _in_order(votes).select(
        *LOW_HIGH,
        "annotator",
        "at",
        pl.when(pl.col("choice") == "tie")
        .then(TIE)
        .otherwise((for_a == (pl.col("completion_a") > pl.col("completion_b"))).cast(pl.Int64))
        .cast(pl.Int64)
        .alias("value"),
        pl.when(pl.col("shown_first").is_null())
        .then(None)
        .when(pl.col("choice") == "tie")
        .then(pl.lit("tie"))
        .when(pl.col("shown_first") == pl.col("choice"))
        .then(pl.lit(SIDES[0]))
        .otherwise(pl.lit(SIDES[1]))
        .alias("shown"),
    )
    units = _numbered(rows, "low", "high")
    rows = rows.join(units, on=["low", "high"], maintain_order="left").drop("low", "high")
    return Signal(VOTES, VOTE_ANSWERS, _with_again(rows)), units


def read_rating_signals(ratings: pl.DataFrame) -> list[Signal]:
    """Read table `ratings` as one signal a criterion, in order of name.

    A criterion with another number of levels elsewhere in the source is another signal.
    """
    signals = []
    rows = _in_order(ratings)
    rows = rows.join(_numbered(rows, "completion"), on="completion", maintain_order="left")
    scales = rows.select("criterion", "levels").unique().sort("criterion", "levels")
    for criterion, levels in scales.rows():
        several = scales.filter(criterion=criterion).height > 1
        mine = rows.filter(criterion=criterion, levels=levels).select(
            "unit",
            "annotator",
            "at",
            (pl.col("value") - 1).alias("value"),
            pl.lit(None, pl.String).alias("shown"),
        )
        name = f"{criterion} (of {levels})" if several or criterion == VOTES else criterion
        signals.append(Signal(name, levels, _with_again(mine)))
    return signals


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort by time; equal or unknown times by place in the input."""
    paths = pl.Enum(rows["path"].unique().sort())  # sorted as numbers: much faster
    return rows.with_columns(pl.col("path").cast(paths)).sort("at", "path", "line", "n", nulls_last=True)


def _numbered(rows: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Distinct rows of some columns with their number `unit`, in the order they come."""
    distinct = rows.select(names).unique(maintain_order=True)
    return distinct.with_columns(unit=pl.int_range(pl.len(), dtype=pl.Int64))


def _with_again(rows: pl.DataFrame) -> pl.DataFrame:
    who = pl.col("annotator")
    seen = pl.struct("unit", who.to_physical() if isinstance(rows.schema["annotator"], pl.Enum) else who)
    return rows.with_columns(again=who.is_not_null() & ~seen.is_first_distinct())


def count_answers(rows: pl.DataFrame, answers: int, units: int) -> Ints:
    """Count how many of `rows` gave each answer to each unit: (units, answers)."""
    places = (rows["unit"] * answers + rows["value"]).to_numpy()
    return np.bincount(places, minlength=units * answers).reshape(units, answers).astype(np.int64)


def count_others(signal: Signal, peers: pl.DataFrame) -> Ints:
    """Count for every row of `signal.once` how many others gave each answer to its unit: (rows, answers).

    `peers` are the rows of `signal.once` that count as others; a row does not count itself.
    """
    mine = signal.once
    units = int(signal.rows["unit"].to_numpy().max(initial=0)) + 1
    counts = count_answers(peers, signal.answers, units)[mine["unit"].to_numpy()]
    itself = mine.select(pl.col("annotator").is_in(peers["annotator"].unique().implode(), nulls_equal=True))
    counts[np.arange(len(counts)), mine["value"].to_numpy()] -= itself.to_series().to_numpy()

    return np.asarray(counts)


def find_modes(counts: Ints) -> Ints:
    """Find the most frequent answer of each row of counts (units, answers); -1 if tied or without answers."""
    most = counts.max(axis=1, initial=0)
    alone = ((counts == most[:, None]).sum(axis=1) == 1) & (most > 0)
    return np.where(alone, counts.argmax(axis=1) if counts.size else 0, -1)


def compute_means(counts: Ints) -> Floats:
    """Compute the mean answer of each row of counts (units, answers); NaN without answers."""
    n = counts.sum(axis=1)
    total = counts @ np.arange(counts.shape[1])
    return np.asarray(np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0))
