"""Make answer forms, rows of a campaign's questions to be filled in without a server, and read them.

n,prompt,A,B,preference,comment,annotator,question
1,Why is the sky blue?,Blue light is scattered most.,Because of the sea.,A,,ada,q4c06…

A is the side shown first, which may be the question's a or b; answers are turned back when they are
read. A rating form has `completion` and one column for each criterion instead of A, B, preference.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from ...schemas.cells import read_choice, read_level
from ...schemas.errors import AnnotationError
from ...schemas.rubric import PREFERENCE, Rubric

SUFFIXES = {".csv": "a table for a spreadsheet", ".jsonl": "one object a line", ".json": "Label Studio"}
ANSWERS = {
    "question": pl.String,
    "annotator": pl.String,
    "given": pl.String,
    "comment": pl.String,
    "at": pl.Datetime("us", "UTC"),
}
REJECTS = {"annotator": pl.String, "line": pl.Int64, "raw": pl.String, "reason": pl.String}
CELL_LIMIT = 32_767  # characters that a spreadsheet keeps of a cell
_ROLES = {"user": "Learner", "assistant": "Tutor", "system": "System"}


@dataclass(frozen=True)
class FormRow:
    """One filled-in row: the cells of `list_answer_columns`, as text."""

    line: int
    cells: dict[str, str]
    at: datetime | None = None
    """Time of the answer; null if the file has none."""
    fault: str | None = None
    """Reason why the row cannot be read."""


@dataclass(frozen=True)
class FilledForm:
    """Content of a filled-in form."""

    answers: pl.DataFrame
    """question, annotator, given (JSON; a and b are the question's own sides), comment, at."""
    rejects: pl.DataFrame
    """annotator (as the file names them; or null), line, raw (answers as JSON), reason."""
    unanswered: int
    notes: tuple[str, ...] = ()
    missing: int = 0
    """Questions of the campaign that are in no row."""


def list_answer_columns(rubric: Rubric) -> list[str]:
    """List the columns that an annotator fills in."""
    return [PREFERENCE] if rubric.kind == "pairwise" else [c.name for c in rubric.criteria]


def list_shown_columns(rubric: Rubric) -> list[str]:
    """List the columns that an annotator reads."""
    return ["n", "prompt", "A", "B"] if rubric.kind == "pairwise" else ["n", "prompt", "completion"]


def make_form_rows(
    questions: pl.DataFrame, rubric: Rubric, annotator: str | None = None
) -> list[dict[str, Any]]:
    """Make the rows to be filled in, in the order of asking, with texts as they are shown.

    `questions` has key, position, messages, content_a, content_b, shown_first.
    """
    blank = dict.fromkeys(list_answer_columns(rubric))
    return [
        {
            "n": q["position"],
            "prompt": q["messages"],
            **_texts(q, rubric),
            **blank,
            "comment": None,
            "annotator": annotator,
            "question": "q" + q["key"],
        }
        for q in questions.sort("position").to_dicts()
    ]


def _texts(question: dict[str, Any], rubric: Rubric) -> dict[str, str]:
    a, b = question["content_a"], question["content_b"]
    if rubric.kind == "rating":
        return {"completion": a}
    return {"A": a, "B": b} if question["shown_first"] == "a" else {"A": b, "B": a}


def distribute_questions(
    questions: pl.DataFrame, annotators: Sequence[str], overlap: int
) -> dict[str, pl.DataFrame]:
    """Distribute questions evenly by annotator, so that `overlap` annotators answer each.

    Columns as in `questions`. A repeated question goes to the annotators who get it the first time.
    """
    pairs = {
        pair: n
        for n, pair in enumerate(
            questions.select("completion_a", "completion_b").unique(maintain_order=True).rows()
        )
    }
    turn = [pairs[pair] for pair in questions.select("completion_a", "completion_b").rows()]
    return {
        who: questions.filter(
            pl.Series([(at - n) % len(annotators) < overlap for n in turn], dtype=pl.Boolean)
        )
        for at, who in enumerate(annotators)
    }


def join_turns(messages: Sequence[dict[str, str]]) -> str:
    """Join the turns of a dialogue to one text, with speakers if there is more than one turn."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{_ROLES.get(m['role'], m['role'])}: {m['content']}" for m in messages)


def take_rows(
    rows: Iterable[FormRow],
    questions: pl.DataFrame,
    rubric: Rubric,
    path: Path,
    *,
    annotator: str | None,
    now: datetime,
    notes: tuple[str, ...] = (),
) -> FilledForm:
    """Read the answers of filled-in rows; the others are rejects, with their line and the reason.

    `questions` has key and shown_first. `annotator` and `now` are the defaults for rows without annotator or
    time. Raises AnnotationError if no row names a question, no answer has an annotator, or the file names
    another annotator.
    """
    sides = dict(questions.select("key", "shown_first").rows())
    taken: dict[tuple[str, str], list[tuple[FormRow, str, str | None]]] = {}
    faults: list[tuple[FormRow, str]] = []
    unanswered = 0
    nameless: list[FormRow] = []
    seen: set[str] = set()
    for row in rows:
        seen.add(_cell(row, "question").removeprefix("q"))
        if row.fault is None and not any(_cell(row, name) for name in list_answer_columns(rubric)):
            if _cell(row, "comment"):
                faults.append((row, "a comment, but no answer"))
            unanswered += not _cell(row, "comment")
            continue
        who = _who(row, annotator, path)
        fault, question, given = _read(row, sides, rubric)
        if fault is None and not who:
            nameless.append(row)
        elif fault is not None:
            faults.append((row, fault))
        else:
            taken.setdefault((question, who), []).append((row, given, _cell(row, "comment") or None))
    if not (taken or faults or nameless or seen & sides.keys()):
        raise AnnotationError(f"{path}: no row names a question of this campaign; is it a form of it?")
    if nameless and not taken:
        raise AnnotationError(f"{path}: nobody is named who answered; give --annotator NAME")
    faults += [(row, "no annotator; fill in that column, or give --annotator") for row in nameless]
    answers, twice = _once(taken, now)
    rejects = _rejects(faults + twice, annotator)
    return FilledForm(_frame(answers, ANSWERS), rejects, unanswered, notes, len(sides.keys() - seen))


def _cell(row: FormRow, name: str) -> str:
    return row.cells.get(name, "").strip()


def _who(row: FormRow, annotator: str | None, path: Path) -> str:
    """The annotator's name, or nothing."""
    named = _cell(row, "annotator")
    if named and annotator and named != annotator:
        raise AnnotationError(
            f"{path}:{row.line}: filled in by '{named}', but --annotator is '{annotator}'; "
            "leave the option out, or give each annotator a file"
        )
    return named or annotator or ""


def _read(row: FormRow, sides: dict[str, str | None], rubric: Rubric) -> tuple[str | None, str, str]:
    """Return what is wrong with the row, or its question's key and the answer's JSON."""
    if row.fault:
        return row.fault, "", ""
    question = _cell(row, "question").removeprefix("q")
    if question not in sides:
        said = f"'{_cell(row, 'question')}' is no question of this campaign" if question else "no question"
        return f"{said}; leave the column 'question' as it was", question, ""
    given: dict[str, str | int] = {}
    try:
        for name, read in _readers(rubric, sides[question] or "a").items():
            given[name] = read(_cell(row, name))
    except ValueError as error:
        return f"'{name}' {error}", question, ""
    return None, question, json.dumps(given)


def _readers(rubric: Rubric, first: str) -> dict[str, Callable[[str], str | int]]:
    """Functions that read each cell; `first` is the question's side that was shown as A."""
    if rubric.kind == "pairwise":
        return {PREFERENCE: lambda text: _preference(text, rubric, first)}
    return {c.name: partial(_level, c.levels) for c in rubric.criteria}


def _preference(text: str, rubric: Rubric, first: str) -> str:
    choice = read_choice(text)
    if choice is None or (choice == "tie" and not rubric.tie):
        raise ValueError(f"is '{text}'; expected A, B{' or tie' if rubric.tie else ' (no ties here)'}")
    return {"a": first, "b": "ab".replace(first, "")}.get(choice, choice)


def _level(levels: tuple[str, ...], text: str) -> int:
    """The level that a cell names, by number or by its wording."""
    if not text:
        raise ValueError("is left blank; rate every criterion, or clear the row")
    worded = {wording.strip().lower(): value for value, wording in enumerate(levels, 1)}
    if text.lower() in worded:
        return worded[text.lower()]
    number = read_level(text)
    if number is None or not 1 <= number <= len(levels):
        raise ValueError(f"is '{text}'; expected a whole number from 1 to {len(levels)}")
    return number


def _once(
    taken: dict[tuple[str, str], list[tuple[FormRow, str, str | None]]], now: datetime
) -> tuple[list[dict[str, Any]], list[tuple[FormRow, str]]]:
    """Keep one answer for each question and annotator; refuse all rows that contradict each other."""
    answers, faults = [], []
    for (question, annotator), found in taken.items():
        row, given, comment = found[0]
        if len({(g, c) for _, g, c in found}) > 1:
            lines = ", ".join(str(r.line) for r, _, _ in found)
            faults += [
                (r, f"answered more than once, and differently (lines {lines}); leave one")
                for r, _, _ in found
            ]
            continue
        answers.append(
            {
                "question": question,
                "annotator": annotator,
                "given": given,
                "comment": comment,
                "at": row.at or now,
            }
        )
    return answers, faults


def _rejects(faults: list[tuple[FormRow, str]], annotator: str | None) -> pl.DataFrame:
    rows = []
    for row, reason in sorted(faults, key=lambda fault: fault[0].line):
        filled = {name: text for name, text in row.cells.items() if name != "annotator"}
        rows.append(
            {
                "annotator": _cell(row, "annotator") or annotator,
                "line": row.line,
                "reason": reason,
                "raw": json.dumps(filled, ensure_ascii=False),
            }
        )
    return _frame(rows, REJECTS)


def _frame(rows: list[dict[str, Any]], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema)
