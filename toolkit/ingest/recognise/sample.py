"""Look at the beginning of a file, whatever it is: a table's columns and first rows, JSON's keys, a text.

votes.csv    table        columns completion_a, completion_b, choice; the first rows as text
a.jsonl      JSON Lines   keys of the first objects
b.json       JSON list, or JSON object
c.m2         text         its first 64 kB
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ....schemas.cells import find_encoding, is_unmarked_utf16
from ....schemas.errors import SourceError
from ..files.header import list_names, name_column
from ..files.numbered_lines import (
    START_BYTES,
    Input,
    describe_not_text,
    is_binary,
    is_spreadsheet,
    read_lines,
    read_start,
)
from ..files.table_files import convert_to_text, find_ending, list_columns, read_table
from .other_programs import check_downloads

_BEYOND = re.compile(rb"[\x80-\xff]+")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a]")
_LETTERS = 2.5  # beyond ASCII that follow each other, on average
ROWS = 2000  # of a table that are looked at
OBJECTS = 50  # of JSON Lines whose keys are looked at
_KEY = re.compile(r'"((?:[^"\\]|\\.){1,80})"\s*:')
_MAGIC = {b"SQLite format 3\0": "SQLite", b"%PDF": "PDF", b"\x89PNG": "picture", b"\xff\xd8\xff": "picture"}
_WHOLE = (
    32 << 20
)  # bytes of JSON that is one value and is parsed; of longer ones the keys are read from the text
_OBJECT = "JSON object"


@dataclass(frozen=True)
class Sample:
    """The beginning of a file."""

    file: Input
    kind: str  # table, JSON Lines, JSON list, JSON object, text, SQLite, package, other
    columns: tuple[str, ...] = ()  # of a table, or keys of the first JSON objects
    inside: frozenset[str] = frozenset()  # keys anywhere inside JSON
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)  # of a table: columns of text
    text: str = ""
    fault: str = ""  # why a table cannot be looked at


def take_sample(file: Input, wanted: Collection[str] = ()) -> Sample:
    """Take a sample of a file; with the columns `wanted` a header is found below title rows.

    Raises SourceError for a file that is empty, cannot be opened, or is no more than a pointer or a web page.
    """
    check_downloads([file])
    if not file.path.stat().st_size:
        raise SourceError(f"{file.path}: is empty; fetch it again")
    with file.path.open("rb") as stream:
        start = stream.read(16)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return Sample(file, kind)
    if file.path.suffix.lower() in (".colpkg", ".apkg"):
        return Sample(file, "package")
    if start.startswith(b"PAR1") or is_spreadsheet(file.path):
        return _sample_table(file, wanted, "")
    text = read_start(file)
    if text.lstrip()[:1] in ("{", "["):
        return _sample_json(file, text)
    if is_binary(file):
        return Sample(file, "other")
    return _sample_table(file, wanted, text) if _is_table(file) else Sample(file, "text", text=text)


def _is_table(file: Input) -> bool:
    try:
        return find_ending(file) in (".csv", ".tsv")
    except SourceError:
        return False


def _sample_table(file: Input, wanted: Collection[str], text: str) -> Sample:
    columns: list[str] = []
    try:
        columns = list_columns(file, list(wanted))
        rows, bad = next(read_table(file, columns))
        if rows.is_empty() and "not valid UTF-8" in bad["reason"].to_list():
            raise SourceError(describe_not_text(file, bad["line"][0]))
    except SourceError as error:
        return Sample(file, "table", tuple(columns), text=text, fault=str(error))
    except StopIteration:
        return Sample(file, "table", tuple(columns), text=text, fault=f"{file.path}: holds no rows")
    names = [name for name in columns if name_column(name) in rows.columns]
    texts = rows.head(ROWS).select(convert_to_text(rows, name_column(n)).alias(n) for n in names)
    unread = bad.filter(pl.col("reason") == "not valid UTF-8")
    fault = describe_not_text(file, unread["line"][0]) if unread.height else ""
    return Sample(file, "table", tuple(list_names(columns)), rows=texts, text=text, fault=fault)


def _sample_json(file: Input, text: str) -> Sample:
    inside = frozenset(_KEY.findall(text))
    lines = [line for line in text.splitlines() if line.strip()]
    first = _parse(lines[0]) if lines else None
    if isinstance(first, dict) and (len(lines) > 1 or _is_json_lines(file)):
        rows = [first, *filter(lambda row: isinstance(row, dict), map(_parse, lines[1:OBJECTS]))]
        return Sample(file, "JSON Lines", _list_keys(rows), inside, _frame(rows), text)
    if len(lines) > 1 and isinstance(_parse(lines[1]), dict) and not text.lstrip().startswith("["):
        rows = [row for line in lines[:OBJECTS] if isinstance(row := _parse(line), dict)]
        return Sample(file, "JSON Lines", _list_keys(rows), inside, _frame(rows), text)
    kind = _OBJECT if text.lstrip().startswith("{") else "JSON list"
    return Sample(file, kind, _list_keys(_find_objects(file, text)), inside, text=text)


def _is_json_lines(file: Input) -> bool:
    names = [suffix.lower() for suffix in file.path.suffixes[-2:]]
    return ".jsonl" in names or ".ndjson" in names or file.path.suffix.lower() == ".json"


def _find_objects(file: Input, text: str) -> list[dict[str, Any]]:
    """The first objects of a JSON list, or the object that the file is."""
    value = _parse(text)
    if value is None and file.path.stat().st_size <= _WHOLE:
        try:
            value = _parse("\n".join(block["raw"].str.join("\n").item() for block in read_lines(file)))
        except SourceError:
            value = None
    if value is None:
        value = _parse_first(text)
    items = value if isinstance(value, list) else [value]
    return [item for item in items[:OBJECTS] if isinstance(item, dict)]


def _parse_first(text: str) -> Any:
    """The first element of a list whose end is not in the text; None if it is no list, or longer."""
    try:
        return [json.JSONDecoder().raw_decode(text.lstrip().removeprefix("[").lstrip())[0]]
    except (ValueError, RecursionError):
        return None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _list_keys(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for row in rows for key in row))


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Objects as columns of text; lists and objects are null."""
    keys = _list_keys(rows)
    return pl.DataFrame(
        {key: [_write(row.get(key)) for row in rows] for key in keys}, schema=dict.fromkeys(keys, pl.String)
    )


def _write(value: Any) -> str | None:
    if value is None or isinstance(value, list | dict):
        return None
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    # Halves of surrogate pairs are no text that a table could hold.
    return text.encode("utf-8", "replace").decode() or None


def make_input(path: Path, encoding: str = "", sheet: str = "") -> Input:
    """Make the input for a look at one file."""
    return Input(path, path.name, encoding=encoding, sheet=sheet)


def guess_encoding(path: Path) -> str:
    """Guess the encoding of a text file that is not UTF-8: windows-1251 or windows-1252; "" for other files.

    In Cyrillic words letters beyond ASCII follow each other; in words of Western Europe they stand alone.
    """
    with path.open("rb") as stream:
        start = stream.read(START_BYTES)
    runs = _BEYOND.findall(start)
    if not runs or find_encoding(start) or _NO_TEXT.search(start) or is_unmarked_utf16(start):
        return ""
    try:
        start.decode()
    except UnicodeDecodeError as error:
        if error.start > len(start) - 4 and len(start) == START_BYTES:
            return ""
    else:
        return ""
    return "windows-1251" if sum(map(len, runs)) / len(runs) >= _LETTERS else "windows-1252"
