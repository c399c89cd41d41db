"""MathDial: teachers and simulated students about grade-school problems, with the teacher's moves.

    {"qid": 6000060, "question": "…", "student_incorrect_solution": "…", "self-correctness": "Yes",
     "conversation": "Teacher: (generic)Hi Scott|EOM|Student: I began with …"}

Macina et al. (Findings of EMNLP 2023). JSON Lines or CSV of the same columns. Every speaker except
Teacher is the student. A row is a dialogue; its problem's qid is the group, since dialogues share problems.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import TURNS
from ...store.connection import open_scratch, parse_json_rows, query
from ..batch import Batch, Context, collect_rejects, divide
from ..files.delimited import read_records
from ..files.numbered_lines import Input, OnBytes, read_lines
from .turns import ASSISTANT, USER, make_tables, note_empty_turns

_END = "|EOM|"
_TEXTS = ("qid", "question", "student_incorrect_solution", "conversation")
_REST = json.dumps(dict.fromkeys(_TEXTS))  # not kept as context


def find_mathdial(path: Path) -> list[Path] | None:
    """Find the JSON Lines of a folder, and the CSV of dialogues that are not there as JSON Lines.

    Raises SourceError if there are neither.
    """
    if not path.is_dir():
        return None
    lines = sorted(path.rglob("*.jsonl"))
    found = lines + [p for p in sorted(path.rglob("*.csv")) if p.with_suffix(".jsonl") not in lines]
    if not found:
        raise SourceError(f"{path}: holds no *.jsonl or *.csv of MathDial")
    return found


def read_mathdial(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the turns, prompts and completions of one file.

    Raises SourceError if a column is missing or the file cannot be read.
    """
    said = []
    for rows, bad in _csv(file, on_bytes) if ".csv" in file.path.suffixes else _jsonl(file, on_bytes):
        batch = _batch(rows, bad, file.name, context)
        said.append(batch.tables[TURNS.name].select("role", "content").filter(pl.col("content") == ""))
        yield batch
    if said:
        notes = note_empty_turns(pl.concat(said), file.name)
        yield Batch(0, 0, {}, collect_rejects([], file.name), notes)


def _jsonl(file: Input, on_bytes: OnBytes) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    for block in read_lines(file, on_bytes=on_bytes):
        lines = block.filter(pl.col("raw").str.strip_chars() != "")
        rows, bad = parse_json_rows(lines, dict.fromkeys(_TEXTS, "VARCHAR"))
        with open_scratch() as con:
            con.register("rows", rows.to_arrow())
            yield query(con, f"SELECT *, json_merge_patch(raw, '{_REST}')::VARCHAR AS about FROM rows"), bad


_ABOUT = (
    "scenario",
    "ground_truth",
    "student_profile",
    "teacher_described_confusion",
    "self-correctness",
    "self-typical-confusion",
    "self-typical-interactions",
)


def _csv(file: Input, on_bytes: OnBytes) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    for records, bad in read_records(file, on_bytes=on_bytes):
        missing = [name for name in _TEXTS if name not in records.columns]
        if missing:
            raise SourceError(f"{file.path}: no column {', '.join(missing)}; expected MathDial's columns")
        about = pl.struct(name for name in _ABOUT if name in records.columns)
        yield (
            records.select(
                "line",
                "raw",
                *_TEXTS,
                pl.lit(None, pl.String).alias("mistyped"),
                about.struct.json_encode().alias("about"),
            ),
            bad,
        )


def _batch(rows: pl.DataFrame, bad: pl.DataFrame, path: str, context: Context) -> Batch:
    turns = pl.col("conversation").str.split(_END)
    nameless = turns.list.eval(~pl.element().str.contains("^[^:]+:")).list.any()
    missing = [
        (pl.col(n).fill_null("").str.strip_chars() == "", f"'{n}' is missing or empty") for n in _TEXTS
    ]
    good, wrong = divide(
        rows,
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        *missing,
        (nameless, "a turn does not begin with who speaks, such as 'Teacher: '"),
    )
    opening = pl.concat_str("question", "student_incorrect_solution", separator="\n\n")
    dialogues = good.select(
        pl.format("{}:{}", pl.lit(path), "line").alias("dialogue"),
        opening.str.replace_all("\\n", "\n", literal=True).alias("opening"),
        pl.col("qid").alias("group"),
        pl.col("about").alias("context"),
        pl.lit(path).alias("path"),
        "line",
    )
    said = (
        good.select(dialogues["dialogue"], turns.alias("turn"))
        .explode("turn")
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over("dialogue").alias("position"))
    )
    speaker = pl.col("turn").str.extract("^([^:]+):").str.strip_chars()
    text = pl.col("turn").str.replace("^[^:]+: ?", "")
    teaches = speaker == "Teacher"
    move = r"^\((focus|probing|telling|generic)\)"
    stored = said.select(
        "dialogue",
        "position",
        pl.when(teaches).then(pl.lit(ASSISTANT)).otherwise(pl.lit(USER)).alias("role"),
        pl.when(teaches).then(text.str.replace(move, "")).otherwise(text).str.strip_chars().alias("content"),
        pl.when(teaches).then(text.str.extract(move)).alias("act"),
        pl.lit(None, pl.String).alias("state"),
    )
    rejects = collect_rejects([bad, wrong], path)
    return Batch(rows.height + bad.height, good.height, make_tables(dialogues, stored, context), rejects)
