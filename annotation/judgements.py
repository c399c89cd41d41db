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

# Earlier answers first. Places in the input decide where times are equal or not known.
_IN_ORDER = ("at", "path", "line", "n")


@dataclass(frozen=True)
class Signal:
    """Judgements of one kind: of pairs (votes), or of completions on one criterion.

    `rows` has unit (number from 0), annotator (key, null where not named), value (0 to answers - 1), at,
    shown (first or second: where the side that the vote is for stood; tie; null where the order is not
    known), again (whether the annotator had judged the unit before), in order.
    """

    name: str
    answers: int
    rows: pl.DataFrame

    @property
    def ordered(self) -> bool:
        """Whether the answers are levels, lowest first."""
        return self.name != VOTES

    @property
    def once(self) -> pl.DataFrame:
        """Judgements without repetitions."""
        return self.rows.filter(~pl.col("again"))


def from_votes(votes: pl.DataFrame) -> Signal:
    """`votes` with the columns of the table of that name."""
    swapped = pl.col("completion_a") > pl.col("completion_b")
    low, high = (
        pl.min_horizontal("completion_a", "completion_b"),
        pl.max_horizontal("completion_a", "completion_b"),
    )
    for_a = pl.col("choice") == "a"
    rows = votes.sort(_IN_ORDER, nulls_last=True).select(
        _numbered(pl.concat_str(low, pl.lit(" "), high)),
        "annotator",
        pl.when(pl.col("choice") == "tie").then(TIE).otherwise((for_a == swapped).cast(pl.Int64))
        .cast(pl.Int64).alias("value"),
        "at",
        pl.when(pl.col("shown_first").is_null()).then(None)
        .when(pl.col("choice") == "tie").then(pl.lit("tie"))
        .when(pl.col("shown_first") == pl.col("choice")).then(pl.lit(SIDES[0])).otherwise(pl.lit(SIDES[1]))
        .alias("shown"),
    )  # fmt: skip
    return Signal(VOTES, VOTE_ANSWERS, _with_again(rows))


def from_ratings(ratings: pl.DataFrame) -> list[Signal]:
    """One signal a criterion, in order of name, of `ratings` with the columns of that table.

    A criterion with another number of levels elsewhere in the source is another signal.
    """
    signals = []
    rows = ratings.sort(_IN_ORDER, nulls_last=True)
    scales = rows.select("criterion", "levels").unique().sort("criterion", "levels")
    for criterion, levels in scales.rows():
        several = scales.filter(criterion=criterion).height > 1
        mine = rows.filter(criterion=criterion, levels=levels).select(
            _numbered(pl.col("completion")), "annotator", (pl.col("value") - 1).alias("value"), "at",
            pl.lit(None, pl.String).alias("shown"), "completion",
        )  # fmt: skip
        name = f"{criterion} (of {levels})" if several or criterion == VOTES else criterion
        signals.append(Signal(name, levels, _with_again(mine)))
    return signals


def _numbered(name: pl.Expr) -> pl.Expr:
    return (name.rank("dense") - 1).cast(pl.Int64).alias("unit")


def _with_again(rows: pl.DataFrame) -> pl.DataFrame:
    named = pl.col("annotator").is_not_null()
    return rows.with_columns(again=named & (pl.int_range(pl.len()).over("unit", "annotator") > 0))


def unit_counts(rows: pl.DataFrame, answers: int, units: int) -> Ints:
    """How many of `rows` gave each answer to each unit (units, answers)."""
    places = (rows["unit"] * answers + rows["value"]).to_numpy()
    return np.bincount(places, minlength=units * answers).reshape(units, answers).astype(np.int64)


def others_counts(signal: Signal, peers: pl.DataFrame) -> Ints:
    """For every row of `signal.once`, how many others gave each answer to its unit (rows, answers).

    `peers` are the rows of `signal.once` that count as others; a row is no other of itself.
    """
    mine = signal.once
    units = int(signal.rows["unit"].to_numpy().max(initial=0)) + 1
    counts = unit_counts(peers, signal.answers, units)[mine["unit"].to_numpy()]
    itself = mine.select(pl.col("annotator").is_in(peers["annotator"].unique().implode(), nulls_equal=True))
    counts[np.arange(len(counts)), mine["value"].to_numpy()] -= itself.to_series().to_numpy()

    return np.asarray(counts)


def single_mode(counts: Ints) -> Ints:
    """The most frequent answer of each row of counts, -1 where several are or none is."""
    most = counts.max(axis=1, initial=0)
    alone = ((counts == most[:, None]).sum(axis=1) == 1) & (most > 0)
    return np.where(alone, counts.argmax(axis=1) if counts.size else 0, -1)


def mean_of(counts: Ints) -> Floats:
    """The mean answer of each row of counts; NaN where there is none."""
    n = counts.sum(axis=1)
    total = counts @ np.arange(counts.shape[1])
    return np.asarray(np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0))
