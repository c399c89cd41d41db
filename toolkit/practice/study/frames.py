"""Make the store's rows of a journal's events.

answer, grade   reviews: an attempt with its verdict; of a card without a key, the learner's own grade
claim           reviews of kind claim, neither right nor wrong: "I was right"
draw, both      assignments
vote, rating    votes and ratings of an annotator who is the learner
consent         participants
"""

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from ....schemas.tables import ANNOTATORS
from ...store.connection import add_key
from .journal.answers import UNGRADED
from .journal.reading import read_bodies
from .journal.schedule import HARD

_ORIGIN = (pl.col("run").alias("path"), pl.col("n").alias("line"))


@dataclass(frozen=True)
class Frames:
    """Rows by table, and what was noticed."""

    participants: pl.DataFrame
    rows: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]
    """Of reviews, assignments, votes and ratings."""
    annotators: pl.DataFrame
    rubrics: pl.DataFrame
    notes: tuple[str, ...]


def make_frames(
    study: str, events: pl.DataFrame, people: pl.DataFrame, skills: pl.DataFrame, settings: dict[str, Any]
) -> Frames:
    """Make rows of events (run, n, uid, person, learner, at, kind, item, consent, body).

    `people` has person and first_language, `skills` item and skills.
    """
    events = events.with_columns(pl.lit(study).alias("source"))
    by_kind = {kind: events.filter(pl.col("kind") == kind) for kind in _KINDS}
    answers = read_bodies(
        by_kind["answer"], verdict=pl.String, took_ms=pl.Int64, withdrawn=pl.Boolean, state=pl.String,
        clock_back_s=pl.Float64, device_clock=pl.String,
    )  # fmt: skip
    grades = read_bodies(by_kind["grade"], of=pl.String, grade=pl.Int64, state=pl.String)
    annotators, keys = _make_annotators(events)
    votes = _make_votes(by_kind["vote"], keys)
    ratings = _make_ratings(by_kind["rating"], keys, settings)
    reviews = _make_reviews(answers, grades, by_kind["claim"]).join(
        skills, on="item", how="left", maintain_order="left"
    )
    assignments = _make_assignments(by_kind["draw"], by_kind["both"], grades)
    return Frames(
        _make_participants(by_kind["consent"], people),
        (reviews, assignments, votes, ratings),
        annotators,
        _make_rubrics(study, settings) if ratings.height else pl.DataFrame(),
        _list_notes(answers, by_kind["claim"]),
    )


_KINDS = ("consent", "answer", "grade", "claim", "draw", "both", "vote", "rating")


def _make_participants(consents: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    rows = read_bodies(consents, language=pl.String)
    return rows.join(people, on="person", how="left").select(
        "source", "learner", "first_language", "language", "consent", pl.col("at").alias("consented_at")
    )


def _make_reviews(answers: pl.DataFrame, grades: pl.DataFrame, claims: pl.DataFrame) -> pl.DataFrame:
    """Attempts at the time of the attempt, also where the grade came later."""
    common = ["source", "learner", "item", "at"]
    typed = answers.filter(pl.col("verdict") != UNGRADED).select(
        *common,
        pl.col("state").alias("kind"),
        (pl.col("verdict") != "wrong").alias("correct"),
        pl.lit(None, pl.Int64).alias("grade"),
        pl.col("took_ms").alias("duration_ms"),
        *_ORIGIN,
    )
    attempts = answers.select(pl.col("uid").alias("of"), pl.col("at").alias("tried"), "took_ms")
    graded = (
        grades.join(attempts, on="of", how="left", maintain_order="left")
        .with_columns(pl.coalesce("tried", "at").alias("at"))
        .select(
            *common,
            pl.col("state").alias("kind"),
            (pl.col("grade") >= HARD).alias("correct"),
            "grade",
            pl.col("took_ms").alias("duration_ms"),
            *_ORIGIN,
        )
    )
    claimed = claims.select(
        *common,
        pl.lit("claim").alias("kind"),
        pl.lit(None, pl.Boolean).alias("correct"),
        pl.lit(None, pl.Int64).alias("grade"),
        pl.lit(None, pl.Int64).alias("duration_ms"),
        *_ORIGIN,
    )
    return pl.concat([typed, graded, claimed]).with_columns(
        pl.lit(1, pl.Int64).alias("attempts"), pl.lit(0, pl.Int64).alias("n")
    )


def _make_assignments(draws: pl.DataFrame, boths: pl.DataFrame, grades: pl.DataFrame) -> pl.DataFrame:
    rows = read_bodies(
        draws, prompt=pl.String, completion=pl.String, arm=pl.String, propensity=pl.Float64,
        chances=pl.String, policy=pl.String, fit=pl.String, knew=pl.Boolean,
    )  # fmt: skip
    both = read_bodies(boths, prompt=pl.String).select("person", "prompt", pl.col("at").alias("both_at"))
    graded = grades.select(pl.format("{}-draw", "of").alias("uid"), (pl.col("grade") >= HARD).alias("graded"))
    rows = rows.join(both, on=["person", "prompt"], how="left", maintain_order="left")
    rows = rows.join(graded, on="uid", how="left", maintain_order="left")
    return rows.select(
        "source", "learner", "item", "prompt", "completion", "arm", "propensity", "chances", "policy", "fit",
        pl.coalesce("knew", "graded").alias("knew"), "consent", "at", "both_at", *_ORIGIN,
    )  # fmt: skip


def _make_annotators(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Annotators who voted or rated, and their keys: learner, annotator."""
    who = events.filter(pl.col("kind").is_in(["vote", "rating"])).select(pl.col("learner").alias("pseudonym"))
    rows = who.unique(maintain_order=True).with_columns(
        pl.lit(None, pl.String).alias("within"), pl.lit("student").alias("kind")
    )
    keyed = add_key(rows, ANNOTATORS)
    return keyed, keyed.select(pl.col("pseudonym").alias("learner"), pl.col("key").alias("annotator"))


def _make_votes(votes: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    rows = read_bodies(votes, choice=pl.String, first=pl.String, second=pl.String)
    return rows.join(keys, on="learner", how="left", maintain_order="left").select(
        "source",
        pl.col("first").alias("completion_a"),
        pl.col("second").alias("completion_b"),
        pl.col("choice").replace({"first": "a", "second": "b"}),
        "annotator",
        pl.lit("a").alias("shown_first"),
        "at",
        pl.lit(0, pl.Int64).alias("n"),
        *_ORIGIN,
    )


def _make_ratings(ratings: pl.DataFrame, keys: pl.DataFrame, settings: dict[str, Any]) -> pl.DataFrame:
    criteria = (settings.get("rubric") or {}).get("criteria") or []
    levels = {c["name"]: len(c["levels"]) for c in criteria}
    rows = read_bodies(ratings, completion=pl.String, values=pl.String)
    values = pl.DataFrame(
        [(uid, n, name, value, levels[name]) for uid, given in rows.select("uid", "values").rows()
         for n, (name, value) in enumerate(sorted(_read_values(given).items())) if name in levels],
        schema={"uid": pl.String, "nth": pl.Int64, "criterion": pl.String, "value": pl.Int64,
                "levels": pl.Int64},
        orient="row",
    )  # fmt: skip
    return (
        values.join(rows, on="uid", how="left", maintain_order="left")
        .join(keys, on="learner", how="left", maintain_order="left")
        .select(
            "source", "completion", "criterion", "value", "levels", "annotator", "at",
            pl.col("nth").alias("n"), *_ORIGIN,
        )
    )  # fmt: skip


def _read_values(text: str) -> dict[str, int]:
    found = json.loads(text)
    return {str(name): int(value) for name, value in found.items()}


def _make_rubrics(study: str, settings: dict[str, Any]) -> pl.DataFrame:
    criteria = settings["rubric"]["criteria"]
    return pl.DataFrame(
        {
            "source": [study] * len(criteria),
            "criterion": [c["name"] for c in criteria],
            "wording": [c["wording"] for c in criteria],
            "levels": [len(c["levels"]) for c in criteria],
            "higher_is_better": [c["higher"] for c in criteria],
            "weight": [c["weight"] for c in criteria],
        }
    )


def _list_notes(answers: pl.DataFrame, claims: pl.DataFrame) -> tuple[str, ...]:
    """Name what is odd about the answers."""
    late = answers["withdrawn"].fill_null(False).sum()
    back = answers["clock_back_s"].is_not_null().sum()
    wrong = answers["device_clock"].is_not_null().sum()
    notes = []
    if late:
        notes.append(f"{late:,} answers came after their exercise was withdrawn: kept as they are")
    if back:
        notes.append(
            f"{back:,} answers came while a clock had gone backwards: they follow the ones before them"
        )
    if wrong:
        notes.append(
            f"{wrong:,} answers were sent later by devices whose clock is wrong: timed when they came"
        )
    if claims.height:
        notes.append(
            f"{claims.height:,} answers were marked wrong and their learners say they were right (claim)"
        )
    return tuple(notes)
