"""Write forms as CSV for spreadsheets, JSON Lines or Label Studio files (label_studio.py), with a guide; find
the columns of filled-in ones.

A spreadsheet opens the CSV (UTF-8 with a byte-order mark, CRLF) and runs none of its cells: a cell that
begins like a formula gets an apostrophe, which is removed when it is read.
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ...schemas.support.files import write_text
from ...schemas.support.json_text.values import parse_json
from ...schemas.support.nearest import suggest
from ..rubrics.new import show_rubric
from .forms import (
    CELL_LIMIT,
    SUFFIXES,
    FormRow,
    join_turns,
    list_answer_columns,
    list_shown_columns,
    make_form_rows,
)
from .label_studio import make_label_studio, write_labelling_config

_FORMULA = re.compile("'*(?:[\t\r\n]|\\s*[=+\\-@＝＋－＠])")
# Where a spreadsheet with another separator begins a cell: a list's item (- hedgehogs) does no harm there.
_WITHIN = "'*[^\\S\t\r\n]*(?:[=@＝＋－＠]|[+-](?! )|[+-][^;\t\r\n]*[(|])"
_TO_ADD = re.compile(f"(?<=[;\t\r\n])(?={_WITHIN})")
_ADDED = re.compile(f"(?<=[;\t\r\n])'(?={_WITHIN})")
_NAMED = re.compile(r'("annotator"\s*:\s*)"(?:[^"\\]|\\.)*"?')
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
        write_text(path, text, 0o600)  # of people who may not be public
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
    """Put an apostrophe before whatever in a cell's text a spreadsheet would take for a formula.

    That is its beginning, and what follows a semicolon, a tab or a line break, where a spreadsheet that
    does not separate cells by commas begins one.
    """
    text = _TO_ADD.sub("'", text)
    return f"'{text}" if _FORMULA.match(text) else text


def restore(text: str) -> str:
    """Undo `defuse`."""
    text = text[1:] if text.startswith("'") and _FORMULA.match(text) else text
    return _ADDED.sub("", text)


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


def list_form_columns(rubric: Rubric) -> list[str]:
    """List the columns that are read of a filled-in form: the question, the answers, comment, annotator."""
    return ["question", *list_answer_columns(rubric), "comment", "annotator"]


def match_columns(header: Sequence[str], rubric: Rubric, path: Path) -> tuple[dict[str, str], list[str]]:
    """Match the columns of a form to those of a header, in any case; also list those that are not read.

    Raises AnnotationError if one is missing or there twice.
    """
    names = [name.strip().lower() for name in header]
    wanted = list_form_columns(rubric)
    for name in wanted:
        if names.count(name) > 1:
            raise AnnotationError(f"{path}: two columns are named '{name}'; leave one")
    for name in wanted[:-2]:
        if name not in names:
            hint = suggest(name, [n for n in names if n], "it has")
            raise AnnotationError(f"{path}: no column '{name}': {hint} (is it a form of this campaign?)")
    shown = {"n", "prompt", "a", "b", "completion", ""}
    others = [h for h, name in zip(header, names, strict=True) if name not in {*wanted, *shown}]
    return {name: header[names.index(name)] for name in wanted if name in names}, others


def read_object(line: int, text: str, rubric: Rubric) -> FormRow:
    """Read one line of a form in JSON Lines."""
    try:
        row = parse_json(text)
    except ValueError as error:
        kept = _NAMED.sub(r"\1null", text)  # no names in the store
        return FormRow(line, {"line": kept}, fault=f"not JSON: {error}")
    if not isinstance(row, dict):
        return FormRow(line, {"line": text}, fault="not an object")
    answers = list_answer_columns(rubric)
    cells = {n: _convert(row[n]) for n in list_form_columns(rubric) if row.get(n) is not None}
    absent = next((name for name in answers if name not in row), None)
    fault = f"no '{absent}': {suggest(absent, list(row), 'it has')}" if absent and cells else None
    return FormRow(line, cells, fault=fault)


def _convert(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
