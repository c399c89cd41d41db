"""Layouts of parallel texts: the known ones are read, others with columns that are no sentences are refused.

    1 <tab> sentence <tab> correction …                          MuCGEC: an id, from 1
    2 <tab> 101 <tab> http://… <tab> 0 <tab> sentence <tab> …    Lang-8: corrections, serial, address, number

Refused: a first column of other numbers, a header, a column of addresses, lines of tabs in files that should
be aligned line by line, and corrections that share nothing with their sources. A correction shares nothing if
fewer than three in ten of its characters can be kept (Levenshtein); a file is refused where that
holds for more than half of the corrections of four characters or more that are looked at, up to 500 of
every block.
"""

import re

import polars as pl
from rapidfuzz.distance import Levenshtein

from ....schemas.errors import SourceError

_NUMBER = r"^\s*\d+\s*$"
_ADDRESS = r"^\s*(https?://|www\.)\S+\s*$"
_HEAD = (
    r"^(id|text|source|target|src|tgt|ref(erence)?s?|input|output|sentences?|original|corrected|corrections?|"
    r"correct|incorrect|error|wrong|right|learner|expected|before|after|label)[0-9_]*$"
)
_NO_ERROR = "没有错误"  # MuCGEC: "no error"
_KEPT = 0.3
_SAMPLE = 500
_LONG = 4  # characters: a shorter text may well be replaced as a whole
_SHAPE = "expected lines of source, tab, correction"


def find_columns(fields: pl.Series, path: str) -> int:
    """Find the column of the source in a table, from lists of the fields of its first lines.

    Raises SourceError if a column of the table holds no sentences and the layout is not known.
    """
    if not len(fields):
        return 0
    first = [name.strip().strip('"').lower() for name in fields[0]]
    if len(first) == 1 and "," in first[0]:
        first = first[0].split(",")
    if len(first) > 1 and all(re.match(_HEAD, name) for name in first):
        raise SourceError(
            f"{path}:1: '{' '.join(first)[:80]}' is a header, not a sentence; {_SHAPE}: take it out "
            "(tail -n +2 FILE) and see that the columns come in that order"
        )
    columns = pl.DataFrame({"fields": fields}).select(
        pl.col("fields").list.get(n, null_on_oob=True).alias(str(n)) for n in range(5)
    )
    numbers = [bool(columns[str(n)].str.contains(_NUMBER).fill_null(False).all()) for n in range(5)]
    addresses = [float(columns[str(n)].str.contains(_ADDRESS).fill_null(False).mean() or 0) for n in range(5)]  # type: ignore[arg-type]
    if numbers[0] and numbers[1] and addresses[2] == 1 and numbers[3]:
        return 4
    if numbers[0] and not numbers[1]:
        ids = columns["0"].str.strip_chars().cast(pl.Int64, strict=False)
        if (ids == pl.Series(range(1, len(ids) + 1))).all():
            return 1
    if numbers[0]:
        raise SourceError(
            f"{path}:1: the first column holds numbers ('{fields[0][0][:40]}'), not sentences; {_SHAPE}: cut "
            "the other columns off (cut -f2,3 FILE)"
        )
    for n, share in enumerate(addresses):
        if share > 0.5:
            raise SourceError(
                f"{path}: column {n + 1} holds addresses, not sentences; {_SHAPE}: keep the columns of "
                "sentences (cut -f1,2 FILE)"
            )
    return 0


def refuse_tables(sources: pl.Series, path: str) -> None:
    """Raise SourceError if the lines of a file that is read beside others are rows of a table."""
    filled = sources.filter(sources.str.strip_chars() != "")
    if len(filled) and filled.str.contains("\t", literal=True).all():
        raise SourceError(
            f"{path}:1: each line holds tabs: a table has no other file beside it; name it alone, or cut out "
            "the column of the sentences (cut -f2 FILE)"
        )


def refuse_unrelated(sources: pl.Series, corrections: pl.Series, path: str) -> None:
    """Raise SourceError if more than half of the corrections share nothing with their sources."""
    pairs = pl.DataFrame({"a": sources, "b": corrections}).drop_nulls()
    pairs = pairs.filter((pl.col("a").str.strip_chars() != "") & (pl.col("b").str.strip_chars() != ""))
    pairs = pairs.filter(pl.min_horizontal(pl.col("a", "b").str.len_chars()) >= _LONG)
    pairs = pairs.gather_every(max(1, pairs.height // _SAMPLE))
    apart = [
        (a, b) for a, b in pairs.rows() if Levenshtein.normalized_similarity(a.lower(), b.lower()) < _KEPT
    ]
    if len(apart) > pairs.height / 2:
        a, b = apart[0]
        raise SourceError(
            f"{path}: {len(apart):,} of {pairs.height:,} corrections share nothing with their sources, such "
            f"as '{a[:40]}' and '{b[:40]}'; line n of each file, or the first and the next columns, must be "
            "a sentence and its correction"
        )


def replace_no_error(corrections: pl.Expr, sources: pl.Expr) -> pl.Expr:
    """Replace MuCGEC's "no error" by the source: the annotator changed nothing."""
    return pl.when(corrections.str.strip_chars() == _NO_ERROR).then(sources).otherwise(corrections)
