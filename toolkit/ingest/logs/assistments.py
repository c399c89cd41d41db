"""Three lines a student, without ids or times: how many attempts, the items, right (1) or wrong (0).

    3
    31,31,68
    0,1,1

Only the order of attempts is known, not their times. A
list may end with a comma. A row is an attempt; three lines
that do not fit together are one row. A student is known by the file and the line.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import REVIEWS
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, divide
from ..files.fields import parse_bool
from ..files.numbered_lines import Input, OnBytes, is_spreadsheet, read_lines
from ..people import replace_ids

_EACH = 3


def is_triples(file: Input) -> bool:
    """True if the file begins with a number alone, and a list of as many items."""
    if is_spreadsheet(file.path):
        return False
    lines: list[str] = []
    for block in read_lines(file):
        lines.extend(block["raw"].head(2))
        if len(lines) > 1 or not lines[0].strip().isdecimal():
            break
    if len(lines) < 2 or not lines[0].strip().isdecimal():
        return False
    return len(lines[1].rstrip().removesuffix(",").split(",")) == int(lines[0])


def read_triples(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the reviews of one file of three lines per student.

    Raises SourceError if the file cannot be read.
    """
    rest = pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "damaged": pl.Boolean})
    for block in read_lines(file, on_bytes=on_bytes):
        lines = pl.concat([rest, block])
        whole = lines.height // _EACH * _EACH
        if whole:
            yield _batch(lines[:whole], file.name, context)
        rest = lines[whole:]
    if rest["raw"].str.strip_chars().str.len_chars().sum():
        missing = [pl.lit(None, pl.String).alias("raw"), pl.lit(False).alias("damaged")]
        last = pl.select(pl.int_range(rest.height, _EACH, dtype=pl.Int64).alias("line"), *missing)
        yield _batch(
            pl.concat([rest, last.with_columns(pl.col("line") + rest["line"][0])]), file.name, context
        )


def _batch(lines: pl.DataFrame, path: str, context: Context) -> Batch:
    students = _students(lines, path)
    named = replace_ids(students, context, ["learner"])
    count, size = pl.col("count").cast(pl.Int64, strict=False), pl.col("items").list.len()
    good, broken = divide(
        named,
        (pl.col("gone"), FORGOTTEN_REASON),
        (pl.col("damaged"), "not valid UTF-8"),
        (
            count.is_null() | (count < 0),
            "expected a number of attempts, then a line of items and one of answers",
        ),
        (pl.col("items").is_null() | pl.col("answers").is_null(), "the items or the answers are missing"),
        (
            (size != count) | (pl.col("answers").list.len() != count),
            pl.format("{} attempts, but {} items and {} answers", count, size, pl.col("answers").list.len()),
        ),
    )
    # Where a learner is to be forgotten, the answers are not kept either.
    broken = broken.with_columns(
        pl.when(pl.col("reason") == FORGOTTEN_REASON).then(pl.lit("")).otherwise("raw").alias("raw")
    )
    attempts = (
        good.select("learner", "line", "items", "answers")
        .explode("items", "answers")
        .with_columns(
            (pl.col("line") + 2).alias("line"),
            pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("n"),
            pl.format("{},{}", pl.col("items").fill_null(""), pl.col("answers").fill_null("")).alias("raw"),
        )
    )
    taken, wrong = divide(
        attempts,
        (pl.col("items").fill_null("") == "", "an item is empty"),
        (
            parse_bool(pl.col("answers")).is_null(),
            pl.format("the answer is '{}', expected 0 or 1", pl.col("answers").fill_null("")),
        ),
    )
    reviews = taken.select(
        pl.lit(context.source).alias("source"),
        "learner",
        pl.col("items").alias("item"),
        parse_bool(pl.col("answers")).alias("correct"),
        "n",
        pl.lit(path).alias("path"),
        "line",
    )
    read = attempts.height + broken.height
    return Batch(read, taken.height, {REVIEWS.name: reviews}, collect_rejects([broken, wrong], path))


def _students(lines: pl.DataFrame, path: str) -> pl.DataFrame:
    """One row per three lines: line (the first), raw, learner, count, items, answers."""
    first, items, answers = (lines.gather_every(_EACH, offset) for offset in range(_EACH))

    def fields(part: pl.DataFrame) -> pl.Series:
        text = part["raw"].str.strip_chars()
        split = text.str.strip_suffix(",").str.split(",").list.eval(pl.element().str.strip_chars())
        return pl.select(
            pl.when(text == "").then(pl.lit([], pl.List(pl.String))).otherwise(split)
        ).to_series()

    parts = (first, items, answers)
    return pl.DataFrame(
        {
            "line": first["line"],
            "raw": pl.select(
                pl.concat_str([p["raw"] for p in parts], separator="\n", ignore_nulls=True)
            ).to_series(),
            "damaged": first["damaged"] | items["damaged"] | answers["damaged"],
            "count": first["raw"].str.strip_chars().str.strip_suffix(","),
            "items": fields(items),
            "answers": fields(answers),
        }
    ).with_columns(pl.format("{}:{}", pl.lit(path), "line").alias("learner"))
