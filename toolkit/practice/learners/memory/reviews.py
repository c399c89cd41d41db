"""Learners' reviews of cards in order, as the memory model takes them: whole days, FSRS' state, slowness.

A learner's day begins at the hour (UTC) at which least is done, so that an evening's session is one day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from ..mastery.answers import Floats, Ints
from .fsrs import compute_retrievability, start_card, update_card
from .model import SAME_DAY_WEIGHT, Card, Parameters, Recall, Review, Reviews, make_cards, take_review

DAY_MS = 86_400_000
USUAL_LOG_S = float(np.log(5.0))  # where the running mean of log(seconds + 0.3) begins
USUAL_STEP = 0.05
LONGEST_DAYS = 3650
_SLOWEST = 2.0
_EDGES = (5, 8, 13, 30, 100)


@dataclass(frozen=True)
class CardReviews:
    """Reviews of cards in the order of time; `cards` in the order in which they first occur.

    `rows`: row, card (index), learner, item, nth (from 0 within the card), day (whole, since 1970), days
    (since the last), right, grade, slowness, key; stability and difficulty by FSRS after it, and `before`,
    the logit of FSRS' retrievability before it. `clocks`: learner, opens_ms (when the day begins), usual
    (running mean at the end).
    """

    cards: pl.DataFrame  # learner, item
    rows: pl.DataFrame
    clocks: pl.DataFrame


def order_reviews(events: pl.DataFrame) -> CardReviews:
    """Order events by time: learner, item, correct, grade, duration_ms, at, key. All have a time."""
    timed = events.sort("at", maintain_order=True).with_columns(
        pl.col("at").dt.epoch("ms").alias("ms"), (pl.col("at").dt.epoch("s") // 3600 % 24).alias("hour")
    )
    clocks = _find_openings(timed)
    timed = timed.join(clocks, on="learner", how="left", maintain_order="left").with_columns(
        ((pl.col("ms") - pl.col("opens_ms")) // DAY_MS).alias("day")
    )
    of = ["learner", "item"]
    cards = timed.select(of).unique(maintain_order=True).with_row_index("card")
    slow, usual = _measure_slowness(timed)
    rows = (
        timed.with_columns(slow)
        .join(cards, on=of, how="left", maintain_order="left")
        .with_row_index("row")
        .select(
            pl.col("row").cast(pl.Int64),
            pl.col("card").cast(pl.Int64),
            *of,
            pl.int_range(pl.len(), dtype=pl.Int64).over(of).alias("nth"),
            "day",
            (pl.col("day") - pl.col("day").shift(1).over(of))
            .fill_null(0)
            .clip(0, LONGEST_DAYS)
            .alias("days"),
            pl.col("correct").cast(pl.Float64).alias("right"),
            pl.coalesce(
                pl.when(pl.col("grade").is_between(1, 4) & ((pl.col("grade") > 1) == pl.col("correct"))).then(
                    "grade"
                ),
                pl.when("correct").then(3).otherwise(1),
            )
            .cast(pl.Int64)
            .alias("grade"),
            "slowness",
            "ms",
            "key",
        )
    )
    return CardReviews(
        cards.drop("card"),
        _follow_fsrs(rows),
        clocks.join(usual, on="learner", how="left", maintain_order="left"),
    )


def _find_openings(timed: pl.DataFrame) -> pl.DataFrame:
    """The hour of each learner, in ms after midnight UTC, around which least is done in three hours."""
    hours = pl.DataFrame({"hour": np.arange(24)})
    counts = (
        timed.select("learner")
        .unique(maintain_order=True)
        .join(hours, how="cross")
        .join(
            timed.group_by("learner", "hour").len(), on=["learner", "hour"], how="left", maintain_order="left"
        )
        .with_columns(pl.col("len").fill_null(0))
    )
    table = counts["len"].to_numpy().reshape(-1, 24)
    around = table + np.roll(table, 1, axis=1) + np.roll(table, -1, axis=1)
    learners = counts["learner"].gather_every(24)
    return pl.DataFrame({"learner": learners, "opens_ms": around.argmin(axis=1) * (DAY_MS // 24)})


def _measure_slowness(timed: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """log(seconds + 0.3) less the learner's running mean before it, within 2 (0: no time), and last means."""
    logs = timed.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        "learner",
        (pl.col("duration_ms") / 1000 + 0.3).log().alias("log"),
    )
    learners = logs.select("learner").unique(maintain_order=True)
    before = learners.select(pl.lit(-1, pl.Int64).alias("row"), "learner", pl.lit(USUAL_LOG_S).alias("log"))
    known = pl.concat([before, logs.drop_nulls("log")]).sort("row", maintain_order=True)
    mean = known.with_columns(
        pl.col("log").ewm_mean(alpha=USUAL_STEP, adjust=False).over("learner").alias("mean")
    )
    usual = mean.group_by("learner", maintain_order=True).agg(pl.col("mean").last().alias("usual"))
    mean = mean.with_columns(pl.col("mean").shift(1).over("learner").alias("usual"))
    joined = logs.join(mean.select("row", "usual"), on="row", how="left", maintain_order="left")
    return joined.select(
        (pl.col("log") - pl.col("usual")).clip(-_SLOWEST, _SLOWEST).fill_null(0.0).alias("slowness")
    )["slowness"], usual


def _follow_fsrs(rows: pl.DataFrame) -> pl.DataFrame:
    """Add stability and difficulty after each review, and the logit of retrievability before it."""
    card, nth = rows["card"].to_numpy(), rows["nth"].to_numpy()
    days, grade = rows["days"].to_numpy(), rows["grade"].to_numpy()
    order = np.argsort(nth, kind="stable")
    ends = np.searchsorted(nth[order], np.arange(int(nth.max(initial=-1)) + 2))
    stability, difficulty, before = np.empty(len(nth)), np.empty(len(nth)), np.zeros(len(nth))
    state = np.zeros((2, int(card.max(initial=-1)) + 1))
    for turn, (low, high) in enumerate(pairwise(ends)):
        now = order[low:high]
        who = card[now]
        if turn == 0:
            state[:, who] = start_card(grade[now])
        else:
            before[now] = compute_logit(days[now], state[0, who])
            state[:, who] = update_card(state[0, who], state[1, who], days[now], grade[now])
        stability[now], difficulty[now] = state[:, who]
    return rows.with_columns(
        stability=pl.Series(stability), difficulty=pl.Series(difficulty), before=pl.Series(before)
    )


def compute_logit(days: Floats | Ints | float, stability: Floats | float) -> Floats:
    """Compute the logit (cards,) of FSRS' retrievability, within bounds; 0 days are half an hour."""
    r = np.clip(compute_retrievability(np.maximum(days, 0.02), stability), 0.2, 0.995)
    return np.asarray(np.log(r / (1 - r)))


def pad_reviews(reviews: CardReviews, weights: Floats | None = None) -> Iterator[tuple[Reviews, Ints, Ints]]:
    """Pad cards with about as many reviews each: reviews (T, B), row of each place (-1: none), the cards (B).

    `weights` (rows,) in the likelihood; by default 1, `SAME_DAY_WEIGHT` on the day of the last review, 0 of
    the first.
    """
    rows = reviews.rows
    counts = np.bincount(rows["card"].to_numpy(), minlength=reviews.cards.height)
    days, nth = rows["days"].to_numpy(), rows["nth"].to_numpy()
    if weights is None:
        weights = np.where(nth == 0, 0.0, np.where(days > 0, 1.0, SAME_DAY_WEIGHT))
    card = rows["card"].to_numpy()
    for low, high in zip((0, *_EDGES), (*_EDGES, np.inf), strict=True):
        mine = np.flatnonzero((counts > low) & (counts <= high))
        if not len(mine):
            continue
        place = np.full(len(counts), -1)
        place[mine] = np.arange(len(mine))
        some = np.flatnonzero(place[card] >= 0)
        at = nth[some], place[card[some]]
        shape = int(counts[mine].max()), len(mine)
        row = np.full(shape, -1)
        row[at] = some

        def spread(
            values: Floats, at: tuple[Ints, Ints] = at, some: Ints = some, shape: tuple[int, int] = shape
        ) -> Floats:
            array = np.zeros(shape)
            array[at] = values[some]
            return array

        names = ("before", "slowness", "right")
        before, slowness, right = (spread(rows[name].to_numpy()) for name in names)
        known = (row >= 0).astype(float)
        review = Review(spread(days.astype(float)), before, slowness, right, known)
        yield Reviews(review, spread(weights)), row, mine


def follow_cards(p: Parameters, reviews: CardReviews) -> tuple[Recall, Card]:
    """Foretell every review (rows,) from those before it, and return the cards' last states (cards,)."""
    p = {name: np.asarray(value, float) for name, value in p.items()}
    found = Recall(*(np.full(reviews.rows.height, np.nan) for _ in Recall._fields))
    ends = Card(*(np.zeros(reviews.cards.height) for _ in Card._fields))
    for block, row, mine in pad_reviews(reviews):
        card = make_cards(np.zeros(len(mine)))
        for t in range(len(row)):
            card, told = take_review(p, card, Review(*(array[t] for array in block.review)))
            there = row[t] >= 0
            for array, values in zip(found, told, strict=True):
                array[row[t][there]] = values[there]
        for array, values in zip(ends, card, strict=True):
            array[mine] = values
    return found, ends
