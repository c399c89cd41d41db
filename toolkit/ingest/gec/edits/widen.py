"""Edits of characters as edits of whole tokens.

"alot" with a space put in at 1 becomes alot -> a lot; "dog" with an "s" at its end, dog -> dogs. Tokens
are the strings between spaces. Edits of one annotator that come to share a token become one.
"""

import polars as pl

from ...batch import divide_named
from .repeats import find_highest_before, find_lowest_ahead, mark_first, take_before

_BY = ("sentence_at", "annotator")


def convert_to_tokens(edits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Convert edits from character to token offsets; return as rejects those that change only spaces.

    `edits` has sentence_at, text (of the sentence), start and end (characters), correction (null: detected
    only), annotator, order, and columns that are passed through.
    """
    text, start, end = pl.col("text"), pl.col("start"), pl.col("end")
    old = text.str.slice(start, end - start)
    found = edits.with_columns(pl.col("correction").fill_null(old).alias("new"))
    while True:
        wide = _widened(found)
        found, merged = _merged(wide)
        if not merged:
            break
    before = text.str.slice(pl.col("from"), pl.col("to") - pl.col("from"))
    lead = before.str.len_chars() - before.str.strip_chars_start(" ").str.len_chars()
    placed = wide.with_columns(
        (pl.col("from") + lead).cast(pl.Int64).alias("from"),
        before.str.strip_chars(" ").alias("before"),
        pl.col("after").str.strip_chars(" "),
    ).with_columns(_count(text.str.slice(0, pl.col("from"))).alias("start"))
    placed = placed.with_columns((pl.col("start") + _count(pl.col("before"))).alias("end"))
    same = pl.col("correction").is_not_null() & (pl.col("before") == pl.col("after"))
    good, bad = divide_named(
        placed, (same, "changes only white space between words, which tokens do not show")
    )
    corrected = pl.when(pl.col("correction").is_not_null()).then("after").alias("correction")
    return good.with_columns(corrected).drop(
        "text", "new", "left", "right", "from", "to", "before", "after"
    ), bad


def _widened(edits: pl.DataFrame) -> pl.DataFrame:
    """Widen edits to whole tokens: `from` and `to`, and `after`, the text that replaces them.

    A side grows if it touches a word and the edit, before or after, continues that word.
    """
    text, start, end = pl.col("text"), pl.col("start"), pl.col("end")
    beside = edits.with_columns(
        text.str.slice(0, start).str.extract("([^ ]*)$").alias("left"),
        text.str.slice(end).str.extract("^([^ ]*)").alias("right"),
        text.str.slice(start, end - start).alias("old"),
    )
    starts = _has("old", "right", pattern="^[^ ]") | _has("new", "right", pattern="^[^ ]")
    ends = _has("left", "old", pattern="[^ ]$") | _has("left", "new", pattern="[^ ]$")
    return beside.with_columns(
        pl.when(starts).then("left").otherwise(pl.lit("")).alias("left"),
        pl.when(ends).then("right").otherwise(pl.lit("")).alias("right"),
    ).with_columns(
        (start - pl.col("left").str.len_chars()).cast(pl.Int64).alias("from"),
        (end + pl.col("right").str.len_chars()).cast(pl.Int64).alias("to"),
        pl.concat_str("left", "new", "right").alias("after"),
    )


def _has(*parts: str, pattern: str) -> pl.Expr:
    return pl.concat_str(parts).str.contains(pattern)


def _count(text: pl.Expr) -> pl.Expr:
    """Count the tokens in a text's first characters: runs of spaces are tokens, as in `sentences.tokens`."""
    bare = text.str.strip_chars(" ")
    plain = pl.when(bare == "").then(0).otherwise(bare.str.count_matches(" ", literal=True) + 1)
    runs = text.str.count_matches("[^ ]+| {2,}")
    return pl.when(text.str.contains("  ", literal=True)).then(runs).otherwise(plain).cast(pl.Int64)


def _merged(wide: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """One edit in place of several that share a token, unless they overlapped as they were given.

    A merged edit may continue a word beside it: it has to be widened again.
    """
    rows = wide.sort(*_BY, "start", "end", "order").with_columns(mark_first(*_BY).alias("first"))
    first = pl.col("first")
    rows = rows.with_columns(
        find_highest_before(pl.col("to"), first).alias("reached"),
        find_highest_before(pl.col("end"), first).alias("done"),
        find_lowest_ahead(pl.col("from"), first).alias("ahead"),  # how far back a later one grows
    )
    # Two edits side by side, one of them of spaces alone, may join words that neither joins alone.
    blank = (pl.col("old").str.strip_chars(" ") == "") & (pl.col("new").str.strip_chars(" ") == "")
    touches = (pl.col("start") == pl.col("done")) & (blank | take_before(blank, first))
    joins = (~first & ((pl.col("ahead") < pl.col("reached")) | touches)).fill_null(False)
    rows = rows.with_columns(joins.alias("joins"))
    several = rows.filter(pl.col("joins") | pl.col("joins").shift(-1, fill_value=False))
    columns = [name for name in wide.columns if name not in ("old", "left", "right", "from", "to", "after")]
    if several.is_empty():
        return wide.select(columns), False
    clash = (pl.col("start") < pl.col("done")).fill_null(False) | pl.col("correction").is_null()
    several = several.with_columns((~pl.col("joins")).cum_sum().alias("cluster"))
    several = several.filter(~clash.any().over("cluster"))
    alone = rows.join(several, on="order", how="anti", maintain_order="left").select(columns)
    if several.is_empty():
        return alone, False
    first = pl.col("from").min().over("cluster")
    text, begin = pl.col("text"), pl.col("end").shift().over("cluster").fill_null(first)
    piece = pl.concat_str(text.str.slice(begin, pl.col("start") - begin), "new").alias("piece")
    tail = text.last().str.slice(pl.col("end").last(), pl.col("to").max() - pl.col("end").last())
    kinds = pl.col("errant_type")
    joined = (
        several.with_columns(piece)
        .group_by("cluster", maintain_order=True)
        .agg(
            pl.col(name).first()
            for name in columns
            if name not in ("start", "end", "new", "error_type", "comment", "errant_type")
        )
    )
    made = (
        several.with_columns(piece)
        .group_by("cluster", maintain_order=True)
        .agg(
            pl.col("from").min().alias("start"),
            pl.col("to").max().alias("end"),
            pl.concat_str(pl.col("piece").str.join(""), tail).alias("new"),
            pl.col("error_type").unique(maintain_order=True).str.join("+"),
            pl.col("comment").drop_nulls().unique(maintain_order=True).str.join("; ").replace("", None),
            pl.when(kinds.n_unique() > 1)
            .then(pl.lit("R"))
            .otherwise(kinds.first())
            .first()
            .alias("errant_type"),
        )
    )
    return pl.concat([alone, joined.join(made, on="cluster").select(columns)]), True
