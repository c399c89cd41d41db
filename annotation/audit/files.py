"""A judge's cache of another system, as CSV or JSON Lines: single answers, each about one order.

    item,first,second,choice,first_length,second_length
    q17,gpt-4,llama-7b,first,120,80
    q17,llama-7b,gpt-4,tie,80,120

first and second name the shown completions: their ids, or the systems that wrote them. Lengths may be left
out, or be replaced by texts (first_text, second_text); the column judge names the judge.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.support.json_text.values import parse_json
from ...schemas.support.nearest import find_nearest
from .orders import CHOICES, JUDGEMENTS

NEEDED = ("item", "first", "second", "choice")
OPTIONAL = ("judge", "first_length", "second_length", "first_text", "second_text")
_SUFFIXES = (".csv", ".jsonl")
_FIELD_LIMIT = 1 << 30


def read_judgements(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Read judgements (orders.JUDGEMENTS and judge), and what was not taken, by line, with the reason.

    Raises AnnotationError if the file cannot be read, lacks a column (the nearest one is named), or has no
    usable line.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise AnnotationError(f"{path}: judgements are read from .csv and .jsonl")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not UTF-8; save it as UTF-8") from error
    read = _csv(text, path) if path.suffix.lower() == ".csv" else _jsonl(text, path)
    rows, rejects = [], []
    for line, row in read:
        try:
            rows.append(_judgement(row))
        except ValueError as error:
            rejects.append(f"{path.name}:{line}: {error}")
    if not rows:
        first = f"; the first: {rejects[0]}" if rejects else ""
        raise AnnotationError(f"{path}: holds no judgement that can be read{first}")
    return pl.DataFrame(rows, schema={"judge": pl.String, **JUDGEMENTS}, orient="row"), rejects


def _csv(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(_FIELD_LIMIT)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(lines, [])
        _check_columns(columns, f"{path}:1")
        for before, row in _with_ends(lines):
            if row:
                whole = len(row) == len(columns)
                yield (
                    before + 1,
                    (
                        dict(zip(columns, row, strict=True))
                        if whole
                        else f"{len(row)} cells, expected {len(columns)}"
                    ),
                )
    except csv.Error as error:
        raise AnnotationError(f"{path}:{lines.line_num}: {error}; mend the quotes of that line") from error


def _with_ends(lines: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows of a csv.reader with the line where the row before ended."""
    before = lines.line_num
    for row in lines:
        yield before, row
        before = lines.line_num


def _jsonl(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    looked = False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            said = error.msg if isinstance(error, json.JSONDecodeError) else error
            yield number, f"not valid JSON ({said})"
            continue
        if isinstance(row, dict) and not looked:
            _check_columns(list(row), f"{path}:{number}")
            looked = True
        yield number, row if isinstance(row, dict) else "expected a JSON object"


def _check_columns(have: list[str], where: str) -> None:
    missing = [name for name in NEEDED if name not in have]
    if not missing:
        return
    others = [column for column in have if column not in (*NEEDED, *OPTIONAL)]
    near = {name: find_nearest(name, others) for name in missing}
    said = [f"'{name}'" + (f" (did you mean '{near[name]}'?)" if near[name] else "") for name in missing]
    raise AnnotationError(
        f"{where}: no column {', '.join(said)}; the file has {', '.join(have) or 'no columns'}; "
        f"needed: {', '.join(NEEDED)}; may be there: {', '.join(OPTIONAL)}"
    )


def _judgement(row: Any) -> tuple[Any, ...]:
    if isinstance(row, str):
        raise ValueError(row)
    named = {name: str(row[name]).strip() if row.get(name) is not None else "" for name in NEEDED}
    for name, value in named.items():
        if not value:
            raise ValueError(f"'{name}' is empty")
    choice = named["choice"].lower()
    if choice not in CHOICES:
        raise ValueError(f"'choice' is '{named['choice']}', expected first, second or tie")
    if named["first"] == named["second"]:
        raise ValueError(f"'first' and 'second' are both '{named['first']}'")
    judge = str(row.get("judge") or "").strip() or None
    # A system's name means another completion in every item.
    shown = (f"{named['item']}\t{named[side]}" for side in ("first", "second"))
    lengths = (_length(row, side) for side in ("first", "second"))
    return judge, named["item"], *shown, choice, *lengths


def _length(row: dict[str, Any], side: str) -> int | None:
    given, text = row.get(f"{side}_length"), row.get(f"{side}_text")
    if given not in (None, ""):
        try:
            number = float(str(given))
        except ValueError:
            number = -1
        if number < 0 or number % 1:
            raise ValueError(f"'{side}_length' is '{given}', expected a whole number of characters")
        return int(number)
    return len(str(text)) if text not in (None, "") else None
