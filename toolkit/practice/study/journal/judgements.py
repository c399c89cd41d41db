"""Questions of a campaign, and what annotators give to them: judgements, questions left out, taken back.

    kind        item      body
    judgement   question  {"given": {"preference": "a"}, "comment": "shorter", "shown_first": "b"}
    skipped     question  {"comment": "I do not know the subject"}
    undone      question  {"of": uid of the judgement or skip}

The last of them counts. A question that as many annotators as are wanted have judged, or look at now, is
not shown to others.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .....schemas.errors import StudyError
from .....schemas.rubric import PREFERENCE
from .database import Journal
from .events import Clock, append_event, find_event, write_moment

LOOKING = timedelta(minutes=10)  # for so long a question that is shown to somebody is theirs
SIDES = ("first", "second")
TIE = "tie"
COMMENT_LETTERS = 2000


@dataclass(frozen=True)
class Standing:
    """How far an annotator is, in questions."""

    judged: int
    skipped: int
    today: int
    """Judged today, UTC."""
    open: int
    """That this annotator can still judge."""
    held: int
    """Of those, how many others look at now."""
    complete: int
    """Of the campaign, those that have all the answers they need."""
    all: int


def put_questions(con: Journal, rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Write questions (key, position, language, messages, first, second, shown_first).

    Returns how many are new, and how many of those before are withdrawn now.
    """
    before = {row[0] for row in con.execute("SELECT key FROM questions")}
    asked = {row[0] for row in con.execute("SELECT key FROM questions WHERE NOT withdrawn")}
    con.executemany(
        """INSERT OR REPLACE INTO questions VALUES (:key, :position, :language, :messages, :first, :second,
            :shown_first, 0)""",
        [row | {"messages": json.dumps(row["messages"], ensure_ascii=False)} for row in rows],
    )
    keys = {row["key"] for row in rows}
    withdraw_questions(con, asked - keys)
    return len(keys - before), len(asked - keys)


def withdraw_questions(con: Journal, keys: Iterable[str]) -> None:
    """Ask questions no more, and delete their texts; what comes of forms that are open is still kept."""
    con.executemany(
        """UPDATE questions SET withdrawn = 1, messages = '[]', first = '',
            second = CASE WHEN second IS NULL THEN NULL ELSE '' END WHERE key = ?""",
        [(key,) for key in keys],
    )


_OPEN = """
    FROM questions q LEFT JOIN (SELECT question, count(*) AS n FROM given WHERE NOT skipped
        GROUP BY question) g ON g.question = q.key
    LEFT JOIN (SELECT question, count(*) AS n FROM looking WHERE person <> :person AND at > :since
        GROUP BY question) l ON l.question = q.key
    LEFT JOIN looking mine ON mine.question = q.key AND mine.person = :person
    WHERE NOT q.withdrawn AND q.key NOT IN (SELECT question FROM given WHERE person = :person)
        AND (coalesce(g.n, 0) < :overlap OR mine.person IS NOT NULL)"""


def choose_question(con: Journal, person: str, at: datetime, overlap: int) -> dict[str, Any] | None:
    """Choose what an annotator judges now, and hold it for them; None if nothing is left, or all is held.

    It is the one they looked at last, or the first in the campaign's order that needs answers.
    """
    since = (at - LOOKING).timestamp()
    row = con.execute(
        f"""SELECT q.* {_OPEN} AND (coalesce(g.n, 0) + coalesce(l.n, 0) < :overlap OR mine.person IS NOT NULL)
        ORDER BY mine.person IS NULL, q.position LIMIT 1""",
        {"person": person, "since": since, "overlap": overlap},
    ).fetchone()
    if row is None:
        return None
    con.execute("INSERT OR REPLACE INTO looking VALUES (?, ?, ?)", [person, row["key"], at.timestamp()])
    return dict(row) | {"messages": json.loads(row["messages"])}


def count_standing(con: Journal, person: str, at: datetime, overlap: int) -> Standing:
    """Count how far an annotator is."""
    given = con.execute(
        """SELECT coalesce(sum(NOT skipped), 0) AS judged, coalesce(sum(skipped), 0) AS skipped,
            coalesce(sum(NOT skipped AND at >= ?), 0) AS today FROM given WHERE person = ?""",
        [at.strftime("%Y-%m-%d"), person],
    ).fetchone()
    left = con.execute(
        f"""SELECT count(*) AS open,
            coalesce(sum(coalesce(g.n, 0) + coalesce(l.n, 0) >= :overlap), 0) AS held {_OPEN}""",
        {"person": person, "since": (at - LOOKING).timestamp(), "overlap": overlap},
    ).fetchone()
    whole = con.execute(
        """SELECT count(*) AS "all", coalesce(sum(coalesce(n, 0) >= ?), 0) AS complete
        FROM questions LEFT JOIN (SELECT question, count(*) AS n FROM given WHERE NOT skipped
            GROUP BY question) ON question = key WHERE NOT withdrawn""",
        [overlap],
    ).fetchone()
    return Standing(**dict(given), **dict(left), **dict(whole))


def list_annotators(con: Journal) -> list[dict[str, Any]]:
    """List annotators: name, judged, skipped, and when they were last here."""
    rows = con.execute(
        """SELECT p.name, p.last_at, coalesce(sum(NOT g.skipped), 0) AS judged,
            coalesce(sum(g.skipped), 0) AS skipped
        FROM people p LEFT JOIN given g ON g.person = p.id GROUP BY p.id ORDER BY p.name"""
    )
    return [dict(row) for row in rows]


def read_side(question: dict[str, Any], choice: str, tie: bool) -> dict[str, str]:
    """Turn the side that was chosen back: {"preference": "a", "b" or "tie"}.

    Raises StudyError for another choice.
    """
    other = "b" if question["shown_first"] == "a" else "a"
    sides = dict(zip(SIDES, (question["shown_first"], other), strict=True)) | ({TIE: TIE} if tie else {})
    if choice not in sides:
        raise StudyError(f"'{choice[:20]}' is no answer to this question; choose a side")
    return {PREFERENCE: sides[choice]}


def read_levels(criteria: Sequence[dict[str, Any]], given: Sequence[str]) -> dict[str, int]:
    """Read a level for each criterion. Raises StudyError for one that is missing or not on its scale."""
    levels = {}
    for criterion, value in zip(criteria, given, strict=True):
        most = len(criterion["levels"])
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
            raise StudyError(f"'{criterion['name']}' needs a level from 1 to {most}; choose one")
        levels[criterion["name"]] = int(value)
    return levels


def find_question(con: Journal, key: str) -> dict[str, Any]:
    """Find a question by its key. Raises StudyError if the campaign never had it."""
    row = con.execute("SELECT * FROM questions WHERE key = ?", [key]).fetchone()
    if row is None:
        raise StudyError(f"question {key[:40]}: this campaign never had it")
    return dict(row)


def keep_judgement(
    con: Journal,
    clock: Clock,
    person: str,
    uid: str,
    question: dict[str, Any],
    given: dict[str, Any] | None,
    comment: str,
    extra: dict[str, Any],
) -> None:
    """Keep what an annotator gave to a question (None: they leave it out); the same uid counts once.

    Raises StudyError if the uid is another annotator's.
    """
    if before := find_event(con, uid):
        if before["person"] != person:
            raise StudyError("this form belongs to another annotator; load the page again")
        return
    body = {"comment": " ".join(comment[:COMMENT_LETTERS].split())} | extra
    if given is not None:
        body |= {"given": given, "shown_first": question["shown_first"]}
    kind = "skipped" if given is None else "judgement"
    at = append_event(con, clock, person, kind, uid, body, question["key"])
    con.execute(
        "INSERT OR REPLACE INTO given VALUES (?, ?, ?, ?, ?)",
        [person, question["key"], uid, given is None, write_moment(at)],
    )
    con.execute("DELETE FROM looking WHERE person = ?", [person])


def undo_last(con: Journal, clock: Clock, person: str, uid: str) -> bool:
    """Take back what an annotator gave last, and show that question again; false if there is nothing."""
    row = con.execute(
        "SELECT question, uid FROM given WHERE person = ? ORDER BY at DESC LIMIT 1", [person]
    ).fetchone()
    if row is None or find_event(con, uid):
        return False
    _take_back(con, clock, person, uid, row["question"], row["uid"])
    con.execute(
        "INSERT OR REPLACE INTO looking VALUES (?, ?, ?)", [person, row["question"], clock.now.timestamp()]
    )
    return True


def return_skipped(con: Journal, clock: Clock, person: str, uid: str) -> int:
    """Ask again what an annotator left out; return how many questions these are."""
    rows = con.execute("SELECT question, uid FROM given WHERE person = ? AND skipped", [person]).fetchall()
    for n, row in enumerate(rows):
        if not find_event(con, f"{uid}-{n}"):
            _take_back(con, clock, person, f"{uid}-{n}", row["question"], row["uid"])
    return len(rows)


def _take_back(con: Journal, clock: Clock, person: str, uid: str, question: str, of: str) -> None:
    append_event(con, clock, person, "undone", uid, {"of": of}, question)
    con.execute("DELETE FROM given WHERE person = ? AND question = ?", [person, question])
