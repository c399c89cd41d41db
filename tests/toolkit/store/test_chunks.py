"""Wide tables made a chunk at a time hold every row, in order, also within a transaction."""

import pytest

from preceptor.schemas.tables import Column, Table
from preceptor.toolkit.store import chunks
from preceptor.toolkit.store.connection import run, transaction

ID = Column("id", "int", "a number")
WIDE = Table("wide", "a number and its text", (ID, Column("t", "text", "the text")))
LISTS = Table("lists", "a number and a list", (ID, Column("list", "messages", "the list")))
ROWS = 450_000  # more than DuckDB holds back before it writes to a table


@pytest.mark.parametrize("size", [100_000, 200_000, 1_000_000])
def test_every_row_is_there_in_order(store, monkeypatch, size):
    monkeypatch.setattr(chunks, "ROWS", size)
    with transaction(store):
        run(store, f"CREATE TEMP TABLE texts AS SELECT i, 'text ' || i AS t FROM range({ROWS}) r(i)")
        run(
            store,
            f"CREATE TEMP TABLE narrow AS SELECT {ROWS} - 1 - i AS id FROM range({ROWS}) r(i) ORDER BY 1 DESC",
        )
        chunks.join_in_chunks(
            store, WIDE, "narrow", "SELECT n.*, t FROM chunk n JOIN texts ON i = id WHERE id % 3 > 0"
        )
        found = run(store, "SELECT count(*), sum(id), count_if(t = 'text ' || id) FROM wide")
        (disorder,) = run(
            store, "SELECT count(*) FROM wide a JOIN wide b ON b.rowid = a.rowid + 1 WHERE b.id > a.id"
        )[0]
    kept = [i for i in range(ROWS) if i % 3]
    assert found == [(len(kept), sum(kept), len(kept))]
    assert disorder == 0


def test_no_rows_make_an_empty_table(store):
    with transaction(store):
        run(store, "CREATE TEMP TABLE narrow AS SELECT 1::BIGINT AS id WHERE false")
        chunks.join_in_chunks(
            store, LISTS, "narrow", "SELECT *, [{'role': 'user', 'content': id::VARCHAR}] AS list FROM chunk"
        )
        assert run(store, "SELECT * FROM lists") == []
        assert [row[:2] for row in run(store, "DESCRIBE lists")] == [
            ("id", "BIGINT"),
            ("list", 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'),
        ]
