"""Whole or out: annotators who lost an edit of a sentence to `rejects` give no full correction of it."""

import polars as pl

ANYONE = "*"  # in place of an annotator: whose edit it was cannot be read


def mark_incomplete(sentences: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    """Add `incomplete` to sentences with doc, begin (character of the document) and `lost` (of the document).

    `lost` holds rejected edits: doc, annotator, start and end (characters). One that lies inside the text
    counts for its sentence; another, whose place is not known, for every sentence of its document.
    """
    at = pl.col("sentence_at").cast(pl.Int64)
    rows = sentences.select("doc", "begin", "lost").with_row_index("sentence_at").with_columns(at)
    size = (pl.col("from") + pl.col("text").str.len_chars().cast(pl.Int64)).max()
    sizes = sentences.group_by("doc").agg(size.alias("size"))
    inside = (pl.col("start") >= 0) & (pl.col("end") >= pl.col("start")) & (pl.col("end") <= pl.col("size"))
    placed = lost.join(sizes, on="doc").with_columns(inside.fill_null(False).alias("inside"))
    here = (
        placed.filter("inside")
        .sort("start")
        .join_asof(
            rows.drop("lost").sort("begin"),
            left_on="start",
            right_on="begin",
            by="doc",
            check_sortedness=False,
        )
    )
    unknown = pl.concat(
        [
            frame.select("doc", "annotator")
            for frame in (placed.filter(~pl.col("inside")), here.filter(pl.col("sentence_at").is_null()))
        ]
        + [rows.select("doc", pl.col("lost").alias("annotator")).explode("annotator").drop_nulls("annotator")]
    )
    names = ("sentence_at", "annotator")
    marks = (
        pl.concat(
            [
                here.drop_nulls("sentence_at").select(names),
                unknown.unique().join(rows.select("doc", "sentence_at"), on="doc").select(names),
            ]
        )
        .group_by("sentence_at")
        .agg(pl.col("annotator").unique().sort().alias("incomplete"))
    )
    marked = sentences.with_row_index("sentence_at").with_columns(at)
    return marked.join(marks, on="sentence_at", how="left", maintain_order="left").drop("sentence_at", "lost")


def is_incomplete() -> pl.Expr:
    """Check whether `annotator` is among a sentence's `incomplete`; false where that is null."""
    marked = pl.col("incomplete")
    return (marked.list.contains(pl.col("annotator")) | marked.list.contains(ANYONE)).fill_null(False)
