"""Edits of characters as edits of whole tokens.

"alot" with a space put in at 1 becomes alot -> a lot; "dog" with an "s" at its end, dog -> dogs. Tokens
are the strings between spaces. Edits of one annotator that come to share a token become one. Alternatives
are widened as their edit is; edits that become one have every combination of theirs.
"""

from itertools import islice, product

import polars as pl

from ...batch import divide_named
from .repeats import find_highest_before, find_lowest_ahead, mark_first, take_before

NONE = "-NONE-"  # M2's empty correction
OR = "||"  # M2's mark between alternatives
_MOST = 300  # combinations of alternatives of edits that become one
_BY = ("sentence_at", "annotator")


def convert_to_tokens(edits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Convert edits from character to token offsets; return as rejects those that change only spaces.

    `edits` has sentence_at, text (of the sentence), start and end (characters), correction (null: detected
    only), alternatives (of it, or null), annotator, order, and columns that are passed through. The edits
    have `as_written` instead of `alternatives`: all that is allowed, as M2 writes it.
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
        placed,
        (
            same & pl.col("alternatives").is_null(),
            "changes only white space between words, which tokens do not show",
        ),
    )
    corrected = pl.when(pl.col("correction").is_not_null()).then("after").alias("correction")
    return good.with_columns(corrected, _write_alternatives(good)).drop(
        "text", "new", "left", "right", "from", "to", "before", "after", "alternatives"
    ), bad


def _write_alternatives(edits: pl.DataFrame) -> pl.Series:
    """Write each edit's first correction and its alternatives as M2 does; null where there are none."""
    rows = edits.select("after", "left", "right", "alternatives").with_row_index("row")
    others = rows.drop_nulls("alternatives").explode("alternatives")
    other = pl.concat_str("left", "alternatives", "right").str.strip_chars(" ")
    options = pl.concat([rows.select("row", "after"), others.select("row", other.alias("after"))])
    written = (
        options.join(others.select("row").unique(), on="row", how="semi")
        .with_columns(pl.col("after").replace("", NONE))
        .unique(maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg(pl.col("after").str.join(OR).alias("as_written"))
    )
    return rows.join(written, on="row", how="left", maintain_order="left")["as_written"]


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
    if edits["alternatives"].null_count() < edits.height:
        starts |= _any_has("right", "^[^ ]")
        ends |= _any_has("left", "[^ ]$")
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


def _any_has(beside: str, pattern: str) -> pl.Expr:
    """Check whether an alternative, or the text beside an empty one, has the pattern."""
    others = pl.col("alternatives")
    empty = others.list.contains("") & pl.col(beside).str.contains(pattern)
    return (others.list.eval(pl.element().str.contains(pattern)).list.any() | empty).fill_null(False)


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
    # Texts side by side of which neither has a space between them are one word: "так" and ",".
    glued = pl.col("new").str.contains("^[^ ]") & take_before(pl.col("new").str.contains("[^ ]$"), first)
    touches = (pl.col("start") == pl.col("done")) & (blank | take_before(blank, first) | glued)
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
    several = several.with_columns(piece)
    joined = several.group_by("cluster", maintain_order=True).agg(
        pl.col(name).first()
        for name in columns
        if name not in ("start", "end", "new", "error_type", "comment", "errant_type", "alternatives")
    )
    made = several.group_by("cluster", maintain_order=True).agg(
        pl.col("from").min().alias("start"),
        pl.col("to").max().alias("end"),
        pl.concat_str(pl.col("piece").str.join(""), tail).alias("new"),
        pl.col("error_type").unique(maintain_order=True).str.join("+"),
        pl.col("comment").drop_nulls().unique(maintain_order=True).str.join("; ").replace("", None),
        pl.when(kinds.n_unique() > 1).then(pl.lit("R")).otherwise(kinds.first()).first().alias("errant_type"),
    )
    made = made.join(_combined(several, made), on="cluster", how="left", maintain_order="left")
    return pl.concat([alone, joined.join(made, on="cluster").select(columns)]), True


def _combined(several: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """The alternatives of each cluster that has some: every combination of those of its edits but the first.

    Few clusters have any. More than _MOST are not written: so many are compared nowhere.
    """
    some = several.filter(pl.col("alternatives").is_not_null().any().over("cluster"))
    before = pl.col("piece").str.head(pl.col("piece").str.len_chars() - pl.col("new").str.len_chars())
    pieces = some.select("cluster", before.alias("before"), "new", "alternatives")
    found: dict[int, list[list[str]]] = {}
    for cluster, between, first, others in pieces.rows():
        found.setdefault(cluster, []).append([between + option for option in (first, *(others or ()))])
    news = dict(made.select("cluster", "new").rows())
    rows = []
    for cluster, options in found.items():
        tail = news[cluster][len("".join(each[0] for each in options)) :]
        combined = ["".join(each) + tail for each in islice(product(*options), 1, _MOST)]
        rows.append((cluster, combined))
    schema = {"cluster": several.schema["cluster"], "alternatives": pl.List(pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")
