"""RULEC-GEC's *.sents: one sentence a line, after annotator, file and number.

    2_15_7[Это важно для нашей страны .

Rozovskaya and Roth, Grammar Error Correction in Morphologically Rich Languages (2019). A closing
bracket at the line's end is not part of the sentence. The edits are in the corpus's M2 files.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import SENTENCES
from ...store.connection import add_key
from ..batch import Batch, Context, collect_rejects, divide
from ..files.numbered_lines import Input, OnBytes, read_lines

_HEAD = r"^([^_\[\]\s]+)_([^\[\]\s]+)_([0-9]+)\["


def read_sents(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the sentences of one file, each document's in the order of the lines. Raises SourceError if the
    file cannot be read.
    """
    position = 0
    for block in read_lines(file, on_bytes=on_bytes):
        raw = pl.col("raw").str.strip_chars_end(" ")
        rest = raw.str.replace(_HEAD, "")
        closed = rest.str.ends_with("]") & ~rest.str.contains("[", literal=True)
        rows = block.filter(raw != "").with_columns(
            *(
                raw.str.extract(_HEAD, i).alias(name)
                for i, name in ((1, "annotator"), (2, "file"), (3, "number"))
            ),
            pl.when(closed)
            .then(rest.str.strip_suffix("]"))
            .otherwise(rest)
            .str.strip_chars(" ")
            .alias("text"),
        )
        good, bad = divide(
            rows,
            (pl.col("damaged"), "not valid UTF-8"),
            (pl.col("number").is_null(), "expected a line that starts with annotator_file_number["),
            (pl.col("text") == "", "the sentence is empty"),
        )
        sentences = good.select(
            pl.lit(context.source).alias("source"),
            pl.lit(file.name).alias("path"),
            pl.col("file").alias("document"),
            pl.int_range(position, position + pl.len(), dtype=pl.Int64).alias("position"),
            pl.lit(context.language).alias("language"),
            "text",
            pl.struct(_named("annotator", context), "number").struct.json_encode().alias("context"),
            "line",
        )
        position += sentences.height
        yield Batch(
            rows.height,
            good.height,
            {"sentences": add_key(sentences, SENTENCES)},
            collect_rejects([bad], file.name),
        )


def _named(column: str, context: Context) -> pl.Expr:
    return pl.col(column).replace(context.annotator_names) if context.annotator_names else pl.col(column)
