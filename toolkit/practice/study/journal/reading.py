"""Read the journal's events as frames, as far as the file can be read."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from .....schemas.errors import StudyError
from ....store.places import hold_temporary_folder
from .database import FILE, DamagedJournalError, Journal, open_journal

_COLUMNS = ("run", "n", "uid", "person", "at", "kind", "item", "consent", "body")
_SCHEMA: dict[str, Any] = {name: pl.Int64 if name == "n" else pl.String for name in _COLUMNS}


@dataclass(frozen=True)
class Events:
    """Events in order, times in UTC; `damage` says what could not be read ("" where all was)."""

    rows: pl.DataFrame
    damage: str


@contextmanager
def open_as_it_is(folder: Path) -> Iterator[tuple[Journal, str]]:
    """Open the journal, or a copy of what is left of a damaged one; also yield what is wrong ("" if nothing).

    A damaged file is not written to. Raises StudyError if there is none, or nothing of it can be read.
    """
    with ExitStack() as stack:
        try:
            con = stack.enter_context(open_journal(folder))
            damage = _find_damage(con)
        except DamagedJournalError as error:
            damage = str(error)
        if not damage:
            yield con, ""
            return
        stack.close()
        copy = stack.enter_context(hold_temporary_folder())
        for name in (FILE, f"{FILE}-wal"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, copy / name)
        left = stack.enter_context(closing(sqlite3.connect(copy / FILE, isolation_level=None)))
        left.execute("PRAGMA writable_schema = ON")  # else a file that is too short cannot be read at all
        left.row_factory = sqlite3.Row
        try:
            left.execute("SELECT 1 FROM settings LIMIT 1").fetchall()
        except sqlite3.DatabaseError as error:
            raise StudyError(
                f"{folder / FILE}: nothing of it can be read ({error}); bring back a copy"
            ) from error
        yield left, damage


def read_events(con: Journal, damage: str = "") -> Events:
    """Read every event; of a file with damage, those that can be read."""
    select = f"SELECT {', '.join(_COLUMNS)} FROM events"
    rows: list[tuple[Any, ...]] = []
    try:
        rows = [tuple(row) for row in con.execute(f"{select} ORDER BY seq")]
    except sqlite3.DatabaseError as error:
        damage = damage or str(error)
        rows = list(_read_one_by_one(con, select))
    if damage:
        damage = f"{damage}; {len(rows):,} events could be read"
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return Events(
        frame.with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_zone="UTC")), damage
    )


def _find_damage(con: Journal) -> str:
    try:
        ((found,), *_) = con.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else str(found).replace("\n", " ")


def _read_one_by_one(con: Journal, select: str) -> Iterator[tuple[Any, ...]]:
    """Read the events whose pages are there: first to last until one cannot be read, then last to first."""
    read: dict[int, tuple[Any, ...]] = {}
    for order, beyond in (("", "seq > ?"), (" DESC", "seq < ?")):
        at = max(read, default=0) if not order else 1 << 62
        try:
            found = con.execute(f"SELECT seq, {select[7:]} WHERE {beyond} ORDER BY seq{order}", [at])
            for seq, *row in found:
                if seq in read:
                    break
                read[seq] = tuple(row)
        except sqlite3.DatabaseError:
            continue
    return iter(read[seq] for seq in sorted(read))


def read_bodies(rows: pl.DataFrame, **fields: Any) -> pl.DataFrame:
    """Add fields of the events' bodies as columns of these types; null where a body lacks one."""
    bodies = [json.loads(body) for body in rows["body"]]
    made = []
    for name, type in fields.items():
        values = [body.get(name) for body in bodies]
        if type == pl.String:
            values = [
                v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values
            ]
        made.append(pl.Series(name, values, dtype=type, strict=False))
    return rows.with_columns(made)
