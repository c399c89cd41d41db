"""Study logs: one event of a learner a record, or ASSISTments' three lines a student.

    learner,item,at,correct,attempts,duration_ms
    learner-9,card-17,2026-05-04T10:00:00Z,true,1,2300

CSV, TSV, JSON Lines or Parquet, columns mapped by name. `correct` may be told from `grade` with
--passing; `at` may be seconds, milliseconds or microseconds since 1970. A row is a record. Three
lines a student (Feng, Heffernan and Koedinger 2009, as knowledge-tracing projects pass it on) are
read by `triples.py`.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import REVIEWS
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, find_reason
from ..files.delimited import column
from ..files.fields import (
    Columns,
    as_read,
    bad_time,
    got,
    their_names,
    truth,
    under_our_name,
    whole,
    with_time,
)
from ..files.numbered_lines import Input, OnBytes
from ..files.table_files import read_table
from ..people import hide_ids, replace_ids
from .assistments import is_triples, read_triples

_OPTIONAL = ("correct", "grade", "at", "kind", "attempts", "duration_ms", "interval_days")
_COUNTS = ("grade", "attempts", "duration_ms")


def read_reviews(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Reviews of one file."""
    if not context.columns and is_triples(file):
        yield from read_triples(file, context, on_bytes)
        return
    required = ("item",) if context.learner else ("learner", "item")
    columns = Columns(required, tuple({"learner", *_OPTIONAL} - set(required)))
    names = their_names(file, context, columns)
    for records, bad in read_table(file, list(names.values()), on_bytes):
        mapped = records.select("line", *(under_our_name(records, *pair) for pair in names.items()))
        if context.learner:
            mapped = mapped.with_columns(pl.col("learner").fill_null(context.learner))
        named = replace_ids(mapped, context, ["learner"])
        judged = _judged(named, context)
        wrong = judged.filter(pl.col("reason").is_not_null()).select("line", "reason")
        people = ["learner"] if column(names["learner"]) in records.columns else []
        yield Batch(
            read=records.height + bad.height,
            taken=judged.height - wrong.height,
            tables={REVIEWS.name: _reviews(judged.filter(pl.col("reason").is_null()), file.name, context)},
            rejects=collect_rejects(hide_ids(bad, as_read(records, wrong), named, people), file.name),
        )


def _judged(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Rows with each field as what it stands for, and why a row cannot be taken."""
    days = pl.col("interval_days").cast(pl.Float64, strict=False)
    parsed = with_time(rows).with_columns(
        truth(pl.col("correct")).alias("known"),
        days.alias("days"),
        *(whole(name).alias(f"{name}_") for name in _COUNTS),
    )
    if context.passing is not None:
        parsed = parsed.with_columns(pl.coalesce("known", pl.col("grade_") >= context.passing))
    return parsed.with_columns(
        find_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            (pl.col("learner").is_null(), "'learner' is empty"),
            (pl.col("item").is_null(), "'item' is empty"),
            (
                pl.col("correct").is_not_null() & truth(pl.col("correct")).is_null(),
                got("correct", "true or false"),
            ),
            *(
                (
                    pl.col(name).is_not_null() & ~(pl.col(f"{name}_") >= 0).fill_null(False),
                    got(name, "a whole number from 0"),
                )
                for name in _COUNTS
            ),
            (
                pl.col("interval_days").is_not_null() & ~(pl.col("days") >= 0).fill_null(False),
                got("interval_days", "a number from 0"),
            ),
            (pl.col("known").is_null() & pl.col("grade_").is_null(), "neither correct nor grade is given"),
            bad_time(),
        )
    )


def _reviews(good: pl.DataFrame, path: str, context: Context) -> pl.DataFrame:
    return good.select(
        pl.lit(context.source).alias("source"),
        "learner",
        "item",
        pl.col("time").alias("at"),
        "kind",
        pl.col("known").alias("correct"),
        pl.col("days").alias("interval_days"),
        *(pl.col(f"{name}_").alias(name) for name in _COUNTS),
        pl.lit(0, pl.Int64).alias("n"),
        pl.lit(path).alias("path"),
        "line",
    )
