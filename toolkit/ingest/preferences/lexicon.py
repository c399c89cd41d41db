"""Lists of words and idioms: terms with what they mean and how frequent they are.

    term,language,gloss,frequency
    spill the beans,en,give away a secret,0.4

A CSV or TSV file, a spreadsheet, Parquet, or JSON Lines of the same fields. Only `term` is needed;
`language` defaults to --language, `frequency` is per million words of text. A term may have several meanings,
a row each. A row is a line.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import LEXICON
from ...store.connection import add_key, parse_json_rows
from ..batch import Batch, Context, collect_rejects, divide, find_repeats, make_no_ids
from ..files.fields import Columns
from ..files.numbered_lines import Input, OnBytes
from ..files.objects import read_objects

_OPTIONAL = ("language", "gloss", "frequency")
_SHAPE = dict.fromkeys(("term", *_OPTIONAL), "VARCHAR")
_MOST = 1_000_000  # occurrences per million words
_IDENTITY = ("language", "term", "gloss")

LEXICON_COLUMNS = Columns(("term",), _OPTIONAL)


def read_lexicon(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the terms of one JSON Lines file or table.

    Raises SourceError if the file cannot be read, or a table has no column term.
    """
    seen = make_no_ids()
    for lines, unread in read_objects(file, context, LEXICON_COLUMNS, on_bytes):
        rows, bad = parse_json_rows(lines, _SHAPE)
        rows = _tidy(rows, context)
        ids = rows.select("line", pl.struct(_IDENTITY).struct.json_encode().alias("id"))
        again, seen = find_repeats(ids, seen)
        good, wrong = divide(
            rows.join(again, on="line", how="left", maintain_order="left"),
            (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
            (pl.col("term").is_null(), "'term' is missing or empty"),
            (
                pl.col("written").is_not_null() & ~pl.col("frequency").is_between(0, _MOST).fill_null(False),
                f"'frequency' is no number from 0 to {_MOST:,}: how often the term occurs in a million words",
            ),
            (
                pl.col("first").is_not_null(),
                pl.format("this term with this meaning is already on line {}", "first"),
            ),
        )
        table = good.select(
            pl.lit(context.source).alias("source"),
            *_IDENTITY,
            "frequency",
            pl.lit(file.name).alias("path"),
            "line",
        )
        yield Batch(
            read=rows.height + bad.height + unread.height,
            taken=good.height,
            tables={LEXICON.name: add_key(table, LEXICON)},
            rejects=collect_rejects([unread, bad, wrong], file.name),
        )


def _tidy(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Trim texts, with null for empty ones; `written` is the frequency as it stands in the file."""
    texts = rows.with_columns(pl.col(name).str.strip_chars().replace("", None) for name in _SHAPE)
    return texts.with_columns(
        pl.col("language").fill_null(context.language),
        pl.col("frequency").alias("written"),
        pl.col("frequency").cast(pl.Float64, strict=False),
    )
