"""Notes of an Anki collection: which item each card is, and which explanation it shows.

    guid 5f0c2ab1…   fields Front, Back, Explanation, Item, Completion, Sources

A note of `preceptor study export --format anki` has the key of the store's item as its guid and again as its
fourth field, and as its fifth the key of the completion that is its explanation. Of other decks
--map item=FIELD and --map completion=FIELD name fields of notes, or guid. Fields are one text, parted by
U+001F; their names are JSON in `col` of an old collection, rows of `fields` of a new one.
"""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.support.nearest import suggest

MAPPED = ("item", "completion")
GUID = "guid"
_PART = "\x1f"
_ITEM, _COMPLETION = 3, 4  # places of our own notes' fields
_LONGEST = 100_000  # characters of a note's fields; longer ones are not ours
_LONGEST_NAME = 200  # of an item
_KEY = "^[0-9a-f]{8,64}$"
_BATCH_ROWS = 50_000
_NOTES = f"""SELECT CAST(c.id AS TEXT), CAST(n.guid AS TEXT), CAST(n.mid AS TEXT),
    CASE WHEN length(n.flds) > {_LONGEST} THEN '' ELSE CAST(n.flds AS TEXT) END
FROM cards c JOIN notes n ON n.id = c.nid WHERE c.id IN (SELECT cid FROM revlog)"""
_SCHEMA = dict.fromkeys(("cid", "guid", "mid", "flds"), pl.String)


def make_no_notes() -> pl.DataFrame:
    """Make the frame of no notes: cid, item, completion."""
    return pl.DataFrame(schema=dict.fromkeys(("cid", *MAPPED), pl.String))


def check_note_map(columns: Mapping[str, str], path: Path) -> None:
    """Raise SourceError if --map names another column of ours than those that notes can give."""
    if wrong := sorted(set(columns) - set(MAPPED)):
        raise SourceError(f"{path}: --map {wrong[0]}: of Anki's notes only {' and '.join(MAPPED)} are read")


def read_notes(con: sqlite3.Connection, columns: Mapping[str, str], path: Path) -> pl.DataFrame:
    """Read which item each card of the log is: cid, item, completion; cards that are not named are left out.

    `columns` are --map's. Raises SourceError if no note has a field of that name.
    """
    fields = _read_fields(con) if columns else {}
    names = sorted({name for names in fields.values() for name in names})
    for wanted in columns.values():
        if wanted.lower() != GUID and wanted.lower() not in (name.lower() for name in names):
            raise SourceError(
                f"{path}: no note has a field '{wanted}'; {suggest(wanted, [GUID, *names], 'there are', ' ')}"
            )
    parts = []
    found = con.execute(_NOTES)
    while rows := found.fetchmany(_BATCH_ROWS):
        notes = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
        parts.append(_name_mapped(notes, fields, columns) if columns else _name_own(notes))
    return pl.concat(parts) if parts else make_no_notes()


def _name_own(notes: pl.DataFrame) -> pl.DataFrame:
    """Name the items of our own notes, which have their guid as a field."""
    parts = pl.col("flds").str.split(_PART)
    key = parts.list.get(_COMPLETION, null_on_oob=True).str.strip_chars()
    return notes.filter(
        parts.list.get(_ITEM, null_on_oob=True) == pl.col("guid"), pl.col("guid").str.contains(_KEY)
    ).select(
        "cid", pl.col("guid").alias("item"), pl.when(key.str.contains(_KEY)).then(key).alias("completion")
    )


def _name_mapped(
    notes: pl.DataFrame, fields: Mapping[str, list[str]], columns: Mapping[str, str]
) -> pl.DataFrame:
    """Name items by the fields that --map says, whose place depends on the kind of note."""
    named = {}
    for ours, wanted in columns.items():
        places = {
            kind: place
            for kind, names in fields.items()
            for place, name in enumerate(names)
            if name.lower() == wanted.lower()
        }
        place = pl.col("mid").replace_strict(places, default=None, return_dtype=pl.Int64)
        field = pl.col("flds").str.split(_PART).list.get(place, null_on_oob=True)
        value = (pl.col("guid") if wanted.lower() == GUID else field).str.strip_chars()
        named[ours] = pl.when(value.str.len_chars().is_between(1, _LONGEST_NAME)).then(value)
    rows = notes.select("cid", *(named.get(name, pl.lit(None, pl.String)).alias(name) for name in MAPPED))
    return rows.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in MAPPED))


def _read_fields(con: sqlite3.Connection) -> dict[str, list[str]]:
    """Read the names of fields by kind of note."""
    tables = {row[0] for row in con.execute("SELECT lower(name) FROM sqlite_master WHERE type = 'table'")}
    if "fields" in tables:
        found: dict[str, list[str]] = {}
        for kind, name in con.execute(
            "SELECT CAST(ntid AS TEXT), CAST(name AS TEXT) FROM fields ORDER BY ntid, ord"
        ):
            found.setdefault(kind, []).append(name)
        return found
    if "col" not in tables:
        return {}
    for (text,) in con.execute("SELECT models FROM col LIMIT 1"):
        try:
            models = json.loads(text or "{}")
            return {
                kind: [str(field["name"]) for field in sorted(model["flds"], key=lambda field: field["ord"])]
                for kind, model in models.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
    return {}
