"""Values of tables in the user's own words: --map choice:tie="Both are equal".

A word means one of our values of a column; case and white space around it do not matter. Columns that take
such words: choices, truths, measures, levels and counts.
"""

import re
from collections.abc import Iterable, Sequence

import polars as pl

from ....schemas.cells import CHOICES
from ....schemas.errors import SourceError
from ....schemas.support.nearest import suggest
from ..batch import Context

_TRUTHS = ("true", "false")
# Our values of a column; of those of _NUMBERS any whole number.
WORDS: dict[str, tuple[str, ...]] = {
    "choice": CHOICES,
    "shown_first": ("a", "b"),
    "correct": _TRUTHS,
    "censored": _TRUTHS,
    "measure": ("turns", "success"),
}
_NUMBERS = ("value", "levels", "grade", "attempts")


def split_maps(maps: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Split pairs of --map into columns (ours -> theirs) and values (column -> their word -> our value).

    Raises SourceError if a column is named twice, or a word is given two values.
    """
    columns: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    for ours, theirs in maps:
        column, colon, value = ours.partition(":")
        if not colon:
            if ours in columns:
                raise SourceError(f"--map {ours}=…: given twice; leave one")
            columns[ours] = theirs
            continue
        words = values.setdefault(column.strip(), {})
        if words.get(fold(theirs), value) != value:
            raise SourceError(f"--map {column}: '{theirs}' is given two values; leave one")
        words[fold(theirs)] = value
    return columns, values


def fold(word: str) -> str:
    """Fold a word as cells are compared: without case and white space around it."""
    return word.strip().lower()


def check_values(context: Context, known: Sequence[str]) -> None:
    """Check that words are given for columns among `known` that take them, and for our values.

    Raises SourceError that names the near columns or values.
    """
    have = [name for name in known if name in WORDS or name in _NUMBERS]
    for column, words in context.values.items():
        if column not in have:
            hint = suggest(column, have, "columns that take them")
            raise SourceError(f"--map {column}:…=…: no column '{column}' with values of its own: {hint}")
        for value in words.values():
            if column in WORDS and fold(value) not in WORDS[column]:
                hint = suggest(value, WORDS[column], "its values")
                raise SourceError(f"--map {column}:{value}=…: no value '{value}' of {column}: {hint}")
            numeric = re.fullmatch(r"-?\d+", value.strip()) or (column == "value" and fold(value) in _TRUTHS)
            if column in _NUMBERS and not numeric:
                raise SourceError(f"--map {column}:{value}=…: expected a whole number, such as {column}:3=…")


def replace_values(
    rows: pl.DataFrame, values: dict[str, dict[str, str]]
) -> tuple[pl.DataFrame, frozenset[tuple[str, str]]]:
    """Replace the user's words by our values; also returns which words occurred, as (column, word)."""
    met: set[tuple[str, str]] = set()
    for column, words in values.items():
        folded = rows[column].str.strip_chars().str.to_lowercase()
        met |= {(column, word) for word in folded.unique() if word in words}
        ours = folded.replace_strict(words, default=None, return_dtype=pl.String)
        rows = rows.with_columns(ours.fill_null(rows[column]).alias(column))
    return rows, frozenset(met)


def note_unmet(values: dict[str, dict[str, str]], met: Iterable[tuple[str, str]]) -> list[str]:
    """Note each word that was given a value and never occurs."""
    there = set(met)
    return [
        f"--map {column}:{value}={word}: no row has this {column}"
        for column, words in values.items()
        for word, value in words.items()
        if (column, word) not in there
    ]
