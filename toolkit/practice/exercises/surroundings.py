"""What stands around an exercise: a hint by the type of error, and the sentences before and after.

A source without documents of its own has no sentences before and after: neighbours in a file of single
sentences have nothing to do with each other. Neighbours read as the same annotator corrected them, else as
the learner wrote them.
"""

import csv
from functools import cache
from pathlib import Path

import polars as pl

from ....schemas.tables import Column, Table
from ...dataset.choose.corrections import select_corrections
from ...dataset.choose.from_edits import FINISHED
from ...store.connection import Store
from ...store.temporary import drop, make, make_from_frame

HINTS = Table(
    "practice_hints",
    "what to look at, by ERRANT's category of an error",
    (Column("category", "text", "such as VERB:SVA"), Column("hint", "text", "a sentence in English")),
)
NEIGHBOURS = Table(
    "practice_neighbours",
    "the sentence before or after one that is exercised",
    (
        Column("sentence", "text", "key of the sentence that is exercised"),
        Column("side", "text", "before or after"),
        Column("other", "text", "key of its neighbour"),
        Column("text", "text", "what the learner wrote there"),
    ),
)
CORRECTED = Table(
    "practice_neighbours_corrected",
    "an annotator's correction of a neighbour",
    (
        Column("other", "text", "key of the neighbour"),
        Column("annotator", "text", "who corrected it"),
        Column("text", "text", "their correction"),
    ),
)
_SELECT_NEIGHBOURS = """
SELECT s.key AS sentence, if(o.position < s.position, 'before', 'after') AS side, o.key AS other, o.text
FROM sentences s JOIN sentences o ON o.source = s.source AND o.path = s.path AND o.document = s.document
    AND abs(o.position - s.position) = 1
WHERE s.document <> s.path AND s.key IN (SELECT key FROM practice_chosen)"""
_SELECT_CORRECTED = f"""SELECT sentence AS other, annotator, text FROM ({
    select_corrections(f"e.sentence IN (SELECT other FROM practice_neighbours) AND {FINISHED}")
})"""
_SIDE = """(SELECT coalesce(any_value(c.text), any_value(n.text)) FROM practice_neighbours n
    LEFT JOIN practice_neighbours_corrected c ON c.other = n.other AND c.annotator = x.annotator
    WHERE n.sentence = x.sentence AND n.side = '{0}') AS {0}""".format


def select_surrounded(con: Store, select: str) -> str:
    """Make the temporary tables; return the SELECT of exercises of edits with hint, before and after.

    `select`: the exercises, with sentence, annotator and position.
    """
    make_from_frame(con, HINTS, _read_hints())
    make(con, NEIGHBOURS, _SELECT_NEIGHBOURS)
    make(con, CORRECTED, _SELECT_CORRECTED)
    return f"""SELECT x.*, h.hint, {_SIDE("before")}, {_SIDE("after")} FROM ({select}) x
    LEFT JOIN edits e ON e.sentence = x.sentence AND e.position = x.position
    LEFT JOIN practice_hints h ON h.category = substr(e.errant_type, 3)"""


def drop_surroundings(con: Store) -> None:
    """Drop the temporary tables."""
    drop(con, HINTS, NEIGHBOURS, CORRECTED)


@cache
def _read_hints() -> pl.DataFrame:
    with Path(__file__).with_name("hints.csv").open(encoding="utf-8", newline="") as file:
        return pl.DataFrame(list(csv.DictReader(file)))
