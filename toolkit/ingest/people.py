"""Replace people's ids by pseudonyms before anything else reads them.

Rejected rows have no ids either: a readable row is stored as its fields with the pseudonym, an unreadable
one as its file and line alone.
"""

from collections.abc import Sequence

import polars as pl

from .batch import Context

_WITHHELD = "(not kept, since it may name a person: see the line in the file)"


def replace_ids(rows: pl.DataFrame, context: Context, columns: Sequence[str]) -> pl.DataFrame:
    """Replace the ids in `columns` by pseudonyms; adds `gone`: true if one of them is forgotten."""
    there = [name for name in columns if name in rows.columns]
    named = rows.with_columns(context.pseudonyms(rows[name]).alias(name) for name in there)
    gone = [context.forgotten(named[name]).alias(f"gone:{name}") for name in there]
    marked = named.with_columns(gone).with_columns(pl.any_horizontal(s.name for s in gone).alias("gone"))
    return marked.drop(s.name for s in gone)


def replace_learners(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Replace `author` by a pseudonym where `origin` is learner; adds `gone`: true if that one is forgotten.

    Other authors are roles or models, and stay.
    """
    learner = pl.col("origin").str.strip_chars() == "learner"
    ids = rows.select(pl.when(learner).then("author")).to_series()
    if ids.null_count() == len(ids):
        return rows.with_columns(pl.lit(False).alias("gone"))
    named = context.pseudonyms(ids)
    return rows.with_columns(
        pl.coalesce(named, "author").alias("author"), context.forgotten(named).alias("gone")
    )


def withhold_learners(wrong: pl.DataFrame) -> pl.DataFrame:
    """Withhold the text (column raw) of rejected lines of JSON that mention a learner."""
    personal = pl.col("raw").str.contains('"learner"', literal=True)
    return wrong.with_columns(pl.when(personal).then(pl.lit(_WITHHELD)).otherwise("raw").alias("raw"))


def hide_ids(
    unread: pl.DataFrame, wrong: pl.DataFrame, named: pl.DataFrame, columns: Sequence[str]
) -> list[pl.DataFrame]:
    """Hide ids in rejected rows: line, raw and reason of unreadable rows and of rows with a reason.

    `named` are all rows as `replace_ids` returns them, by line, with the fields to show; `columns` are those
    that name people in this file. Without any, nothing is hidden.
    """
    if not columns:
        return [unread, wrong]
    fields = [name for name in named.columns if name not in ("line", "raw", "gone")]
    anybody = pl.any_horizontal(pl.col(name).is_not_null() for name in columns)
    shown = named.join(wrong.select("line"), on="line", how="semi").select(
        "line",
        pl.when("gone")
        .then(pl.lit(""))
        .when(anybody)
        .then(pl.struct(fields).struct.json_encode())
        .alias("shown"),
    )
    hidden = wrong.join(shown, on="line", how="left", maintain_order="left")
    return [
        unread.with_columns(pl.lit(_WITHHELD).alias("raw")),
        hidden.with_columns(pl.coalesce("shown", "raw").alias("raw")).drop("shown"),
    ]
