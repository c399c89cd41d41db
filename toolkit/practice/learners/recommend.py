"""`preceptor recommend`: what a learner should do next, and why.

The gain of an item is P(right) on its skills after an answer less before it, averaged over both answers and
the posterior; an item that is too easy or too hard for now gains less; a card that is due gains what it would
lose. A share of places, drawn by a seed, explores: items whose skills are known least.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from ....schemas.errors import StoreError
from ...store.connection import Store, query
from .mastery.answers import SEPARATOR, Floats
from .mastery.model import NODES, WEIGHTS
from .mastery.online import LearnerState, Model, predict_answer, start_learner
from .states import (
    DUE_BELOW,
    count_days,
    read_cards,
    read_learner,
    read_learner_fit,
    read_mastery_model,
)

BAND = 0.2, 0.9  # P(right) at which practice is neither discouraging nor idle
ROOM = 0.6  # log-odds that an answer teaches beside the model's gains, where all is still to be learnt
REST_DAYS = 2.0  # an item is not asked again earlier, unless it is due
EXPLORE = 0.1  # share of the places
_OUTSIDE = 0.5  # weight of an item outside the band
_ERRORS = 1.5  # weight of an item about an error type that the learner has made
LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2")


@dataclass(frozen=True)
class Wishes:
    """How many items, from which exercises and cards, and what the choice heeds."""

    n: int = 10
    seed: int = 0
    band: tuple[float, float] = BAND
    rest_days: float = REST_DAYS
    explore: float = EXPLORE
    at: datetime | None = None  # now, by default


DEFAULT = Wishes()


@dataclass(frozen=True)
class Recommended:
    """An item, P(right) with its interval, the expected gain and its sd, and the reason in words."""

    item: str
    skills: list[str]
    p: float
    low: float
    high: float
    gain: float
    gain_sd: float
    due: bool
    explored: bool
    because: str


_ITEMS = """
SELECT item, any_value(skills) AS skills, NULL AS level, NULL AS shown FROM (
    SELECT item, coalesce(list_sort(skills), [item]) AS skills FROM reviews r
    WHERE r.source IN (SELECT source FROM reviews GROUP BY source
        HAVING bool_or(skills IS NOT NULL) OR bool_and("at" IS NULL)))
GROUP BY item
UNION ALL
SELECT key, [coalesce(error_type, kind)], level, shown FROM exercises
WHERE key NOT IN (SELECT item FROM reviews)"""
_OWN = """
SELECT item, count(*) AS n, max("at") AS last FROM reviews WHERE learner = $who GROUP BY item"""
_ERRORS_MADE = """
SELECT e.error_type AS skill, count(*) AS n FROM edits e JOIN sentences s ON s.key = e.sentence
WHERE s.learner = $who AND e.start >= 0 GROUP BY 1"""
_LEVEL = "SELECT level FROM sentences WHERE learner = $who AND level IS NOT NULL ORDER BY key DESC LIMIT 1"


def recommend(con: Store, learner: str, wishes: Wishes = DEFAULT) -> list[Recommended]:
    """Choose what a learner (a pseudonym) should do next, best first; newcomers start from what others can.

    Items are those of reviews that tell of mastery, exercises of the store, and cards of this learner that
    are due; cards alone where only memory was fitted. Raises StoreError without a fit or items.
    """
    now = wishes.at or datetime.now(UTC)
    kinds = query(con, "SELECT DISTINCT kind FROM learner_fits")["kind"].to_list()
    if kinds == ["memory"]:
        return _recommend_cards(con, learner, now, wishes.n)
    fit = read_learner_fit(con)
    model = read_mastery_model(fit)
    state = read_learner(con, fit["key"], learner) or start_learner(model)
    items = _list_items(con, learner, now, wishes)
    if items.is_empty():
        raise StoreError(
            "nothing to recommend: every item was asked within the last days, or there is none; make "
            "exercises (preceptor exercises build), or ingest a log whose items have skills"
        )
    scored = _score(model, state, items, now, wishes)
    return [_explain(row, wishes) for row in _choose(scored, learner, wishes).iter_rows(named=True)]


def _recommend_cards(con: Store, learner: str, now: datetime, n: int) -> list[Recommended]:
    """Choose the cards that are due, those that are remembered least first."""
    cards = read_cards(con, learner, now)
    due = cards.filter(pl.col("due_at") <= now).sort("mean", "item").head(n)
    if due.is_empty():
        days: list[str] = cards["due_at"].dt.strftime("%Y-%m-%d").sort().to_list()
        when = f"the next one is due on {days[0]}" if days else "there are none"
        raise StoreError(f"nothing to recommend: no card of this learner is due; {when}")
    return [
        Recommended(
            item,
            [item],
            mean,
            low,
            high,
            max(DUE_BELOW - mean, 0.0),
            0.0,
            due=True,
            explored=False,
            because=f"due: remembered with probability {mean:.2f} ({low:.2f} to {high:.2f})",
        )
        for item, mean, low, high in due.select("item", "mean", "low", "high").iter_rows()
    ]


def order_items(con: Store, learners: Sequence[str], items: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Order items (item, skills, level) for each of some learners by expected gain at a time, best first.

    Returns learner, item, place (from 0). Learners whom the newest fit of mastery has not seen are left out;
    without a fit the frame is empty.
    """
    columns = {"learner": pl.String, "item": pl.String, "place": pl.Int64}
    ranked = [pl.DataFrame(schema=columns)]
    if items.is_empty() or query(con, "SELECT 1 FROM learner_fits WHERE kind = 'mastery' LIMIT 1").is_empty():
        return ranked[0]
    fit = read_learner_fit(con)
    model = read_mastery_model(fit)
    new = items.select("item", "skills", "level", pl.lit(None, pl.Float64).alias("recall"))
    for learner in learners:
        if (state := read_learner(con, fit["key"], learner)) is None:
            continue
        scored = _score(model, state, _add_what_fits(con, learner, new), at, DEFAULT)
        order = _rank(scored, _draw_noise(scored, learner, DEFAULT)[1]).select("item")
        ranked.append(order.with_row_index("place").select(pl.lit(learner).alias("learner"), "item", "place"))
    return pl.concat([part.cast(columns) for part in ranked])  # type: ignore[arg-type]


def _list_items(con: Store, learner: str, now: datetime, wishes: Wishes) -> pl.DataFrame:
    """List candidates: item, skills, recall (of a card that is due), errors made, level apart."""
    who = {"who": learner}
    own, cards = query(con, _OWN, who), read_cards(con, learner, now)
    due = cards.filter(pl.col("due_at") <= now).select("item", pl.col("mean").alias("recall"))
    rested = now - timedelta(days=wishes.rest_days)
    items = (
        query(con, _ITEMS)
        .join(own, on="item", how="left")
        .join(due, on="item", how="full", coalesce=True)
        .with_columns(pl.coalesce("skills", pl.concat_list("item")).alias("skills"))
        .filter(pl.col("last").is_null() | (pl.col("last") <= rested) | pl.col("recall").is_not_null())
    )
    return _add_what_fits(con, learner, items)


def _add_what_fits(con: Store, learner: str, items: pl.DataFrame) -> pl.DataFrame:
    """Add to items, sorted: errors (of the same type in the learner's own sentences) and level_apart."""
    who = {"who": learner}
    errors = query(con, _ERRORS_MADE, who)
    level = query(con, _LEVEL, who)["level"]
    made = items.select("item", pl.col("skills").alias("skill")).explode("skill").join(errors, on="skill")
    counted = made.group_by("item").agg(pl.col("n").sum().alias("errors"))
    mine = LEVELS.index(level[0][:2]) if len(level) and level[0][:2] in LEVELS else None
    apart = find_level("level") - (mine or 0)
    return (
        items.join(counted, on="item", how="left")
        .with_columns((apart if mine is not None else pl.lit(None, pl.Int64)).alias("level_apart"))
        .sort("item")
    )


def find_level(column: str) -> pl.Expr:
    """Find the place of a CEFR level among LEVELS; null for what is none."""
    places = {name: k for k, name in enumerate(LEVELS)}
    return pl.col(column).str.head(2).replace_strict(places, default=None, return_dtype=pl.Int64)


def _score(
    model: Model, state: LearnerState, items: pl.DataFrame, now: datetime, wishes: Wishes
) -> pl.DataFrame:
    """Add p, low, high, gain, gain_sd and value: one look at the state for each set of skills."""
    sets = items.select(pl.col("skills").list.join(SEPARATOR).alias("set")).to_series()
    kinds = sets.unique(maintain_order=True)
    looked = [measure_gain(model, state, kind.split(SEPARATOR), count_days(now)) for kind in kinds]
    of_set = pl.DataFrame(looked).with_columns(kinds.alias("set"))
    low, high = wishes.band
    inside = pl.col("p").is_between(low, high)
    due = (DUE_BELOW - pl.col("recall")).clip(0).fill_null(0.0)
    errors = pl.when(pl.col("errors").is_not_null()).then(_ERRORS).otherwise(1.0)
    fits = 1 / (1 + pl.col("level_apart").abs().fill_null(0))
    return (
        items.with_columns(sets.alias("set"))
        .join(of_set, on="set", how="left", maintain_order="left")
        .with_columns(inside.alias("inside"), pl.col("recall").is_not_null().alias("due"))
        .with_columns(
            (pl.col("gain") * pl.when("inside").then(1.0).otherwise(_OUTSIDE) * errors * fits + due).alias(
                "value"
            )
        )
    )


def measure_gain(model: Model, state: LearnerState, skills: Sequence[str], day: float) -> dict[str, Any]:
    """Measure P(right) with its interval and the expected gain of a question of these skills, with its sd."""
    at, variance, guess, slip, nth = read_ability(model, state, skills, day)
    gain, spread = expect_gain(model, np.array([at]), np.array([variance]), np.array([nth]))
    sd = np.sqrt(variance)
    ends = guess + (1 - guess - slip) / (1 + np.exp(-(at + np.array([-1.6449, 0, 1.6449]) * sd)))
    p = float((WEIGHTS * (guess + (1 - guess - slip) / (1 + np.exp(-(at + sd * NODES))))).sum())
    return {
        "p": p,
        "low": float(ends[0]),
        "high": float(ends[2]),
        "gain": float(gain[0]),
        "gain_sd": float(spread[0]),
        "sd": float(sd),
    }


def read_ability(
    model: Model, state: LearnerState, skills: Sequence[str], day: float
) -> tuple[float, float, float, float, float]:
    """Read mean and variance of what an answer depends on without form, guess, slip, and answers so far."""
    told = predict_answer(model, state, skills[0], skills, day, form=False)
    nth = float(np.mean([state.times.get(skill, [0])[0] for skill in skills]))
    return told.mean, told.variance, told.guess, told.slip, nth


def expect_gain(model: Model, at: Floats, variance: Floats, nth: Floats) -> tuple[Floats, Floats]:
    """Compute by how much P(right) rises by one answer, and its sd over the posterior: (n,) each.

    Learning is what the model gives to a right and to a wrong answer, at the chances of each, and more the
    more there is to learn: logs of lessons, whose order teachers chose, tell too little of that.
    """
    s = model.scalars
    z = at[:, None] + np.sqrt(variance)[:, None] * NODES
    p = 1 / (1 + np.exp(-z))
    fading = np.exp(-np.exp(s["log_fading"]) * nth)[:, None]
    room = ROOM * (1 - p)
    rise = [1 / (1 + np.exp(-(z + s[name] * fading + room))) - p for name in ("gain_right", "gain_wrong")]
    each = p * rise[0] + (1 - p) * rise[1]
    mean = each @ WEIGHTS
    return mean, np.sqrt(np.maximum((each**2) @ WEIGHTS - mean**2, 0))


def _choose(scored: pl.DataFrame, learner: str, wishes: Wishes) -> pl.DataFrame:
    """Choose the best items by value, and some by how little is known of their skills."""
    drawn, noise = _draw_noise(scored, learner, wishes)
    ranked = _rank(scored, noise)
    explored = int(drawn.binomial(wishes.n, wishes.explore)) if ranked.height > wishes.n else 0
    best = ranked.head(wishes.n - explored).with_columns(pl.lit(False).alias("explored"))
    rest = ranked.slice(wishes.n - explored).sort(["sd", "noise"], descending=True).head(explored)
    return pl.concat([best, rest.with_columns(pl.lit(True).alias("explored"))])


def _draw_noise(scored: pl.DataFrame, learner: str, wishes: Wishes) -> tuple[np.random.Generator, pl.Series]:
    """Draw a number for each item, by which equal values are told apart; also return the generator."""
    drawn = np.random.default_rng([wishes.seed, int(hashlib.sha256(learner.encode()).hexdigest()[:8], 16)])
    return drawn, pl.Series("noise", drawn.random(scored.height))


def _rank(scored: pl.DataFrame, noise: pl.Series) -> pl.DataFrame:
    """Sort items by value, best first; several of the same skills gain less together than apart."""
    best = scored.with_columns(noise).sort(["value", "noise"], descending=True)
    # The second item of a set of skills comes after the others' first.
    rounds = best.with_columns(pl.int_range(pl.len()).over("set").alias("round"))
    worth = (pl.col("value") * 0.7 ** pl.col("round")).alias("value")
    return rounds.with_columns(worth).sort(["value", "noise"], descending=True)


def _explain(row: dict[str, Any], wishes: Wishes) -> Recommended:
    """Make the record, with the reason in words."""
    said = []
    if row["due"]:
        said.append(f"due: remembered with probability {row['recall']:.2f}")
    if row["errors"]:
        said.append(f"{row['errors']} errors of this type in the learner's own sentences")
    if row["explored"]:
        said.append("to find out: little is known of this skill")
    if not row["n"]:
        said.append("new")
    said.append(
        f"an answer is right with probability {row['p']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        + ("" if row["inside"] else f", outside {wishes.band[0]:g} to {wishes.band[1]:g}")
        + f" and should raise it by {row['gain']:.3f}"
    )
    return Recommended(
        row["item"],
        row["skills"],
        row["p"],
        row["low"],
        row["high"],
        row["gain"],
        row["gain_sd"],
        row["due"],
        row["explored"],
        "; ".join(said),
    )
