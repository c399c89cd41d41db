"""Cheap features of completions, computed by DuckDB from their words and the prompt's: milliseconds.

    "Think of a drum: it is loud!"  ->  log_words 2.08, question 0, exclaim 1, overlap 0, …

Person and syllables are counted as in English; in another language these columns say less, and the fit
finds so.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...store.connection import Store, query, run_over

Floats = NDArray[np.float64]

CHEAP = (
    "log_words",
    "letters",
    "sentence",
    "question",
    "exclaim",
    "first_person",
    "second_person",
    "ease",
    "overlap",
    "numbers",
    "quotes",
    "variety",
)
"""The features, in the order of the columns."""

_WORD = r"[\pL\pM\pN''’]+"
_FIRST = "['i', 'i''m', 'my', 'me', 'we', 'let''s', 'us', 'our']"
_SECOND = "['you', 'your', 'you''re', 'you''ve']"


def _count(pattern: str) -> str:
    return f"length(regexp_extract_all(content, '{pattern}'))"


# Of a word without a vowel one syllable is counted.
_SYLLABLES = "list_sum([greatest(1, length(regexp_extract_all(w, '[aeiouy]+'))) FOR w IN words])"

_SELECT = f"""
WITH told AS (
    SELECT i.place, c.content, regexp_extract_all(lower(c.content), '{_WORD}') AS words,
        regexp_extract_all(lower(array_to_string([m.content FOR m IN p.messages], ' ')), '{_WORD}') AS asked
    FROM asked_texts i JOIN completions c ON c.key = i.completion JOIN prompts p ON p.key = c.prompt
), counted AS (
    SELECT *, greatest(length(words), 1) AS n, greatest({_count("[.!?。！？]+")}, 1) AS sentences FROM told
)
SELECT ln(length(words) + 1) AS log_words,
    ln(length(content) / n + 1) AS letters,
    ln(n / sentences) AS sentence,
    regexp_matches(content, '[?？]')::DOUBLE AS question,
    least({_count("[!！]")}, 2)::DOUBLE AS exclaim,
    length([w FOR w IN words IF list_contains({_FIRST}, w)]) / sqrt(n) AS first_person,
    length([w FOR w IN words IF list_contains({_SECOND}, w)]) / sqrt(n) AS second_person,
    greatest(-50, least(130, 206.8 - 1.015 * n / sentences - 84.6 * coalesce({_SYLLABLES}, 0) / n)) AS ease,
    length(list_intersect(words, asked)) / greatest(length(list_distinct(words)), 1) AS overlap,
    ln(1 + {_count("[0-9]+")}) AS numbers,
    ln(1 + {_count('["“”«»]')}) AS quotes,
    length(list_distinct(words)) / n AS variety
FROM counted ORDER BY place"""

_WORDS = f"""
SELECT greatest(1, length(regexp_extract_all(c.content, '{_WORD}'))) AS words
FROM asked_texts i JOIN completions c ON c.key = i.completion ORDER BY i.place"""


def measure_cheaply(con: Store, completions: pl.Series) -> Floats:
    """Measure the features CHEAP of completions, given by key: (completions, features), not yet centred."""
    list_asked(con, completions)
    return query(con, _SELECT).select(CHEAP).to_numpy().astype(float)


def count_words(con: Store, completions: pl.Series) -> Floats:
    """Count the words of completions, given by key: (completions,), at least 1."""
    list_asked(con, completions)
    return query(con, _WORDS)["words"].to_numpy().astype(float)


def list_asked(con: Store, completions: pl.Series) -> None:
    """Make the temporary table `asked_texts`: keys of completions (completion), and their place from 0."""
    rows = completions.alias("completion").to_frame().with_row_index("place")
    run_over(con, rows, "CREATE OR REPLACE TEMP TABLE asked_texts AS FROM incoming")
