"""Answers to prompts of another source, one a line, such as those of a model that was run elsewhere.

    {"prompt": "mn-01", "id": "mn-01-m", "content": "…", "origin": "model",
     "author": "model-7b@3f2c", "context": {"temperature": 0.7}}

Or a table (CSV, .xlsx, .ods, Parquet) of the same columns.

`prompt` is the prompt's id in the source that --about names, or its key where it has no id. The
answers are a separate source, so that their licence and their author stay apart from the
prompts'. `id` is the name of an answer in votes, ratings and outcomes; by default the file's
name and the line. `origin` defaults to model, and a model's answer must have its author.

The same text by the same author to the same prompt is kept each time, since the frequency of a model's
answer is of interest; a note counts these, and pairs are never made of equal texts. A row is
a line.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import COMPLETIONS
from ...store.connection import add_key, parse_json_rows
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, divide, find_repeats, make_no_ids
from ..files.fields import Columns
from ..files.numbered_lines import Input, OnBytes
from ..files.objects import read_objects
from ..people import replace_learners, withhold_learners
from .prompts import ORIGINS

_SHAPE = {
    "prompt": "VARCHAR",
    "id": "VARCHAR",
    "content": "VARCHAR",
    "origin": "VARCHAR",
    "author": "VARCHAR",
    "context": "JSON",
}


COMPLETION_COLUMNS = Columns(("prompt", "content"), ("id", "origin", "author", "context"))


def read_completions(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the completions of one JSON Lines file or table.

    Raises SourceError if the file cannot be read, or a table lacks a column.
    """
    seen, said, again = make_no_ids(), make_no_ids(), 0
    for lines, unread in read_objects(file, context, COMPLETION_COLUMNS, on_bytes):
        rows, bad = parse_json_rows(lines, _SHAPE)
        rows = _resolved(replace_learners(rows, context), context)
        used, seen = find_repeats(rows.select("line", "id"), seen)
        good, wrong = divide(
            rows.join(used, on="line", how="left", maintain_order="left"), *_checks(context.about)
        )
        table = _table(good, file.name, context)
        # With the author in place of the id, the key identifies author, prompt and text.
        words = add_key(table.with_columns(ref="author").drop("key"), COMPLETIONS)
        repeated, said = find_repeats(words.select("line", pl.col("key").alias("id")), said)
        again += repeated["first"].count()
        yield Batch(
            read=rows.height + bad.height + unread.height,
            taken=good.height,
            tables={COMPLETIONS.name: table},
            rejects=collect_rejects([unread, bad, withhold_learners(wrong)], file.name),
        )
    if again:
        note = f"{file.name}: {again:,} answers repeat a text of the same author to the same prompt"
        yield Batch(0, 0, {}, collect_rejects([], file.name), (note,))


def _resolved(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Add the key of the prompt that is named; blank fields are null, a missing origin is model."""
    texts = ("prompt", "id", "origin", "author")
    known = context.known.select(pl.col("ref").alias("named"), pl.col("prompt").alias("key_p"))
    return (
        rows.with_columns(pl.when(pl.col(n).str.strip_chars() != "").then(n).alias(n) for n in texts)
        .with_columns(pl.col("origin").fill_null("model"))
        .join(known, left_on="prompt", right_on="named", how="left", maintain_order="left")
    )


def _checks(about: str) -> list[tuple[pl.Expr, pl.Expr | str]]:
    unknown = pl.format("prompt '{}' names no one prompt of source '{}'", "prompt", pl.lit(about))
    origins = f"origin is none of {', '.join(ORIGINS)}"
    return [
        (pl.col("gone"), FORGOTTEN_REASON),
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        (pl.col("prompt").is_null(), "'prompt' is missing: the id of the prompt that is answered"),
        (pl.col("key_p").is_null(), unknown),
        (pl.col("content").fill_null("").str.strip_chars() == "", "'content' is missing or empty"),
        (~pl.col("origin").is_in(ORIGINS), origins),
        (
            (pl.col("origin") == "model") & pl.col("author").is_null(),
            "'author' is missing: a model's answer needs the model's name and revision",
        ),
        (pl.col("first").is_not_null(), pl.format("id '{}' is already used on line {}", "id", "first")),
    ]


def _table(good: pl.DataFrame, path: str, context: Context) -> pl.DataFrame:
    place = pl.format("{}:{}", pl.lit(path), "line")
    rows = good.select(
        pl.lit(context.source).alias("source"),
        pl.coalesce("id", place).alias("ref"),
        pl.col("key_p").alias("prompt"),
        "content",
        "origin",
        "author",
        "context",
        pl.lit(path).alias("path"),
        "line",
    )
    return add_key(rows, COMPLETIONS)
