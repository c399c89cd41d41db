"""Write forms as CSV for spreadsheets, JSON Lines or Label Studio files (label_studio.py), with a guide, and
read them.

A spreadsheet opens the CSV (UTF-8 with a byte-order mark, CRLF) and runs none of its cells: a cell that
begins like a formula gets an apostrophe, which is removed when it is read. Changes by spreadsheets are read
too: semicolons or tabs, moved columns, no mark, UTF-16, empty rows at the end.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from ...schemas.cells import find_encoding, find_separator, is_unmarked_utf16, read_separator_line
from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ...schemas.support.files import write_text
from ...schemas.support.nearest import suggest
from ..rubrics.new import show_rubric
from .forms import (
    CELL_LIMIT,
    SUFFIXES,
    FilledForm,
    FormRow,
    join_turns,
    list_answer_columns,
    list_shown_columns,
    make_form_rows,
    take_rows,
)
from .label_studio import make_label_studio, read_label_studio, write_labelling_config

_FORMULA = re.compile("'*(?:[\t\r\n]|\\s*[=+\\-@＝＋－＠])")
_NAMED = re.compile(r'("annotator"\s*:\s*)"(?:[^"\\]|\\.)*"?')
_START = 1 << 16
_FIELD_LIMIT = 1 << 30
_GUIDE = """# {title}

{how}

```
{seen}```

{guidelines}"""


def make_form_texts(
    path: Path, questions: pl.DataFrame, rubric: Rubric, annotator: str | None
) -> dict[Path, str]:
    """Make the files of a form, {path: text}: the form first, then its guide and Label Studio's .xml.

    The suffix gives the format: .csv, .jsonl, .json (Label Studio). Columns of `questions`: see
    `make_form_rows`. Raises AnnotationError for another suffix.
    """
    texts = {
        path: _form(path, questions, rubric, annotator),
        path.with_name(f"{path.name}.md"): _guide(path, rubric),
    }
    if path.suffix.lower() == ".json":
        texts[path.with_suffix(".xml")] = write_labelling_config(rubric)
    return texts


def write_texts(texts: dict[Path, str]) -> list[Path]:
    """Write files, the first one last, each whole or not at all; return their paths.

    Raises AnnotationError if a file exists with another text: a form may have been filled in.
    """
    for path, text in texts.items():
        if path.exists() and path.read_bytes() != text.encode():
            raise AnnotationError(f"{path} is there already and is not overwritten; choose another --out")
    for path, text in reversed(texts.items()):  # the form last: if it exists, all files do
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return list(texts)


def _form(path: Path, questions: pl.DataFrame, rubric: Rubric, annotator: str | None) -> str:
    rows = make_form_rows(questions, rubric, annotator)
    if check_suffix(path) == ".csv":
        return _csv(
            rows,
            [*list_shown_columns(rubric), *list_answer_columns(rubric), "comment", "annotator", "question"],
        )
    if check_suffix(path) == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return json.dumps(make_label_studio(rows), ensure_ascii=False, indent=1) + "\n"


def check_suffix(path: Path) -> str:
    """Return a form's suffix in lower case; raises AnnotationError if it is none of SUFFIXES."""
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(f"{suffix} ({what})" for suffix, what in SUFFIXES.items())
        raise AnnotationError(f"{path}: a form ends in {known}")
    return path.suffix.lower()


def _csv(rows: list[dict[str, Any]], columns: list[str]) -> str:
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        shown = row | {"prompt": join_turns(row["prompt"])}
        writer.writerow([defuse("" if shown[c] is None else str(shown[c])) for c in columns])
    return out.getvalue()


def defuse(text: str) -> str:
    """Put an apostrophe before a cell's text that a spreadsheet would take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restore(text: str) -> str:
    """Undo `defuse`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _guide(path: Path, rubric: Rubric) -> str:
    columns = ", ".join(list_answer_columns(rubric))
    how = {
        ".csv": f"Open {path.name} in a spreadsheet and fill in: {columns}; comment where you like; your "
        "name in annotator if it is not there. Leave a row empty if you cannot judge it. Save it as CSV "
        "(UTF-8); do not change the column 'question'.",
        ".jsonl": f"Every line of {path.name} is one question: write your answer in place of null for: "
        f"{columns}. Leave null if you cannot judge it.",
        ".json": f"Label Studio: use {path.stem}.xml as the labelling configuration, then import "
        f"{path.name}. Skip what you cannot judge.",
    }[path.suffix.lower()]
    return _GUIDE.format(title=path.stem, how=how, seen=show_rubric(rubric), guidelines=rubric.guidelines)


def count_long_texts(questions: pl.DataFrame) -> int:
    """Count the questions with a text longer than CELL_LIMIT, which is what a spreadsheet keeps."""
    lengths = [pl.col("content_a").str.len_chars(), pl.col("content_b").str.len_chars().fill_null(0)]
    prompts = questions["messages"].map_elements(lambda m: len(join_turns(m)), pl.Int64)
    return questions.filter((pl.max_horizontal(*lengths) > CELL_LIMIT) | (prompts > CELL_LIMIT)).height


# ---- reading


def read_form(
    path: Path, questions: pl.DataFrame, rubric: Rubric, annotator: str | None, now: datetime
) -> FilledForm:
    """Read a filled-in form of any format.

    `questions` has key and shown_first; see `take_rows` for `annotator` and `now`. Raises AnnotationError if
    it is no form of this campaign.
    """
    suffix = check_suffix(path)
    text, *notes = _decoded(path)
    if suffix == ".json":
        rows, counted = read_label_studio(text, path, list_answer_columns(rubric))
        notes += counted
    elif suffix == ".jsonl":
        rows = list(_jsonl_rows(text, list_answer_columns(rubric)))
    else:
        rows, more = _csv_rows(text, path, list_answer_columns(rubric))
        notes += more
    return take_rows(rows, questions, rubric, path, annotator=annotator, now=now, notes=tuple(notes))


def _decoded(path: Path) -> list[str]:
    """The file's text, and a note if its encoding was guessed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}; name the form that came back") from error
    try:
        marked = find_encoding(content)
        if marked is None and is_unmarked_utf16(content[:_START]):
            return [content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")]
        return [content.decode("utf-16" if marked == "utf-16" else "utf-8-sig")]
    except UnicodeDecodeError:
        note = "not UTF-8: read as Windows-1252; if comments look odd, save it as 'CSV UTF-8'"
        return [content.decode("cp1252", errors="replace"), note]


def _jsonl_rows(text: str, answers: Sequence[str]) -> Iterator[FormRow]:
    for n, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            kept = _NAMED.sub(r"\1null", line)  # no names in the store
            yield FormRow(n, {"line": kept}, fault=f"not JSON: {error}")
            continue
        if not isinstance(row, dict):
            yield FormRow(n, {"line": line}, fault="not an object")
            continue
        wanted = [*answers, "comment", "annotator", "question"]
        cells = {name: _plain(row[name]) for name in wanted if row.get(name) is not None}
        absent = next((name for name in answers if name not in row), None)
        fault = f"no '{absent}': {suggest(absent, list(row), 'it has')}" if absent and cells else None
        yield FormRow(n, cells, fault=fault)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _csv_rows(text: str, path: Path, answers: Sequence[str]) -> tuple[list[FormRow], list[str]]:
    lines = list(io.StringIO(text, newline=""))
    hint = read_separator_line(lines[0]) if lines else None  # a hint to Excel
    skipped = 0 if hint is None else 1
    wanted = {"question", "annotator", "comment", *answers}
    separator = hint or find_separator([*lines[skipped:], ""][0], ",", wanted)
    records = _records(lines[skipped:], path, skipped, separator)
    _, header = next(records, (1, []))
    places, notes = _places(header, path, skipped + 1, answers)
    rows = []
    for line, cells in records:
        if any(cell.strip() for cell in cells):
            named = {name: restore(cells[at]) for name, at in places.items() if at < len(cells)}
            beyond = any(cell.strip() for cell in cells[len(header) :])
            rows.append(FormRow(line, named, fault="more cells than columns" if beyond else None))
    return rows, notes


def _records(lines: list[str], path: Path, skipped: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Records and the line each begins on."""
    limit = csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    begins = skipped + 1
    try:
        for cells in reader:
            yield begins, cells
            begins = skipped + reader.line_num + 1
    except csv.Error as error:
        raise AnnotationError(f"{path}:{begins}: not CSV: {error}; is a quotation mark open?") from error
    finally:
        csv.field_size_limit(limit)


def _places(
    header: list[str], path: Path, line: int, answers: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Where each column is, and notes about columns that are not read."""
    names = [name.strip().lower() for name in header]
    wanted = ["question", *answers, "comment", "annotator"]
    twice = next((name for name in wanted if names.count(name) > 1), None)
    if twice:
        raise AnnotationError(f"{path}:{line}: two columns are named '{twice}'; leave one")
    for name in wanted[: 1 + len(answers)]:
        if name not in names:
            hint = suggest(name, [n for n in names if n], "it has")
            raise AnnotationError(
                f"{path}:{line}: no column '{name}': {hint} (is it a form of this campaign?)"
            )
    shown = {"n", "prompt", "a", "b", "completion", ""}
    others = [h for h, name in zip(header, names, strict=True) if name not in {*wanted, *shown}]
    notes = [f"columns that are not read: {', '.join(others)}"] if others else []
    return {name: names.index(name) for name in wanted if name in names}, notes
