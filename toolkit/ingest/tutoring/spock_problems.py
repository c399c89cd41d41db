"""SPOCK's problems: questions, a wrong answer to each, and possible replies of a tutor.

    section_name,section_learning_objs,section_id,problems
    Cells,"Describe the cell",4.1,"{""Problem"": ""…"", ""SubProblems"": [{""Question"": ""…"",
     ""Answer"": ""…"", ""Hint"": ""…"", ""Incorrect Response"": ""…"", ""Feedback"": ""…""}],
     ""Facts"": [""…""], ""Solution"": ""…""}"

Sonkar et al., CLASS (Findings of EMNLP 2023): GPT-4 wrote them from the learning objectives of a
textbook. Each sub-problem is a prompt as a tutor would meet it: the learner brings the problem, the
tutor asks the question, the learner answers wrongly. Its completions are the feedback, the hint and
the answer given away, distinguished by `kind` in their context: a trainer wants feedback or hint
chosen over the answer. The rest of the problem (facts, solution, the objectives) is the prompt's
context; the section is the group.

A row is a record. Its JSON must be strict, and each sub-problem must have its question, the wrong
answer and one of the three completions, or the whole record is rejected.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import COMPLETIONS, PROMPTS
from ...store.connection import add_key, open_scratch, query, run
from ..batch import Batch, Context, collect_rejects, divide, find_reason
from ..files.delimited import read_records
from ..files.numbered_lines import Input, OnBytes, read_lines
from ..files.tutor_turn import bind_sql, check_json_sql, find_field_sql, read_fields_sql
from ..formats.format import CSV
from .spock import AUTHOR
from .turns import ASSISTANT, TASK, USER

_NEEDED = ("section_id", "problems")
_OTHERS = ("section_name", "section_learning_objs")
_KINDS = ("feedback", "hint", "answer")
_PARTS = {"question": "question", "wrong": "incorrectresponse", **{kind: kind for kind in _KINDS}}


def _text(json: str) -> str:
    """The text in a JSON value; null if it is blank or no text."""
    told = "CASE WHEN json_type(v) = 'VARCHAR' AND regexp_matches(v->>'$', '\\S') THEN v->>'$' END"
    return bind_sql(json, "v", told)


_PROBLEMS = f"""
SELECT line, json_type(json) AS kind, {_text(find_field_sql("f", "problem"))} AS problem,
    {find_field_sql("f", "subproblems")} AS parts, json_type(parts) AS listed,
    json_object('section', section_id, 'name', section_name,
        'objectives', trim(section_learning_objs, e' \r\n'),
        'facts', {find_field_sql("f", "facts")}, 'solution', {find_field_sql("f", "solution")}) AS about
FROM (SELECT *, CASE WHEN json_type(json) = 'OBJECT' THEN {read_fields_sql("json")} END AS f FROM (
    SELECT *, CASE WHEN {check_json_sql("problems")} THEN problems::JSON END AS json FROM records))"""

_TOLD = ", ".join(f"{_text(find_field_sql('f', name))} AS {part}" for part, name in _PARTS.items())
_SUBPROBLEMS = f"""
SELECT line, n, about, problem, {_TOLD}
FROM (SELECT *, CASE WHEN json_type(part) = 'OBJECT' THEN {read_fields_sql("part")} END AS f FROM (
    SELECT line, about, problem, unnest(json_extract(parts, '$[*]')) AS part,
        generate_subscripts(json_extract(parts, '$[*]'), 1) AS n
    FROM problems WHERE json_type(parts) = 'ARRAY'))
ORDER BY line, n"""


def find_spock_problems(path: Path) -> list[Path] | None:
    """Find the CSV files of a folder whose header has the required columns.

    Raises SourceError if there are none.
    """
    if not path.is_dir():
        return None
    there = sorted({p for pattern in CSV for p in path.rglob(pattern) if p.is_file()})
    found = [p for p in there if _has_columns(p)]
    if not found:
        raise SourceError(
            f"{path}: holds no CSV with the columns {' and '.join(_NEEDED)}; name the files themselves"
        )
    return found


def _has_columns(path: Path) -> bool:
    """True if a file's header has the columns, or it needs an --encoding to be read."""
    try:
        first = next(read_lines(Input(path, path.name)), None)
    except SourceError:
        return True
    header = "" if first is None else str(first["raw"][0])
    return set(_NEEDED) <= {name.strip(' "') for name in header.split(",")}


def read_spock_problems(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the prompts and completions of one CSV file.

    Raises SourceError if a column is missing or the file cannot be read.
    """
    empty: list[pl.DataFrame] = []
    for records, bad in read_records(file, on_bytes=on_bytes):
        missing = [name for name in _NEEDED if name not in records.columns]
        if missing:
            have = ", ".join(name for name in records.columns if name not in ("line", "raw"))
            raise SourceError(
                f"{file.path}: no column {' or '.join(missing)}; expected SPOCK's problems with "
                f"{', '.join((*_NEEDED, *_OTHERS))}, the file has {have}"
            )
        batch, parts = _batch(records, bad, file.name, context)
        empty.append(
            parts.select(pl.len().alias("all").cast(pl.Int64), *(pl.col(k).null_count() for k in _KINDS))
        )
        yield batch
    if empty:
        yield Batch(0, 0, {}, collect_rejects([], file.name), _notes(pl.concat(empty).sum(), file.name))


def _notes(empty: pl.DataFrame, path: str) -> tuple[str, ...]:
    """Say how many sub-problems lack one of the completions: one row of their number and of each kind's."""
    found = empty.row(0, named=True)
    lacking = ", ".join(f"'{kind.capitalize()}' in {found[kind]:,}" for kind in _KINDS if found[kind])
    if not lacking:
        return ()
    return (f"{path}: empty or missing, so no completion: {lacking} of {found['all']:,} sub-problems",)


def _batch(
    records: pl.DataFrame, bad: pl.DataFrame, path: str, context: Context
) -> tuple[Batch, pl.DataFrame]:
    """Read records; also returns the sub-problems that were taken."""
    absent = [pl.lit(None, pl.String).alias(name) for name in _OTHERS if name not in records.columns]
    records = records.with_columns(absent)
    with open_scratch() as con:
        con.register("records", records.select("line", *_NEEDED, *_OTHERS).to_arrow())
        run(con, f"CREATE TEMP TABLE problems AS {_PROBLEMS}")
        judged = query(con, "SELECT line, kind, problem, listed FROM problems")
        parts = query(con, _SUBPROBLEMS).with_columns(_wrong())
    odd = parts.filter(pl.col("reason").is_not_null()).group_by("line", maintain_order=True).first()
    reasons = odd.select("line", pl.format("sub-problem {}: {}", "n", "reason").alias("reason"))
    section = pl.coalesce("section_id", "section_name").alias("group")
    good, wrong = divide(
        records.with_columns(section)
        .join(judged, on="line", how="left", maintain_order="left")
        .join(reasons, on="line", how="left", maintain_order="left"),
        (pl.col("group").is_null(), "'section_id' is empty"),
        (pl.col("problems").is_null(), "'problems' is empty"),
        (pl.col("kind").is_null(), "'problems' is not valid JSON"),
        (pl.col("kind") != "OBJECT", "'problems' is not a JSON object with 'Problem' and 'SubProblems'"),
        (pl.col("problem").is_null(), "'Problem' is missing or no text"),
        (pl.col("listed").fill_null("") != "ARRAY", "'SubProblems' is missing or not a list"),
        (pl.col("reason").is_not_null(), pl.col("reason")),
        (~pl.col("line").is_in(parts["line"].implode()), "'SubProblems' is empty"),
    )
    kept = parts.join(good.select("line", "group"), on="line", maintain_order="left")
    read = records.height + bad.height
    tables = _tables(kept, path, context)
    return Batch(read, good.height, tables, collect_rejects([bad, wrong], path)), kept


def _wrong() -> pl.Expr:
    """Name the parts that a sub-problem lacks; null if it is complete."""
    return find_reason(
        (pl.col("question").is_null(), "'Question' is missing or no text"),
        (pl.col("wrong").is_null(), "'Incorrect Response' is missing or no text"),
        (pl.all_horizontal(pl.col(_KINDS).is_null()), "has no 'Feedback', 'Hint' or 'Answer'"),
    )


def _tables(parts: pl.DataFrame, path: str, context: Context) -> dict[str, pl.DataFrame]:
    here = (pl.lit(context.source).alias("source"), pl.lit(path).alias("path"))
    talk = [
        pl.struct(pl.lit(role).alias("role"), pl.col(said).alias("content"))
        for role, said in ((USER, "problem"), (ASSISTANT, "question"), (USER, "wrong"))
    ]
    ref = pl.format("{}:{}-{}", pl.lit(path), "line", "n")
    prompts = add_key(
        parts.select(
            *here,
            ref.alias("ref"),
            pl.lit(TASK).alias("task"),
            pl.lit(context.language).alias("language"),
            pl.concat_list(talk).alias("messages"),
            "group",
            pl.col("about").alias("context"),
            "line",
        ),
        PROMPTS,
    )
    answers = [
        parts.select(
            *here,
            pl.format("{}-{}", ref, pl.lit(kind)).alias("ref"),
            prompts["key"].alias("prompt"),
            pl.col(kind).alias("content"),
            pl.lit("model").alias("origin"),
            pl.lit(AUTHOR).alias("author"),
            pl.lit(f'{{"kind":"{kind}"}}').alias("context"),
            "line",
            "n",
        )
        for kind in _KINDS
    ]
    told = pl.concat(answers).filter(pl.col("content").is_not_null()).sort("line", "n", maintain_order=True)
    return {PROMPTS.name: prompts, COMPLETIONS.name: add_key(told.drop("n"), COMPLETIONS)}
