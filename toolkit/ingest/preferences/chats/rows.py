"""Rows of chats as JSON objects, whichever kind of file has them: JSON Lines, a JSON list, a table, Parquet.

`--map` renames fields: chosen=good_answer reads the field good_answer as chosen. A cell of a table is text,
but lists of messages, of answers or of ratings are read from JSON in it, and truths (yes, 1) in `label`.
"""

from collections.abc import Iterator

import polars as pl

from .....schemas.cells import TRUTHS
from .....schemas.errors import SourceError
from .....schemas.support.nearest import suggest
from ....store.connection import open_scratch, query
from ....store.quoting import quote_pointer, quote_text
from ...files.header import name_column
from ...files.json_lists import read_elements
from ...files.numbered_lines import Input, OnBytes, read_lines
from ...files.table_files import (
    JSON_LINES,
    PARQUET,
    find_ending,
    list_columns,
    read_parquet_as_json,
    read_table,
)

_TRUTHS = ("label", "kto_tag")
_TEXTS = ("prompt", "chosen", "rejected", "completion", "response", "rejected_response", "input")
_LISTS = (
    *("messages", "conversations", "conversation_a", "conversation_b", "rejected_messages", "history"),
    *("preferred_output", "non_preferred_output", "completions", "models"),
    *("generations", "generation_models", "model_names", "ratings", "rating", "rationales"),
)
_MESSAGES = r"""^\s*\[?\s*\{[\s\S]*"(role|from|messages)"\s*:"""
Rows = tuple[pl.DataFrame, pl.DataFrame]


def read_chat_rows(
    file: Input, known: tuple[str, ...], columns: dict[str, str], on_bytes: OnBytes
) -> Iterator[Rows]:
    """Read blocks of (rows, rejects).

    rows: line, raw (a JSON object in our names of the fields), damaged, written (the row as in the file).
    rejects: line, raw, reason. `known` are the fields that are read; `columns` maps ours to the file's.
    Raises SourceError if the file cannot be read, or does not have a field that is mapped.
    """
    check_map(columns, known)
    missing = set(columns.values())
    for rows, bad in _read(file, known, columns, on_bytes):
        found, keys = _rename(rows, columns) if columns else (rows.with_columns(written="raw"), set())
        missing -= keys
        yield found, bad
    if missing:
        ours = next(name for name, theirs in columns.items() if theirs in missing)
        raise SourceError(
            f"{file.path}: no row has the field '{columns[ours]}' for {ours}; "
            f"use --map {ours}=FIELD with one that the rows have"
        )


def check_map(columns: dict[str, str], known: tuple[str, ...]) -> None:
    """Check that known fields are mapped, each from another one. Raises SourceError with the nearest name."""
    for name in columns:
        if name not in known:
            raise SourceError(f"--map {name}=…: no field of chats; {suggest(name, known, 'known fields')}")
    for theirs in columns.values():
        if list(columns.values()).count(theirs) > 1:
            raise SourceError(f"--map: the field '{theirs}' is mapped twice; leave one of them out")


def is_table_of_chats(file: Input) -> bool:
    """True if the file is a table of text cells by its name, such as CSV."""
    try:
        return find_ending(file) not in (*JSON_LINES, PARQUET)
    except SourceError:
        return False


def _read(file: Input, known: tuple[str, ...], columns: dict[str, str], on_bytes: OnBytes) -> Iterator[Rows]:
    none = pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "reason": pl.String})
    if file.path.suffix.lower() == PARQUET:
        wanted = dict.fromkeys([*(name for name in known if name not in columns), *columns.values()])
        for block in read_parquet_as_json(file, list(wanted), on_bytes):
            yield block, none
        return
    if is_table_of_chats(file):
        ours = {theirs: ours for ours, theirs in columns.items()}
        yield from _read_cells(file, known, ours, on_bytes)
        return
    start = next(read_lines(file), pl.DataFrame(schema={"raw": pl.String}))
    filled = start.filter(pl.col("raw").str.strip_chars() != "")
    if filled.height and filled["raw"][0].lstrip().startswith("["):
        yield read_elements(file, "chats", on_bytes), none
        return
    for block in read_lines(file, on_bytes=on_bytes):
        yield block.filter(pl.col("raw").str.strip_chars() != ""), none


def _read_cells(
    file: Input, known: tuple[str, ...], ours: dict[str, str], on_bytes: OnBytes
) -> Iterator[Rows]:
    """Read records of a table as JSON objects with the file's names; `ours` maps these to our names."""
    names = list_columns(file, [*known, *ours])
    for records, bad in read_table(file, names, on_bytes):
        here = {name: name_column(name) for name in names if name_column(name) in records.columns}
        cells = records.select(
            "line",
            pl.col("raw").alias("written"),
            *(pl.col(c).alias(f"c{i}") for i, c in enumerate(here.values())),
        )
        fields = ", ".join(
            f"{quote_text(name)}, {_cell(f'c{i}', ours.get(name, name))}" for i, name in enumerate(here)
        )
        with open_scratch() as con:
            con.register("cells", cells.to_arrow())
            yield (
                query(
                    con,
                    f"""SELECT line, json_object({fields})::VARCHAR AS "raw", false AS damaged, written
                    FROM cells ORDER BY line""",
                ),
                bad,
            )


def _cell(column: str, ours: str) -> str:
    """SQL: a cell as JSON."""
    text = f"to_json({column}::VARCHAR)"
    if ours in _TRUTHS:
        words = {truth: [word for word, means in TRUTHS.items() if means is truth] for truth in (True, False)}
        word = f"regexp_replace(lower(trim({column}::VARCHAR)), '^([01])[.,]0*$', '\\1')"
        return f"""CASE WHEN {word} IN {tuple(words[True])} THEN 'true'::JSON
            WHEN {word} IN {tuple(words[False])} THEN 'false'::JSON ELSE {text} END"""
    pattern = r"^\s*[\[{]" if ours in _LISTS else _MESSAGES if ours in _TEXTS else ""
    if not pattern:
        return text
    return f"""CASE WHEN regexp_matches({column}::VARCHAR, '{pattern}') AND json_valid({column}::VARCHAR)
        THEN {column}::JSON ELSE {text} END"""


def _rename(rows: pl.DataFrame, columns: dict[str, str]) -> tuple[pl.DataFrame, set[str]]:
    """Rename the mapped fields; also returns the names of all fields that the rows have."""
    gone = ", ".join(f"{quote_text(name)}, NULL" for name in dict.fromkeys([*columns, *columns.values()]))
    there = ", ".join(f"{quote_text(ours)}, raw->{quote_pointer(theirs)}" for ours, theirs in columns.items())
    written = "written" if "written" in rows.columns else "raw"
    with open_scratch() as con:
        con.register("rows", rows.to_arrow())
        renamed = query(
            con,
            f"""WITH typed AS (
                SELECT *, coalesce(json_type(CASE WHEN json_valid(raw) THEN raw END) = 'OBJECT', false)
                    AS whole FROM rows)
            SELECT line, CASE WHEN whole THEN json_merge_patch(raw, json_object({gone}), json_object({there}))
                ELSE raw END::VARCHAR AS "raw", damaged, {written} AS written,
                CASE WHEN whole THEN json_keys(raw) END AS keys FROM typed ORDER BY line""",
        )
    return renamed.drop("keys"), set(renamed["keys"].explode().drop_nulls())
