"""The store: open, transaction, insert."""

import subprocess
import sys

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import StoreError
from preceptor.schemas.tables import RUBRICS, TABLES
from preceptor.toolkit.store.connection import (
    count,
    insert,
    open_store,
    parse_json_rows,
    query,
    remove_source,
    run,
    transaction,
)


def rubric(source="s", criterion="c", levels=5):
    return pl.DataFrame(
        {"source": source, "criterion": criterion, "levels": levels, "higher_is_better": True, "weight": 1.0}
    )


def test_a_new_store_has_every_table(tmp_path):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        assert all(count(con, table) == 0 for table in TABLES.values())


def test_insert_adds_a_row_once(tmp_path):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        assert insert(con, RUBRICS, rubric()) == 1
        assert insert(con, RUBRICS, rubric()) == 0
        assert insert(con, RUBRICS, pl.concat([rubric(criterion="d"), rubric(criterion="d", levels=7)])) == 1
        assert query(con, "SELECT levels FROM rubrics WHERE criterion = 'd'")["levels"].to_list() == [5]
        assert insert(con, RUBRICS, rubric().clear()) == 0


def test_a_null_where_none_may_be_is_an_error_that_stores_nothing(tmp_path):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        bad = rubric().with_columns(pl.lit(None, pl.Int64).alias("levels"))
        with pytest.raises(StoreError, match="rubrics"), transaction(con):
            _ = [insert(con, RUBRICS, rows) for rows in (rubric(criterion="other"), bad)]
        assert count(con, RUBRICS) == 0


def test_a_failed_transaction_leaves_the_store_as_it_was(tmp_path):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        with pytest.raises(ZeroDivisionError), transaction(con):
            _ = insert(con, RUBRICS, rubric()) / 0
        assert count(con, RUBRICS) == 0
        with transaction(con):
            insert(con, RUBRICS, rubric())
    with open_store(tmp_path / "s.duckdb", read_only=True) as con:
        assert count(con, RUBRICS) == 1


def test_remove_source_takes_only_its_rows(tmp_path):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        insert(con, RUBRICS, pl.concat([rubric("one"), rubric("two")]))
        remove_source(con, "one")
        assert query(con, "SELECT source FROM rubrics")["source"].to_list() == ["two"]


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(StoreError, match="no store here"), open_store(tmp_path / "none.duckdb"):
        pass
    with pytest.raises(StoreError, match="no such folder"), open_store(tmp_path / "a" / "b", create=True):
        pass
    text = tmp_path / "text.duckdb"
    text.write_text("not a database " * 1000)
    with pytest.raises(StoreError, match="not a DuckDB file"), open_store(text):
        pass
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as con:
        con.execute("CREATE TABLE mine (a INTEGER)").fetchall()
    with pytest.raises(StoreError, match="not a Preceptor store"), open_store(other):
        pass
    empty = tmp_path / "empty.duckdb"
    duckdb.connect(str(empty)).close()  # as a process leaves it that was killed at once
    with pytest.raises(StoreError, match="is empty; ingest something"), open_store(empty, read_only=True):
        pass
    with open_store(empty) as con:
        assert count(con, RUBRICS) == 0
    newer = tmp_path / "newer.duckdb"
    with open_store(newer, create=True) as con:
        run(con, "UPDATE preceptor SET schema_version = 999")
    with pytest.raises(StoreError, match="schema version 999"), open_store(newer):
        pass


def test_a_store_held_by_another_process_names_it(tmp_path):
    path = tmp_path / "s.duckdb"
    with open_store(path, create=True):
        code = (
            "from pathlib import Path; from preceptor.toolkit.store.connection import open_store\n"
            f"with open_store(Path({str(path)!r})): pass"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is open in another program" in ended.stderr


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=30), max_size=8))
def test_json_rows_divides_every_line(lines):
    frame = pl.DataFrame(
        {"line": range(1, len(lines) + 1), "raw": lines, "damaged": [False] * len(lines)},
        schema={"line": pl.Int64, "raw": pl.String, "damaged": pl.Boolean},
    )
    good, bad = parse_json_rows(frame, {"a": "VARCHAR"})
    assert sorted([*good["line"], *bad["line"]]) == frame["line"].to_list()


def test_json_rows_reads_typed_fields_and_nulls_the_rest():
    lines = pl.DataFrame(
        {
            "line": [1, 2, 3, 4],
            "raw": ['{"a": "x", "n": [1, 2]}', '{"a": "y", "n": "no"}', "[1]", "{oops"],
            "damaged": [False] * 4,
        }
    )
    good, bad = parse_json_rows(lines, {"a": "VARCHAR", "n": "BIGINT[]"})
    assert good.select("line", "a", "n").rows() == [(1, "x", [1, 2]), (2, "y", None)]
    assert bad.select("line", "reason").rows() == [(3, "expected a JSON object"), (4, "not valid JSON")]
