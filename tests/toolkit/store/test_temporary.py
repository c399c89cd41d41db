"""Temporary tables have the columns of their declaration, or the program stops and says which differ."""

import polars as pl
import pytest

from preceptor.schemas.tables import Column, Table
from preceptor.toolkit.store.connection import run, transaction
from preceptor.toolkit.store.temporary import add_frames, drop, make, make_from_frame

SCORES = Table(
    "scores",
    "a completion's score",
    (Column("completion", "text", "its key"), Column("score", "float", "0 to 1", nullable=True)),
)


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("SELECT 'a' AS completion", "temporary table scores: column score is missing"),
        (
            "SELECT 'a' AS completion, 1 AS score",
            "temporary table scores: column score is INTEGER, but DOUBLE is declared",
        ),
        ("SELECT 'a' AS completion, 1::DOUBLE AS score, 1 AS n", "scores: column n is not declared"),
        ("SELECT NULL AS completion, 1::DOUBLE AS score", 'column completion is "NULL", but VARCHAR'),
        ("SELECT 1::DOUBLE AS scoer, 'a' AS completion", "score is missing; column scoer is not declared"),
    ],
)
def test_a_select_of_other_columns_is_a_mistake_that_names_table_and_column(store, select, said):
    with pytest.raises(TypeError) as error:
        make(store, SCORES, select)
    assert said in str(error.value)


def test_rows_come_in_order_and_anew_each_time(store):
    for n in (3, 2):
        make(
            store,
            SCORES,
            "SELECT i / 2 AS score, i::VARCHAR AS completion FROM range($n) r(i) ORDER BY i DESC",
            {"n": n},
        )
        assert run(store, "SELECT completion, score FROM scores") == [
            (str(i), i / 2) for i in reversed(range(n))
        ]
    drop(store, SCORES)
    assert run(store, "SELECT 1 FROM duckdb_tables() WHERE temporary") == []


def test_ordered_rows_that_are_inserted_into_an_empty_table_are_all_there(store):
    """DuckDB 2.0.0 loses some of a table that was made AS SELECT of no rows in the same transaction."""
    with transaction(store):
        make(store, SCORES)
        run(
            store,
            "INSERT INTO scores BY NAME SELECT i / 2 AS score, i::VARCHAR AS completion "
            "FROM range(450_000) r(i) ORDER BY i",
        )
        assert run(store, "SELECT count(*), count(DISTINCT completion) FROM scores") == [(450_000, 450_000)]


def test_frames_are_matched_by_name(store):
    frame = pl.DataFrame({"score": [0.5, None], "other": [1, 2], "completion": ["a", "b"]})
    make_from_frame(store, SCORES, frame)
    add_frames(store, SCORES, [frame.select("score", "completion").head(1)])
    add_frames(store, SCORES, [])
    assert run(store, "FROM scores") == [("a", 0.5), ("b", None), ("a", 0.5)]
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        make_from_frame(store, SCORES, frame.drop("score"))
