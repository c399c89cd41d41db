"""M2: a tokenised sentence and its annotators' edits.

    S This are a sentence .
    A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0
    A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1

Dahlmeier and Ng (NAACL 2012) and ERRANT (Bryant et al., ACL 2017). A sentence starts at "S ",
not at a blank line: some corpora leave blank lines out. A row is an S line or an A line.
"""

from collections.abc import Iterator

import polars as pl

from ...schemas.tables import EDITS, SENTENCES
from ..store import add_key
from .batch import Batch, Context, first_reason, rejected
from .lines import Input, OnBytes, read_lines

DETECTION_ONLY = ("UNK", "Um")  # NUCLE's tags for "something is wrong here, unclear what"

_FIELDS = ("span", "error_type", "correction", "required", "comment", "annotator")
_SPAN = r"^(-?[0-9]{1,9}) (-?[0-9]{1,9})$"


def read_m2(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Sentences and edits of one M2 file, a block at a time.

    Edits outside their sentence, edits that change nothing, lines of no known kind and edits
    without a sentence are rejected with their line; the rest of the block is kept. A line of no
    known kind after a blank line may be a damaged S line: the edits below it are rejected too,
    and not given to the sentence before it.
    """
    position = 0
    for block in read_lines(file, cut=b"\nS ", on_bytes=on_bytes):
        batch = _parse_block(block, file.name, context, position)
        position += batch.tables["sentences"].height
        yield batch


def _parse_block(block: pl.DataFrame, document: str, context: Context, position: int) -> Batch:
    blank = pl.col("raw").str.strip_chars() == ""
    opens = pl.col("is_sentence") | (~pl.col("is_edit") & pl.col("after_blank"))
    rows = (
        block.with_columns(blank.shift(1, fill_value=True).alias("after_blank"))
        .filter(~blank)
        .with_columns(
            (pl.col("raw").str.starts_with("S ") | (pl.col("raw") == "S")).alias("is_sentence"),
            pl.col("raw").str.starts_with("A ").alias("is_edit"),
        )
        .with_columns(opens.cum_sum().alias("block"))
    )
    sentences, bad_sentences = _sentences(rows, document, context, position)
    edits, bad_edits = _edits(rows.filter("is_edit"), sentences, context.source, document)
    strays = rows.filter(~pl.col("is_sentence") & ~pl.col("is_edit")).select(
        "line", "raw", pl.lit("expected a line that starts with 'S ' or 'A '").alias("reason")
    )
    kept = sentences.drop("block")
    return Batch(
        read=rows.height,
        taken=kept.height + edits.height,
        tables={"sentences": kept, "edits": edits},
        rejects=rejected([bad_sentences, bad_edits, strays], document),
    )


def _sentences(
    rows: pl.DataFrame, document: str, context: Context, position: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good sentences with keys and their block number; bad ones as rejects."""
    text = pl.col("raw").str.slice(2).str.strip_chars_end(" ")
    checked = rows.filter("is_sentence").with_columns(
        text.alias("text"),
        first_reason((pl.col("damaged"), "not valid UTF-8"), (text == "", "the sentence is empty")),
    )
    good = checked.filter(pl.col("reason").is_null())
    # A run of spaces is a token of its own in corpora tokenised by spaCy (ReLCo).
    tokens = (
        pl.when(pl.col("text").str.contains("  ", literal=True))
        .then(pl.col("text").str.extract_all("[^ ]+| {2,}"))
        .otherwise(pl.col("text").str.split(" "))
    )
    sentences = good.select(
        pl.lit(context.source).alias("source"),
        pl.lit(document).alias("document"),
        pl.int_range(position, position + pl.len(), dtype=pl.Int64).alias("position"),
        pl.lit(context.language).alias("language"),
        "text",
        tokens.alias("tokens"),
        pl.lit(document).alias("path"),
        "line",
        "block",
    )
    return add_key(sentences, SENTENCES), checked.filter(pl.col("reason").is_not_null()).select(
        "line", "raw", "reason"
    )


def _fields(lines: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
    """A lines split into their fields, beside the sentence of their block."""
    parts = pl.col("raw").str.slice(2).str.split("|||")
    span = pl.col("span").str.strip_chars()
    return (
        lines.with_columns(
            parts.list.len().alias("n_fields"),
            *(parts.list.get(i, null_on_oob=True).alias(name) for i, name in enumerate(_FIELDS)),
        )
        .with_columns(
            span.str.extract(_SPAN, 1).cast(pl.Int64).alias("start"),
            span.str.extract(_SPAN, 2).cast(pl.Int64).alias("end"),
            pl.col("annotator").str.strip_chars(),
        )
        .join(
            sentences.select("block", "tokens", pl.col("key").alias("sentence")),
            on="block",
            how="left",
            maintain_order="left",
        )
    )


_NOOP = (pl.col("start") == -1) & (pl.col("end") == -1)
_DETECTED = pl.col("error_type").is_in(DETECTION_ONLY)
_CORRECTION = pl.when(pl.col("correction") == "-NONE-").then(pl.lit("")).otherwise("correction")


def _edit_reason() -> pl.Expr:
    """Why an A line cannot be taken, or null."""
    start, end = pl.col("start"), pl.col("end")
    size = pl.col("tokens").list.len().cast(pl.Int64)
    outside = (start < 0) | (end < start) | (end > size)
    before = pl.col("tokens").list.slice(start, end - start).list.join(" ")
    return first_reason(
        (pl.col("damaged"), "not valid UTF-8"),
        (pl.col("sentence").is_null(), "an edit without a sentence that could be read"),
        (
            pl.col("n_fields") != len(_FIELDS),
            pl.format("expected 6 fields between '|||', found {}", pl.col("n_fields")),
        ),
        (start.is_null(), "expected two token offsets after 'A '"),
        (pl.col("annotator") == "", "the annotator's id is empty"),
        (
            ~_NOOP & outside,
            pl.format("edit {}-{} lies outside the sentence's {} tokens", start, end, size),
        ),
        (
            ~_NOOP & ~_DETECTED & (before == _CORRECTION.str.strip_chars()),
            "the edit changes nothing",
        ),
    )


def _edits(
    lines: pl.DataFrame, sentences: pl.DataFrame, source: str, document: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good edits with keys; bad ones as rejects."""
    checked = _fields(lines, sentences).with_columns(_edit_reason())
    wrong = pl.col("reason").is_not_null()
    edits = checked.filter(~wrong).select(
        pl.lit(source).alias("source"),
        "sentence",
        pl.int_range(pl.len(), dtype=pl.Int64).over("sentence").alias("position"),
        "annotator",
        "start",
        "end",
        "error_type",
        pl.when(_NOOP | _DETECTED).then(None).otherwise(_CORRECTION).alias("correction"),
        (pl.col("required") == "REQUIRED").alias("required"),
        pl.when(pl.col("comment") != "-NONE-").then("comment").alias("comment"),
        pl.lit(document).alias("path"),
        "line",
    )
    return add_key(edits, EDITS), checked.filter(wrong).select("line", "raw", "reason")
