"""Learners of a study: their links, their consent, and their leaving.

A link is derived from the study's secret, so it is kept nowhere: the journal has its hash.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .....schemas.errors import StudyError
from .....schemas.keys import LENGTH
from .database import Journal
from .events import Clock, append_event, write_moment

NAME_LETTERS = 60
TEACHER = "teacher"
KNOWN = "known-"  # begins the id of somebody whom the store knows by name; their pseudonym follows


@dataclass(frozen=True)
class Participant:
    """A learner as the pages know them."""

    id: str
    name: str
    language: str | None
    consent: str | None


def derive_token(secret: bytes, person: str) -> str:
    """Derive the unguessable part of a person's link: 128 bits, in 32 hex digits."""
    return hmac.new(secret, f"link:{person}".encode(), hashlib.sha256).hexdigest()[:32]


def hash_token(token: str) -> str:
    """Hash a link's token, as the journal keeps it."""
    return hashlib.sha256(token.encode()).hexdigest()


def add_person(
    con: Journal, secret: bytes, name: str, first_language: str | None, at: datetime, known: str | None = None
) -> str:
    """Add a learner or annotator; return their id.

    `known` is the pseudonym of somebody whom the store knows by this very name. Raises StudyError for an
    empty or long name, or one that is taken.
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_LETTERS or not name.isprintable():
        raise StudyError(f"name '{name[:80]}': expected 1 to {NAME_LETTERS} letters")
    if find_named(con, name):
        raise StudyError(f"name '{name}': is taken in this study")
    id = f"{KNOWN}{known}" if known else secrets.token_hex(8)
    token = hash_token(derive_token(secret, id))
    con.execute(
        "INSERT INTO people (id, name, first_language, token, joined_at) VALUES (?, ?, ?, ?, ?)",
        [id, name, first_language, token, write_moment(at)],
    )
    return id


def find_named(con: Journal, name: str) -> str | None:
    """Find the id of a learner by name, whatever its case."""
    folded = name.casefold()
    rows = con.execute("SELECT id, name FROM people")
    return next((row["id"] for row in rows if row["name"].casefold() == folded), None)


def find_learner(con: Journal, token: str) -> Participant | None:
    """Find the learner whose link has this token; None if it is nobody's, or they have withdrawn."""
    row = con.execute(
        "SELECT id, name, language, consent FROM people WHERE token = ?", [hash_token(token)]
    ).fetchone()
    return Participant(*row) if row else None


def find_consent(con: Journal, language: str) -> dict[str, Any]:
    """Find the current text of consent in a language, or in the study's first one."""
    rows = con.execute("SELECT hash, language, text FROM consents WHERE current ORDER BY rowid").fetchall()
    found = next((row for row in rows if row["language"] == language), rows[0])
    return dict(found)


def list_current_consents(con: Journal) -> set[str]:
    """List the hashes of the texts that a learner can have agreed to now."""
    return {row[0] for row in con.execute("SELECT hash FROM consents WHERE current")}


def hash_consent(language: str, text: str) -> str:
    """Hash a text of consent with its language: 20 hex digits."""
    return hashlib.sha256(f"{language}\n{text}".encode()).hexdigest()[:LENGTH]


def write_consents(journal: Journal, consents: dict[str, str]) -> None:
    """Write texts of consent; a learner whose text is not a current one any more is asked again."""
    now = write_moment(datetime.now(UTC))
    for language, text in consents.items():
        journal.execute("UPDATE consents SET current = 0 WHERE language = ?", [language])
        journal.execute(
            """INSERT INTO consents VALUES (?, ?, ?, ?, 1) ON CONFLICT (hash) DO UPDATE SET current = 1""",
            [hash_consent(language, text), language, text, now],
        )


def give_consent(con: Journal, clock: Clock, person: str, uid: str, hash: str, language: str) -> None:
    """Note that a learner agreed to a text. Raises StudyError if it is not a current one."""
    if hash not in list_current_consents(con):
        raise StudyError("the text has changed; read it again")
    if con.execute("SELECT 1 FROM events WHERE uid = ?", [uid]).fetchone():
        return
    at = append_event(con, clock, person, "consent", uid, {"hash": hash, "language": language})
    con.execute(
        "UPDATE people SET consent = ?, consented_at = ?, language = ? WHERE id = ?",
        [hash, write_moment(at), language, person],
    )


def withdraw(con: Journal, person: str, at: datetime) -> None:
    """Remove everything of a learner from the journal; a later pull removes it from the store.

    What stays is the random id, without a name, so that the store can be told. Its bytes are overwritten
    (secure_delete); `forget_bytes` takes them out of the write-ahead log, too.
    """
    tables = dict.fromkeys(("events", "cards", "drawn", "places", "given", "looking"), "person")
    for table, column in (tables | {"people": "id"}).items():
        con.execute(f"DELETE FROM {table} WHERE {column} = ?", [person])
    con.execute("INSERT OR IGNORE INTO withdrawals (person, at) VALUES (?, ?)", [person, write_moment(at)])


def forget_bytes(con: Journal) -> None:
    """Write the log back into the file and empty it, outside a transaction."""
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def collect_own_data(con: Journal, person: str) -> dict[str, Any]:
    """Collect everything the journal has of a learner, for their download."""
    about = con.execute(
        "SELECT name, first_language, language, consent, consented_at, joined_at FROM people WHERE id = ?",
        [person],
    ).fetchone()
    texts = con.execute(
        """SELECT hash, language, text FROM consents
        WHERE hash IN (SELECT consent FROM events WHERE person = ?)""",
        [person],
    ).fetchall()
    events = con.execute(
        """SELECT e.at, e.kind, e.item, e.consent, e.body, coalesce(i.shown, q.first) AS shown,
            q.second AS shown_beside FROM events e LEFT JOIN items i ON i.id = e.item
        LEFT JOIN questions q ON q.key = e.item WHERE person = ? ORDER BY seq""",
        [person],
    ).fetchall()
    return {
        "learner": dict(about),
        "consent_texts": [dict(row) for row in texts],
        "events": [dict(row) | {"body": json.loads(row["body"])} for row in events],
    }
