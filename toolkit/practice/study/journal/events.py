"""Append events to the journal.

    kind      item    body
    consent   null    {"language": "en"}
    answer    item    {"given": "goes", "verdict": "right", "took_ms": 5210, "state": "learn", …}
    grade     item    {"of": uid of the answer, "grade": 3}
    claim     item    {"of": uid of the answer}                       I was right
    draw      item    {"prompt": …, "completion": …, "propensity": 0.5, "policy": "uniform", "knew": false, …}
    both      item    {"prompt": …, "first": completion, "second": completion}
    vote      item    {"of": uid of both, "choice": completion or "tie", "first": …, "second": …}
    rating    item    {"completion": …, "values": {"clear": 4}}

(those of a campaign's questions stand in judgements.py)

Times of a learner never run backwards: where the machine's clock does, an event comes a microsecond after the
one before it, and its body says so.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .....schemas.errors import StudyError
from .database import Journal


@dataclass(frozen=True)
class Clock:
    """The run of the server that writes, and the time."""

    run: str
    now: datetime


def append_event(
    con: Journal,
    clock: Clock,
    person: str,
    kind: str,
    uid: str,
    body: dict[str, Any],
    item: str | None = None,
) -> datetime:
    """Append an event; return its time. Raises StudyError if the person has withdrawn or never agreed."""
    row = con.execute("SELECT consent, last_at FROM people WHERE id = ?", [person]).fetchone()
    if row is None or (row["consent"] is None and kind != "consent"):
        raise StudyError(f"no learner of this study has agreed under this id ({kind})")
    at = clock.now
    if row["last_at"] is not None and at <= (last := parse_moment(row["last_at"])):
        if last - at > timedelta(seconds=1):
            body = body | {"clock_back_s": round((last - at).total_seconds(), 3)}
        at = last + timedelta(microseconds=1)
    ((n,),) = con.execute("SELECT coalesce(max(n), 0) + 1 FROM events WHERE run = ?", [clock.run]).fetchall()
    consent = body["hash"] if kind == "consent" else row["consent"]
    con.execute(
        "INSERT INTO events (run, n, uid, person, at, kind, item, consent, body) VALUES (?,?,?,?,?,?,?,?,?)",
        [
            clock.run,
            n,
            uid,
            person,
            write_moment(at),
            kind,
            item,
            consent,
            json.dumps(body, ensure_ascii=False),
        ],
    )
    con.execute("UPDATE people SET last_at = ? WHERE id = ?", [write_moment(at), person])
    return at


def find_event(con: Journal, uid: str) -> dict[str, Any] | None:
    """Find an event by its uid: its columns, with the body read; None if there is none."""
    row = con.execute("SELECT * FROM events WHERE uid = ?", [uid]).fetchone()
    return None if row is None else dict(row) | {"body": json.loads(row["body"])}


def write_moment(at: datetime) -> str:
    """Write a time so that the order of texts is that of times."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_moment(text: str) -> datetime:
    """Parse a time that `write_moment` wrote."""
    return datetime.fromisoformat(text)
