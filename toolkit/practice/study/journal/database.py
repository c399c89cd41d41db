"""Open the journal: one SQLite file in the study's folder, which only its owner can read.

study-home/week-1/study.db   what is asked, who takes part, and everything that happened, in order
study-home/week-1/secret     links and forms are signed with it

`events` only grows, but for learners who withdraw. A run is one start of the server: `run` and `n` name an
event for good, also where the file is brought back from a copy.
"""

import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from .....schemas.errors import StudyError
from .....schemas.support.files import keep_files_private

FILE, SECRET, LOCK = "study.db", "secret", "lock"
HOME = Path("study-home")
VERSION = 2
Journal = sqlite3.Connection

_TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE consents (hash TEXT PRIMARY KEY, language TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL,
    current INTEGER NOT NULL) STRICT;
CREATE TABLE items (id TEXT PRIMARY KEY, position INTEGER NOT NULL, kind TEXT NOT NULL,
    language TEXT NOT NULL, shown TEXT NOT NULL, answers TEXT NOT NULL, wrong TEXT NOT NULL,
    options TEXT NOT NULL, hint TEXT, before TEXT, after TEXT,
    skills TEXT NOT NULL, sources TEXT NOT NULL, prompt TEXT,
    settled INTEGER NOT NULL, withdrawn INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE arms (prompt TEXT NOT NULL, completion TEXT NOT NULL, label TEXT NOT NULL, content TEXT NOT NULL,
    propensity REAL NOT NULL, policy TEXT NOT NULL, fit TEXT, PRIMARY KEY (prompt, completion)) STRICT;
CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT NOT NULL, first_language TEXT, token TEXT NOT NULL UNIQUE,
    language TEXT, consent TEXT, consented_at TEXT, joined_at TEXT NOT NULL, last_at TEXT) STRICT;
CREATE UNIQUE INDEX people_name ON people (name COLLATE NOCASE);
CREATE TABLE cards (person TEXT NOT NULL, item TEXT NOT NULL, card TEXT NOT NULL, due REAL NOT NULL,
    tries INTEGER NOT NULL, failures INTEGER NOT NULL, streak INTEGER NOT NULL, right INTEGER NOT NULL,
    PRIMARY KEY (person, item)) STRICT, WITHOUT ROWID;
CREATE INDEX cards_due ON cards (person, due);
CREATE TABLE drawn (person TEXT NOT NULL, prompt TEXT NOT NULL, item TEXT NOT NULL, completion TEXT NOT NULL,
    shown INTEGER NOT NULL, learnt INTEGER NOT NULL, both INTEGER NOT NULL,
    PRIMARY KEY (person, prompt)) STRICT, WITHOUT ROWID;
CREATE TABLE runs (run TEXT PRIMARY KEY, started_at TEXT NOT NULL) STRICT;
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, n INTEGER NOT NULL,
    uid TEXT NOT NULL UNIQUE, person TEXT NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL, item TEXT,
    consent TEXT, body TEXT NOT NULL, UNIQUE (run, n)) STRICT;
CREATE INDEX events_person ON events (person, seq);
CREATE TABLE withdrawals (person TEXT PRIMARY KEY, at TEXT NOT NULL, told INTEGER NOT NULL DEFAULT 0) STRICT;
"""
# Since version 2: the order of new items, of a learner (person "": of everybody else); and a campaign's
# questions, what annotators have given to them, and what each looks at now.
_NEW_TABLES = """
CREATE TABLE places (person TEXT NOT NULL, item TEXT NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (person, item)) STRICT, WITHOUT ROWID;
CREATE TABLE questions (key TEXT PRIMARY KEY, position INTEGER NOT NULL, language TEXT NOT NULL,
    messages TEXT NOT NULL, first TEXT NOT NULL, second TEXT, shown_first TEXT,
    withdrawn INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE given (person TEXT NOT NULL, question TEXT NOT NULL, uid TEXT NOT NULL, skipped INTEGER NOT NULL,
    at TEXT NOT NULL, PRIMARY KEY (person, question)) STRICT, WITHOUT ROWID;
CREATE INDEX given_question ON given (question);
CREATE TABLE looking (person TEXT PRIMARY KEY, question TEXT NOT NULL, at REAL NOT NULL) STRICT;
"""
_FROM_1 = """
ALTER TABLE items RENAME COLUMN source TO sources;
UPDATE items SET sources = json_array(sources);
"""


class DamagedJournalError(StudyError):
    """The file is cut off, or no journal."""


def locate_journal(home: Path, study: str) -> Path:
    """Locate the folder of a study, which need not exist. Raises StudyError for no folder's name."""
    if not study.strip() or study != study.strip() or study.startswith(".") or set(study) & set("/\\\0"):
        raise StudyError(
            f"--study '{study}': expected a name without a slash, a leading dot or spaces around it"
        )
    return home / study


def make_journal(folder: Path) -> None:
    """Make the folder and an empty journal, unless they are there. Raises StudyError if that fails."""
    try:
        with keep_files_private():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError), (folder / SECRET).open("x") as stream:
                stream.write(secrets.token_hex(32))
            (folder.parent / ".gitignore").write_text("*\n")  # names and answers are not for a repository
            if not (folder / FILE).exists():
                with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as con:
                    # The names of all tables must fit on the first page: of a file cut off the rest is read.
                    con.execute("PRAGMA page_size = 8192")
                    con.executescript(
                        f"BEGIN; {_TABLES}{_NEW_TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
                    )
    except OSError as error:
        raise StudyError(
            f"{folder}: {error.strerror}; the study is to lie there: free it, or choose --home"
        ) from error


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """Open the journal for reading and writing, each commit on disk before it returns.

    A journal of version 1 is brought up to this version first, all or nothing. Raises StudyError if there is
    none, or it is of a later version or no journal.
    """
    path = folder / FILE
    if not path.is_file():
        raise StudyError(
            f"{path}: there is no study here; preceptor study push --study NAME makes one, or mend --home"
        )
    with (
        keep_files_private(),
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as con,
    ):
        try:
            con.execute("PRAGMA busy_timeout = 10000")
            con.execute("PRAGMA journal_mode = WAL")
            con.execute("PRAGMA synchronous = FULL")
            con.execute("PRAGMA secure_delete = ON")
            version = _bring_up(con)
        except sqlite3.DatabaseError as error:
            raise DamagedJournalError(
                f"{path}: {error}; is damaged or no journal of a study: bring back a copy"
            ) from error
        if version != VERSION:
            raise StudyError(
                f"{path}: journal of version {version}, this Preceptor has {VERSION}; use that version"
            )
        con.row_factory = sqlite3.Row
        yield con


def _bring_up(con: Journal) -> int:
    """Bring a whole journal of version 1 up to VERSION; return the version it has then."""
    ((version,),) = con.execute("PRAGMA user_version").fetchall()
    if version == 1 and con.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]:
        con.execute("BEGIN IMMEDIATE")
        ((version,),) = con.execute("PRAGMA user_version").fetchall()  # another process may have been first
        if version == 1:
            try:
                for statement in f"{_NEW_TABLES}{_FROM_1}".split(";"):
                    con.execute(statement)
                con.execute(f"PRAGMA user_version = {(version := VERSION)}")
            except BaseException:
                con.execute("ROLLBACK")
                raise
        con.execute("COMMIT")
    return int(version)


@contextmanager
def write_at_once(con: Journal) -> Iterator[None]:
    """Commit all of the block's writes, or none of them."""
    con.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        con.execute("ROLLBACK")
        raise
    con.execute("COMMIT")


@contextmanager
def hold_alone(folder: Path, note: str) -> Iterator[None]:
    """Lock the study for one server until the block ends. Raises StudyError if another one runs on it."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(
                f"{folder}: a server runs on it already ({lock.read().strip()}); use that one, or stop it"
            ) from error
        lock.truncate(0)
        lock.write(note)
        lock.flush()
        yield


def read_secret(folder: Path) -> bytes:
    """Read the secret that links and forms are signed with. Raises StudyError if it is missing."""
    try:
        return bytes.fromhex((folder / SECRET).read_text())
    except (OSError, ValueError) as error:
        raise StudyError(
            f"{folder / SECRET}: missing or damaged; bring back a copy, or delete it and push for new links"
        ) from error


def read_study_settings(con: Journal) -> dict[str, Any]:
    """Read the study's settings by name."""
    return {name: json.loads(value) for name, value in con.execute("SELECT name, value FROM settings")}


def write_settings(con: Journal, settings: dict[str, Any]) -> None:
    """Write settings in place of those of the same names."""
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in settings.items()]
    con.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)
