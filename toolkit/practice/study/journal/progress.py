"""How far learners are: of one, and of the class for its teacher."""

from datetime import datetime
from typing import Any

from .database import Journal

STUCK = 3  # failures without a right answer since
_MASTERED = 2  # right answers in a row


def count_progress(con: Journal, person: str, at: datetime) -> dict[str, int]:
    """Count a learner's items: all, begun, known (right twice in a row), due now; and answers given today."""
    ((items,),) = con.execute("SELECT count(*) FROM items WHERE NOT withdrawn").fetchall()
    row = con.execute(
        """SELECT count(*) AS begun, coalesce(sum(streak >= ?), 0) AS known, coalesce(sum(due <= ?), 0) AS due
        FROM cards JOIN items ON id = item WHERE person = ? AND NOT withdrawn""",
        [_MASTERED, at.timestamp(), person],
    ).fetchone()
    ((today,),) = con.execute(
        "SELECT count(*) FROM events WHERE person = ? AND kind = 'answer' AND at >= ?",
        [person, at.strftime("%Y-%m-%d")],
    ).fetchall()
    return {"items": items, "today": today, **dict(row)}


def list_class(con: Journal) -> list[dict[str, Any]]:
    """List learners: name, answers, share right, items known and stuck, and when they were last here."""
    rows = con.execute(
        """SELECT p.id, p.name, p.first_language, p.consented_at IS NOT NULL AS agreed, p.last_at,
            coalesce(c.answers, 0) AS answers, coalesce(c.right, 0) AS right,
            coalesce(c.known, 0) AS known, coalesce(c.stuck, 0) AS stuck
        FROM people p LEFT JOIN (SELECT person, sum(tries) AS answers, sum(right) AS right,
            sum(streak >= ?) AS known, sum(failures >= ? AND streak = 0) AS stuck
            FROM cards GROUP BY person) c
            ON c.person = p.id
        ORDER BY stuck DESC, p.name""",
        [_MASTERED, STUCK],
    )
    return [dict(row) for row in rows]


def list_hard_items(con: Journal, most: int = 10) -> list[dict[str, Any]]:
    """List the items that most learners are stuck at, and those that learners say were marked wrongly."""
    rows = con.execute(
        """SELECT i.id, i.shown, i.answers, sum(c.failures) AS failures, count(*) AS learners,
            sum(c.failures >= ? AND c.streak = 0) AS stuck,
            (SELECT count(*) FROM events e WHERE e.item = i.id AND e.kind = 'claim') AS claims
        FROM cards c JOIN items i ON i.id = c.item GROUP BY i.id HAVING stuck > 0 OR claims > 0
        ORDER BY stuck DESC, claims DESC, failures DESC, i.id LIMIT ?""",
        [STUCK, most],
    )
    return [dict(row) for row in rows]
