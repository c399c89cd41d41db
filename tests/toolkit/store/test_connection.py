"""What SQL can reach: the store's own file, files that are named, and nothing else."""

import sqlite3
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import StoreError
from preceptor.tests.support.waiting import wait_until
from preceptor.toolkit.store.connection import open_files, open_scratch, open_store, query, run
from preceptor.toolkit.store.quoting import quote_name, quote_text
from preceptor.toolkit.store.spool import open_spool

REACHES = (
    "COPY (SELECT 1) TO '{0}/written.csv'",
    "SELECT * FROM read_csv('{0}/there.csv')",
    "SELECT * FROM read_text('{0}/there.csv')",
    "SELECT * FROM '{0}/there.parquet'",
    "SELECT * FROM glob('{0}/*')",
    "ATTACH '{0}/other.duckdb' AS other",
    "EXPORT DATABASE '{0}/exported'",
    "INSTALL sqlite",
    "LOAD '{0}/evil.duckdb_extension'",
    "SET enable_external_access = true",
    "SET autoinstall_known_extensions = true; FROM sqlite_scan('{0}/there.sqlite', 'x')",
    "SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')",
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "there.csv").write_text("a,b\n1,2\n")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "there.parquet")
    pl.DataFrame({"a": [2]}).write_parquet(tmp_path / "named.parquet")
    return tmp_path


@pytest.mark.parametrize("opened", ["store", "scratch", "spool", "files"])
@pytest.mark.parametrize("reach", REACHES)
def test_sql_reaches_no_other_file(folder, opened, reach):
    here = {
        "store": lambda: open_store(folder / "s.duckdb", create=True),
        "scratch": open_scratch,
        "spool": open_spool,
        "files": lambda: open_files([folder / "named.parquet"]),
    }[opened]
    with (
        here() as con,
        pytest.raises(
            Exception, match=r"(?i)permission|disabled|cannot|not exist|external|not in the catalog"
        ),
    ):
        run(con, reach.format(folder))
    made = {path.name for path in folder.iterdir()} - {"s.duckdb"}
    assert made == {"there.csv", "there.parquet", "named.parquet"}


def test_files_that_are_named_are_read_and_not_written(folder):
    named = quote_text(str(folder / "named.parquet"))
    with open_files([folder / "named.parquet"]) as con:
        assert query(con, f"FROM read_parquet({named})")["a"].to_list() == [2]


def test_an_sqlite_file_is_no_store(folder):
    path = folder / "there.sqlite"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE x (a)")
    made.close()
    with pytest.raises(StoreError, match=r"there\.sqlite: "), open_store(path):
        pass


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_quoted_names_and_texts_are_nothing_else(name):
    with open_scratch() as con:
        assert query(con, f"SELECT {quote_text(name)} AS {quote_name(name)}").to_dict(as_series=False) == {
            name: [name]
        }


SPILLING = """
import sys, time
from pathlib import Path
from preceptor.toolkit.store.connection import open_store, run

with open_store(Path("s.duckdb"), create=True) as con:
    run(con, "SET memory_limit = '60MB'")
    run(con, "SET threads = 1")
    print("opened", flush=True)
    run(con, "SELECT max(r), max(b) FROM (SELECT *, row_number() OVER (ORDER BY b DESC) AS r FROM "
        "(SELECT range AS a, 'Anna ' || md5(range::VARCHAR) AS b FROM range(30_000_000)))")
"""


def test_rows_that_a_killed_process_moved_to_the_disk_are_removed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SPILLING], cwd=tmp_path, stdout=subprocess.PIPE)
    spilled = tmp_path / "s.duckdb.tmp"
    try:
        assert process.stdout.readline() == b"opened\n"
        wait_until(lambda: any(spilled.glob("*")), process)
    finally:
        process.kill()
        process.wait()
    assert any(spilled.glob("*"))
    with open_store(tmp_path / "s.duckdb"):
        assert not any(spilled.glob("*"))
