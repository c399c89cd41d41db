"""Count the rejected rows of a source by value and reason, most frequent first.

    value             rejected  first         reason
    Both are equal         120  votes.csv:12  choice is '…', expected a, b or tie
    14 other values         15  votes.csv:40  choice is '…', expected a, b or tie

Reasons that differ only in the values that they quote, in numbers, or in the column of a wide table, are one.
"""

import polars as pl

from ...schemas.support.text import clean
from .connection import Store, query

_VALUES = 3  # values of one reason that get a line of their own
_SHOWN = 8  # lines of the table
_VALUE_WIDTH = 28
_FIRST_WIDTH = 32
_REASON_WIDTH = 600  # a reason may list all that is read
_HEAD = ("value", "rejected", "first", "reason")

# The value that a reason is about stands in quotes after one word, or after "is". It may have apostrophes: in
# "choice is 'I don't know', expected a, b or tie" it ends before the last "', expected ".
_ABOUT = r"^(\w+:? |[^']* is |'[^']*' is )"
_EXPECTED = rf"{_ABOUT}'(.*)'(, expected .*)$"
_QUOTED = rf"{_ABOUT}'(.*?)'(|[\s,;:.)].*)$"
_KINDS = f"""
WITH bare AS (
    SELECT source, path, line, regexp_replace(reason, ' \\(column ''.*''\\)$', '') AS reason FROM rejects
), cut AS (
    SELECT source, path, line,
    CASE WHEN regexp_matches(reason, $expected) THEN regexp_extract(reason, $expected, 2)
        WHEN regexp_matches(reason, $quoted) THEN regexp_extract(reason, $quoted, 2) END AS value,
    if(regexp_matches(reason, $expected), regexp_replace(reason, $expected, '\\1''…''\\3'),
        regexp_replace(reason, $quoted, '\\1''…''\\3')) AS said
    FROM bare WHERE $source IS NULL OR source = $source
), each AS (
    SELECT source, value, said, count(*) AS n, min((path, line)) AS place FROM cut GROUP BY 1, 2, 3
), ranked AS (
    SELECT *, regexp_replace(said, '\\d+', 'N', 'g') AS kind,
    row_number() OVER (PARTITION BY source, kind ORDER BY n DESC, value) AS rank,
    count(value) OVER (PARTITION BY source, kind) AS many FROM each
), shown AS (
    SELECT *, if(rank <= {_VALUES} AND (n > 1 OR many <= {_VALUES}), value, NULL) AS own FROM ranked
)
SELECT source, CASE WHEN count(value) = 0 THEN ''
    WHEN count(value) = 1 THEN coalesce(nullif(any_value(value), ''), '(empty)')
    ELSE format('{{:,}} {{}}values', count(value), if(max(many) > count(value), 'other ', '')) END AS value,
sum(n)::BIGINT AS rows, min(place)[1] || ':' || min(place)[2] AS first,
if(min(said) = max(said), min(said), kind) AS reason
FROM shown GROUP BY source, kind, own ORDER BY source, rows DESC, reason, value
"""


def count_rejects(con: Store, source: str | None = None) -> pl.DataFrame:
    """Count rejects of a source, or of all, by value and reason: source, value, rows, first, reason.

    `value` is the first one that the reason quotes, "12 other values" for rare ones, "" without any; `first`
    is file:line of the first such row. The most frequent come first.
    """
    given = {"source": source, "expected": _EXPECTED, "quoted": _QUOTED}
    return query(con, _KINDS, given)


def list_rejects(counts: pl.DataFrame) -> list[str]:
    """List the lines of a table of `count_rejects` of one source, a header first; [] without rejects."""
    if counts.is_empty():
        return []
    shown = counts.select("value", "rows", "first", "reason").head(_SHOWN)
    rows = [
        (clean(value, _VALUE_WIDTH), f"{n:,}", _shorten(first), clean(reason, _REASON_WIDTH))
        for value, n, first, reason in shown.iter_rows()
    ]
    value, n, first = (max(len(row[i]) for row in (_HEAD, *rows)) for i in range(3))
    lines = [f"{row[0]:{value}}  {row[1]:>{n}}  {row[2]:{first}}  {row[3]}" for row in (_HEAD, *rows)]
    if not any(row[0] for row in rows):
        lines = [line[value + 2 :] for line in lines]
    left = counts[_SHOWN:]
    return lines + ([f"and {left['rows'].sum():,} more rows of {left.height:,} kinds"] if left.height else [])


def _shorten(place: str) -> str:
    """A place whose path is cut at its start if it is long: the file and the line stay."""
    return place if len(place) <= _FIRST_WIDTH else "…" + place[1 - _FIRST_WIDTH :]
