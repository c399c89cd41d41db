"""Study logs: one event of a learner per record, or ASSISTments' three lines per student.

    learner,item,skills,at,correct,attempts,duration_ms
    learner-9,card-17,plural|articles,2026-05-04T10:00:00Z,true,1,2300

CSV, TSV, JSON Lines or Parquet, columns mapped by name. `skills` are separated by | or ;, and null where the
item is the skill itself. `correct` may be derived from `grade` with --passing; `at` may be seconds,
milliseconds or microseconds since 1970. A row is a record. Three lines a student (Feng, Heffernan and
Koedinger 2009, as knowledge-tracing projects pass it on) are read by `assistments.py`.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import REVIEWS
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, find_reason
from ..files.fields import (
    Columns,
    check_time,
    expect,
    parse_bool,
    parse_time,
    parse_whole,
    select_wrong,
)
from ..files.numbered_lines import Input, OnBytes
from ..files.wide import name_cells, read_rows, restore_lines
from ..lopsided import Said, count_values
from ..people import hide_ids, replace_ids
from .assistments import is_triples, read_triples

_OPTIONAL = ("correct", "grade", "at", "kind", "skills", "attempts", "duration_ms", "interval_days")
REVIEW_COLUMNS = Columns(("learner", "item"), _OPTIONAL, value="correct")
_TRUTHS = ("true", "false")
_COUNTS = ("grade", "attempts", "duration_ms")


def read_reviews(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the reviews of one file.

    Raises SourceError if a column is missing or the file cannot be read.
    """
    if not context.columns and is_triples(file):
        yield from read_triples(file, context, on_bytes)
        return
    columns = (
        Columns(("item",), ("learner", *_OPTIONAL), value="correct") if context.learner else REVIEW_COLUMNS
    )
    for block in read_rows(file, context, columns, on_bytes):
        mapped = block.rows
        if context.learner:
            mapped = mapped.with_columns(pl.col("learner").fill_null(context.learner))
        named = replace_ids(mapped, context, ["learner"])
        judged = _judged(named, context)
        wrong = name_cells(judged.filter(pl.col("reason").is_not_null()).select("line", "reason"), block)
        said = pl.coalesce(pl.col("known").cast(pl.String), "correct")
        people = ["learner"] if block.has_people("learner") else []
        good = judged.filter(pl.col("reason").is_null())
        hidden = hide_ids(block.bad, select_wrong(block.records, wrong), named, people)
        yield Batch(
            read=block.rows.height + block.bad.height,
            taken=good.height,
            tables={REVIEWS.name: _reviews(good, file.name, context, block.width)},
            rejects=restore_lines(collect_rejects(hidden, file.name), block.width),
            notes=block.notes,
            values=count_values(judged, Said("correct", said, pl.col("known").is_not_null(), _TRUTHS)),
            met=block.met,
        )


def _judged(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Parse each field, and give the reason why a row is rejected."""
    days = pl.col("interval_days").cast(pl.Float64, strict=False)
    parsed = parse_time(rows, context.date_format).with_columns(
        parse_bool(pl.col("correct")).alias("known"),
        days.alias("days"),
        *(parse_whole(name).alias(f"{name}_") for name in _COUNTS),
    )
    if context.passing is not None:
        parsed = parsed.with_columns(pl.coalesce("known", pl.col("grade_") >= context.passing))
    return parsed.with_columns(
        find_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            (pl.col("learner").is_null(), "'learner' is empty"),
            (pl.col("item").is_null(), "'item' is empty"),
            (
                pl.col("correct").is_not_null() & parse_bool(pl.col("correct")).is_null(),
                expect("correct", "true or false"),
            ),
            *(
                (
                    pl.col(name).is_not_null() & ~(pl.col(f"{name}_") >= 0).fill_null(False),
                    expect(name, "a whole number from 0"),
                )
                for name in _COUNTS
            ),
            (
                pl.col("interval_days").is_not_null() & ~(pl.col("days") >= 0).fill_null(False),
                expect("interval_days", "a number from 0"),
            ),
            (pl.col("known").is_null() & pl.col("grade_").is_null(), "neither correct nor grade is given"),
            check_time(context.date_format),
        )
    )


def _split_skills() -> pl.Expr:
    """Split skills at | or ;, each once, in order; null where there are none."""
    parts = pl.col("skills").str.replace_all(";", "|", literal=True).str.split("|")
    cleaned = parts.list.eval(pl.element().str.strip_chars())
    named = cleaned.list.eval(pl.element().filter(pl.element() != "")).list.unique(maintain_order=True)
    return pl.when(named.list.len() > 0).then(named).alias("skills")


def _reviews(good: pl.DataFrame, path: str, context: Context, width: int) -> pl.DataFrame:
    return good.select(
        pl.lit(context.source).alias("source"),
        "learner",
        "item",
        _split_skills(),
        pl.col("time").alias("at"),
        "kind",
        pl.col("known").alias("correct"),
        pl.col("days").alias("interval_days"),
        *(pl.col(f"{name}_").alias(name) for name in _COUNTS),
        (pl.col("line") % width).alias("n"),
        pl.lit(path).alias("path"),
        pl.col("line") // width,
    )
