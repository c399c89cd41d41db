"""What a fit says of each learner: mastery by skill, memory by card, and the states they go on from."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from ....schemas.errors import StoreError
from ...store.connection import Store, query
from .fit import follow_blocks
from .mastery.answers import SEPARATOR, Answers, Floats
from .mastery.blocks import Padded, pad_answers
from .mastery.model import NODES, WEIGHTS, Parameters
from .mastery.online import LearnerState, Model, read_model
from .memory.model import Card, forecast
from .memory.reviews import DAY_MS, LONGEST_DAYS, CardReviews, compute_logit

WIDTH = 1.6448536  # standard deviations on either side of a 90 % interval
DUE_BELOW = 0.9  # probability of recall at which a card is due


def compute_chance(mean: Floats, variance: Floats, guess: Any, slip: Any) -> tuple[Floats, Floats, Floats]:
    """Compute P(success) of normals (n,) on the log-odds scale: mean, 5 % and 95 % quantile, (n,) each."""
    sd = np.sqrt(np.maximum(variance, 1e-9))

    def link(z: Floats) -> Floats:
        return np.asarray(guess + (1 - guess - slip) / (1 + np.exp(-z)))

    average = sum(w * link(mean + sd * node) for node, w in zip(NODES, WEIGHTS, strict=True))
    return np.asarray(average), link(mean - WIDTH * sd), link(mean + WIDTH * sd)


def read_learner_states(p: Parameters, answers: Answers) -> tuple[pl.DataFrame, pl.DataFrame, float]:
    """Run the filter over everybody: rows of mastery and of learner_states (by name), and the loss."""
    last = (
        answers.touches.join(answers.rows.select("row", "turn", "day", "right"), on="row")
        .sort("row")
        .group_by("learner", "component", maintain_order=True)
        .agg(
            pl.len().alias("answers"),
            pl.col("right").sum().cast(pl.Int64).alias("correct"),
            pl.col("turn").last(),
            pl.col("day").last(),
        )
    )
    turns = answers.rows.group_by("learner", maintain_order=True).agg(
        (pl.col("turn").last() + 1).alias("turns")
    )
    known = last.join(turns, on="learner").sort("learner", "component")
    parts, states, loss = [], [], 0.0
    for padded, state, p_right in follow_blocks(p, pad_answers(answers)):
        mean, covariance = np.asarray(state.mean), np.asarray(state.covariance)
        parts.append(_read_components(padded, mean, covariance))
        states += list(_pack(padded, mean, covariance, known, answers))
        there = padded.row >= 0
        q = np.clip(np.where(padded.block.right > 0, p_right, 1 - p_right), 1e-4, 1)
        loss -= float(np.log(q)[there].sum())
    read = pl.concat(parts).join(known, on=["learner", "component"]).sort("learner", "component")
    return (
        _name_mastery(p, read, answers),
        pl.DataFrame(states, schema=_STATES),
        loss / max(answers.rows.height, 1),
    )


_STATES = {"learner": pl.String, "components": pl.String, "turn": pl.Int64, "state": pl.Binary}


def _read_components(padded: Padded, mean: Floats, covariance: Floats) -> pl.DataFrame:
    """Mean and variance of ability and each skill together, of the learners of a block."""
    size = mean.shape[1] - 2
    b, s = np.nonzero((padded.block.component >= 0) & (padded.block.skill > 0))
    keep = b < len(padded.learner)
    b, s = b[keep], s[keep]
    return pl.DataFrame(
        {
            "learner": padded.learner[b],
            "component": padded.block.component[b, s],
            "z": mean[b, s] + mean[b, size],
            "variance": covariance[b, s, s] + covariance[b, size, size] + 2 * covariance[b, s, size],
        }
    )


def _pack(
    padded: Padded, mean: Floats, covariance: Floats, known: pl.DataFrame, answers: Answers
) -> Iterator[dict[str, Any]]:
    """Pack the state of each learner of a block, as `online.LearnerState` goes on from it."""
    size = mean.shape[1] - 2
    mine = known.filter(pl.col("learner").is_in(padded.learner.tolist())).partition_by(
        "learner", as_dict=True
    )
    for b, who in enumerate(padded.learner):
        own = padded.block.component[b]
        slots = np.flatnonzero(own >= 0)
        places = np.concatenate([[size, size + 1], slots])
        times = {
            row[1]: row[2:]
            for row in mine[(who,)].select("learner", "component", "answers", "turn", "day").rows()
        }
        names = {answers.components[own[s]]: times[own[s]] for s in slots}
        packed = np.concatenate([mean[b, places], covariance[b][np.ix_(places, places)].ravel()])
        turn = int(mine[(who,)]["turns"][0])
        yield {
            "learner": answers.learners[who],
            "components": json.dumps(names),
            "turn": turn,
            "state": packed.astype("<f8").tobytes(),
        }


def _name_mastery(p: Parameters, read: pl.DataFrame, answers: Answers) -> pl.DataFrame:
    """Rows of `mastery`: what a plain question about the skill is answered with after the last answer."""
    skill = read["component"].to_numpy()
    gap = np.log1p((read["turns"] - read["turn"] - 1).to_numpy())
    own = np.zeros(len(answers.components))  # where items are skills, the one question that there is
    asked = {
        item: k
        for k, (item, kind) in enumerate(answers.questions.select("item", "set").rows())
        if item == kind
    }
    for place, name in enumerate(answers.components):
        own[place] = p["question_mean"][asked[name]] if name in asked else 0.0
    level = p["mean"] + p["skill_mean"][skill] + own[skill]
    at = read["z"].to_numpy() + level - np.exp(p["log_loss_gap"]) * gap
    variance = read["variance"].to_numpy() + np.exp(p["log_drift_gap"]) * gap
    guess, slip = (1 / (1 + np.exp(-(p[n] + p[f"skill_{n}"][skill]))) for n in ("guess", "slip"))
    mean, low, high = compute_chance(at, variance, guess, slip)
    return pl.DataFrame(
        {
            "learner": [answers.learners[k] for k in read["learner"]],
            "skill": [answers.components[k] for k in skill],
            "mean": mean,
            "low": low,
            "high": high,
            "logit": at,
            "sd": np.sqrt(variance),
            "answers": read["answers"],
            "correct": read["correct"],
            "last_at": (read["day"] * DAY_MS * 1000).cast(pl.Int64).cast(pl.Datetime("us", "UTC")),
        }
    )


def read_memory(p: Parameters, reviews: CardReviews, ends: Card) -> pl.DataFrame:
    """Read rows of `memory` (cards,): every card at the time of the last review of all."""
    last = reviews.rows.group_by("card", maintain_order=True).agg(
        pl.len().alias("reviews"),
        (1 - pl.col("right")).sum().cast(pl.Int64).alias("lapses"),
        pl.col("ms", "day", "stability", "difficulty").last(),
    )
    last = last.sort("card")
    opens = reviews.cards.join(reviews.clocks, on="learner", how="left", maintain_order="left")["opens_ms"]
    now = int(reviews.rows["ms"].max())  # type: ignore[arg-type]
    today = (now - opens.to_numpy()) // DAY_MS
    days = np.clip(today - last["day"].to_numpy(), 0, LONGEST_DAYS).astype(float)
    stability = last["stability"].to_numpy()
    guess, slip = (1 / (1 + np.exp(-p[name])) for name in ("guess", "slip"))
    told = forecast(p, ends, days, compute_logit(days, stability))
    mean, low, high = compute_chance(told.mean, told.variance, guess, slip)
    due = find_due_days(p, ends, stability)
    at = pl.Series(last["ms"].to_numpy() + (due * DAY_MS)).cast(pl.Int64).cast(pl.Datetime("ms", "UTC"))
    return reviews.cards.with_columns(
        *(pl.Series(n, v) for n, v in (("mean", mean), ("low", low), ("high", high))),
        at.alias("due_at"),
        *last.select("reviews", "lapses", "stability", "difficulty"),
        pl.from_epoch(last["ms"], "ms").dt.replace_time_zone("UTC").alias("last_at"),
        *(pl.Series(name, getattr(ends, name)) for name in Card._fields if name != "seen"),
    )


_CARDS = """SELECT * FROM memory WHERE learner = $who AND fit = (
    SELECT key FROM learner_fits WHERE kind = 'memory' ORDER BY fitted_at DESC LIMIT 1)
ORDER BY due_at, item"""


def read_cards(con: Store, learner: str, now: datetime) -> pl.DataFrame:
    """Read a learner's cards, those due first: rows of `memory`, with mean, low and high of recall now."""
    cards = query(con, _CARDS, {"who": learner})
    if cards.is_empty():
        return cards
    stored = read_learner_fit(con, "memory")["parameters"]["values"]
    p = {name: np.asarray(value) for name, value in stored.items()}
    state = {name: cards[name].to_numpy() for name in Card._fields if name != "seen"}
    passed = (now - cards["last_at"]).dt.total_seconds().to_numpy() / 86_400
    days = np.clip(passed, 0.0, LONGEST_DAYS)
    retrievability = compute_logit(days, cards["stability"].to_numpy())
    told = forecast(p, Card(**state, seen=np.ones(cards.height)), days, retrievability)
    guess, slip = (1 / (1 + np.exp(-p[name])) for name in ("guess", "slip"))
    mean, low, high = compute_chance(told.mean, told.variance, guess, slip)
    return cards.with_columns(pl.Series(n, v) for n, v in (("mean", mean), ("low", low), ("high", high)))


def find_due_days(p: Parameters, cards: Card, stability: Floats) -> Floats:
    """Find after how many days (cards,) P(recall) falls to `DUE_BELOW`, by halving."""
    low, high = np.full(stability.shape, 0.02), np.full(stability.shape, float(LONGEST_DAYS))
    for _ in range(30):
        middle = np.sqrt(low * high)
        above = forecast(p, cards, middle, compute_logit(middle, stability)).p > DUE_BELOW
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


def read_learner_fit(con: Store, kind: str = "mastery") -> dict[str, Any]:
    """Read the newest fit of a kind, its config and parameters parsed. Raises StoreError without one."""
    rows = query(
        con, "SELECT * FROM learner_fits WHERE kind = ? ORDER BY fitted_at DESC LIMIT 1", [kind]
    ).to_dicts()
    if not rows:
        raise StoreError(f"no fit of {kind} in the store; run preceptor learn first")
    (row,) = rows
    return row | {"config": json.loads(row["config"]), "parameters": json.loads(row["parameters"])}


def read_mastery_model(fit: dict[str, Any]) -> Model:
    """Read the parameters of a fit of mastery as `online.py` takes them."""
    stored = fit["parameters"]
    questions = [(item, kind) for item, kind in stored["questions"]]
    values = {name: np.asarray(v) for name, v in stored["values"].items()}
    return read_model(values, [c for c in stored["components"] if SEPARATOR not in c], questions)


def read_learner(con: Store, fit: str, learner: str) -> LearnerState | None:
    """Read a learner's state after a fit, to go on from; None for somebody whom it has not seen."""
    rows = query(con, "SELECT * FROM learner_states WHERE fit = ? AND learner = ?", [fit, learner]).to_dicts()
    if not rows:
        return None
    (row,) = rows
    times = json.loads(row["components"])
    size = len(times) + 2
    values = np.frombuffer(row["state"], "<f8")
    known = {name: [n, turn, np.nan if day is None else day] for name, (n, turn, day) in times.items()}
    return LearnerState(
        values[:size].copy(),
        values[size:].reshape(size, size).copy(),
        {name: place for place, name in enumerate(times, 2)},
        known,
        row["turn"],
    )


def count_days(at: Any) -> float:
    """Count the days from 1970 to a time (UTC)."""
    return float(at.timestamp() / timedelta(days=1).total_seconds())
