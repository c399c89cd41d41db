"""`preceptor learn`: what learners have mastered and what they remember, from the reviews of the store."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl

from ....schemas.keys import hash_key
from ....schemas.tables import LEARNER_FITS, LEARNER_STATES, MASTERY, MEMORY, Table
from ...store.connection import Store, insert, query, run, transaction
from .ascent import OnProgress
from .fit import MEMORY_STEPS, STEPS, fit_mastery, fit_memory
from .logs import Log, hash_answers, read_log
from .mastery.answers import order_answers
from .memory.reviews import follow_cards, order_reviews
from .offsets import write_offsets
from .states import read_learner_states, read_memory


@dataclass(frozen=True)
class LearnedPart:
    """What one model was made of: its fit's key, answers, learners, skills or cards, and loss (nats)."""

    kind: str
    fit: str
    answers: int
    learners: int
    things: int
    loss: float
    already_there: bool = False


@dataclass(frozen=True)
class Learned:
    """The fits of mastery and memory (those there is something to learn of), and notes on the logs."""

    parts: list[LearnedPart]
    notes: list[str]
    offsets: int = 0  # outcomes whose learners the fit knows


@dataclass(frozen=True)
class LearnSettings:
    """Settings of `learn`: steps of the search for each model's parameters."""

    steps: int = STEPS
    memory_steps: int = MEMORY_STEPS


_DEFAULTS = LearnSettings()


@dataclass(frozen=True)
class _Made:
    """A fit, not stored yet: its parameters as JSON, and rows by table."""

    parameters: dict[str, Any]
    things: int
    loss: float
    rows: list[tuple[Table, pl.DataFrame]] = field(default_factory=list)


def learn(
    con: Store,
    sources: Sequence[str] = (),
    settings: LearnSettings = _DEFAULTS,
    on_progress: OnProgress = lambda *_: None,
) -> Learned:
    """Fit both models to the reviews of these sources (all if empty), and store what they say of learners.

    The same input and settings are fitted once; a new fit takes the place of an earlier one of the same
    sources. All is stored, or nothing. Raises StoreError as `read_log` does.
    """
    log = read_log(con, sources)
    parts = []
    with transaction(con):
        for kind, rows, make in (
            ("mastery", log.mastery, _make_mastery),
            ("memory", log.memory, _make_memory),
        ):
            if rows.height:
                parts.append(_fit(con, kind, rows, make, sorted(sources), settings, log, on_progress))
        offsets = _offset(con, parts[0], log.mastery) if log.mastery.height else 0
    return Learned(parts, log.notes, offsets)


def _offset(con: Store, part: LearnedPart, rows: pl.DataFrame) -> int:
    """Write what outcomes owe to their learners, by a stored fit of mastery."""
    ((stored,),) = run(con, "SELECT parameters FROM learner_fits WHERE key = ?", [part.fit])
    p = {name: np.asarray(value) for name, value in json.loads(stored)["values"].items()}
    return write_offsets(con, part.fit, p, order_answers(rows))


def _fit(
    con: Store,
    kind: str,
    rows: pl.DataFrame,
    make: Callable[[pl.DataFrame, LearnSettings, OnProgress], _Made],
    sources: list[str],
    settings: LearnSettings,
    log: Log,
    on_progress: OnProgress,
) -> LearnedPart:
    """Make and store the fit of one model, unless it is there."""
    steps = settings.steps if kind == "mastery" else settings.memory_steps
    config = json.dumps({"sources": sources, "steps": steps}, sort_keys=True)
    versions = json.dumps({name: version(name) for name in ("preceptor", "jax", "jaxlib")})
    identity = [kind, config, hash_answers(rows), versions]
    key = hash_key(identity)
    learners = rows["learner"].n_unique()
    table = "mastery" if kind == "mastery" else "memory"
    known = query(con, "SELECT loss FROM learner_fits WHERE key = ?", [key])
    if known.height:
        ((things,),) = run(con, f"SELECT count(*) FROM {table} WHERE fit = ?", [key])
        return LearnedPart(kind, key, rows.height, learners, things, known["loss"][0], already_there=True)
    made = make(rows, settings, on_progress)
    _remove_earlier(con, kind, sources)
    insert(
        con,
        LEARNER_FITS,
        pl.DataFrame(
            {
                "kind": [kind],
                "config": [config],
                "inputs": [identity[2]],
                "parameters": [json.dumps(made.parameters)],
                "answers": [rows.height],
                "learners": [learners],
                "loss": [made.loss],
                "notes": ["\n".join(log.notes) or None],
                "versions": [versions],
                "fitted_at": [datetime.now(UTC)],
            }
        ),
    )
    for into, frame in made.rows:
        insert(con, into, frame.with_columns(pl.lit(key).alias("fit")))
    return LearnedPart(kind, key, rows.height, learners, made.things, made.loss)


def _remove_earlier(con: Store, kind: str, sources: list[str]) -> None:
    """Remove earlier fits of these sources, with all that they say."""
    earlier = """SELECT key FROM learner_fits
        WHERE kind = $kind AND (config->'$.sources')::VARCHAR[] = $sources::VARCHAR[]"""
    given = {"kind": kind, "sources": sources}
    for table in ("mastery", "learner_states", "memory", "outcome_offsets"):
        run(con, f"DELETE FROM {table} WHERE fit IN ({earlier})", given)
    run(con, f"DELETE FROM learner_fits WHERE key IN ({earlier})", given)


def _make_mastery(rows: pl.DataFrame, settings: LearnSettings, on_progress: OnProgress) -> _Made:
    answers = order_answers(rows)
    found, _ = fit_mastery(answers, steps=settings.steps, on_progress=on_progress)
    p = {name: np.asarray(value, float) for name, value in found.items()}
    mastery, states, loss = read_learner_states(p, answers)
    parameters = {
        "values": {name: value.tolist() for name, value in p.items()},
        "components": answers.components,
        "questions": answers.questions.select("item", "set").rows(),
    }
    return _Made(parameters, mastery.height, loss, [(MASTERY, mastery), (LEARNER_STATES, states)])


def _make_memory(rows: pl.DataFrame, settings: LearnSettings, on_progress: OnProgress) -> _Made:
    reviews = order_reviews(rows)
    p, _ = fit_memory(reviews, steps=settings.memory_steps, on_progress=on_progress)
    p = {name: np.asarray(value, float) for name, value in p.items()}
    told, ends = follow_cards(p, reviews)
    scored = (reviews.rows["days"] > 0).to_numpy()
    q = np.where(reviews.rows["right"].to_numpy() > 0, told.p, 1 - told.p)[scored]
    loss = float(-np.log(np.clip(q, 1e-4, 1)).mean()) if scored.any() else float("nan")
    parameters = {
        "values": {name: value.tolist() for name, value in p.items()},
    }
    frame = read_memory(p, reviews, ends)
    return _Made(parameters, frame.height, loss, [(MEMORY, frame)])
