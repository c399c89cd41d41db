"""`preceptor learner`: what is known of one learner, for people, for programs and for a tutor's prompt."""

from datetime import UTC, datetime
from typing import Any

import polars as pl

from ....schemas.errors import StoreError
from ...store.connection import Store, query
from .states import read_cards

WEAK_BELOW, STRONG_ABOVE = 0.6, 0.85  # probability of success
_MOST = 5  # of each kind of fact in a tutor's prompt

_MASTERY = """SELECT skill, mean, low, high, answers, correct, last_at FROM mastery
WHERE learner = $who AND fit = (
    SELECT key FROM learner_fits WHERE kind = 'mastery' ORDER BY fitted_at DESC LIMIT 1)
ORDER BY mean, skill"""
_CARD = ("item", "mean", "low", "high", "due_at", "reviews", "lapses", "last_at")
_HISTORY = """SELECT "at"::DATE AS day, count(*) AS answers, count(*) FILTER (correct) AS correct
FROM reviews WHERE learner = $who AND correct IS NOT NULL GROUP BY 1 ORDER BY 1 NULLS FIRST"""
_ERRORS = """SELECT e.error_type, count(*) AS n FROM edits e JOIN sentences s ON s.key = e.sentence
WHERE s.learner = $who AND e.start >= 0 GROUP BY 1 ORDER BY n DESC, 1"""
_LEVEL = """SELECT any_value(level) AS level, any_value(first_language) AS first_language FROM
(SELECT * FROM sentences WHERE learner = $who ORDER BY level DESC NULLS LAST)"""
_KNOWN = " UNION ALL ".join(
    f"SELECT learner FROM {table} WHERE learner = $who" for table in ("reviews", "sentences", "outcomes")
)


def read_profile(con: Store, learner: str, at: datetime | None = None) -> dict[str, Any]:
    """Read what the newest fits and the store say of a learner (a pseudonym), as plain values.

    learner, level, first_language, mastery (by skill, the weakest first), history (by day), due (cards whose
    time has come) and cards (how many), errors (types in the learner's own sentences). Raises StoreError for
    somebody of whom the store holds nothing.
    """
    who = {"who": learner}
    if query(con, f"SELECT count(*) FROM ({_KNOWN})", who).item() == 0:
        raise StoreError(
            f"learner {learner}: the store holds no review, sentence or outcome of theirs; give the id as in "
            "the log, or the pseudonym (preceptor pseudonym ID)"
        )
    now = at or datetime.now(UTC)
    cards = read_cards(con, learner, now).select(_CARD)
    (about,) = query(con, _LEVEL, who).to_dicts()
    return {
        "learner": learner,
        **about,
        "mastery": query(con, _MASTERY, who).to_dicts(),
        "history": query(con, _HISTORY, who).to_dicts(),
        "cards": cards.height,
        "due": cards.filter(pl.col("due_at") <= now).to_dicts(),
        "errors": query(con, _ERRORS, who).to_dicts(),
    }


def write_context(profile: dict[str, Any]) -> dict[str, Any]:
    """Choose the few facts of a profile that a tutor's prompt may carry: no id, no text of the learner's.

    level, first_language, recurring_errors, struggles_with and can (skills by name), due (number of cards).
    What is not known is left out.
    """
    mastery = profile["mastery"]
    weak = [row["skill"] for row in mastery if row["high"] < STRONG_ABOVE and row["mean"] < WEAK_BELOW]
    strong = [
        row["skill"] for row in reversed(mastery) if row["low"] > WEAK_BELOW and row["mean"] > STRONG_ABOVE
    ]
    facts = {
        "level": profile["level"],
        "first_language": profile["first_language"],
        "recurring_errors": [row["error_type"] for row in profile["errors"] if row["n"] > 1][:_MOST],
        "struggles_with": weak[:_MOST],
        "can": strong[:_MOST],
        "due": len(profile["due"]),
    }
    return {name: value for name, value in facts.items() if value}
