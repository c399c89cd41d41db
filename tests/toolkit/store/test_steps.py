"""Stores of earlier versions are brought up to this one's when they are opened."""

from pathlib import Path

import duckdb
import pytest

from preceptor.schemas.tables import SCHEMA_VERSION, TABLES
from preceptor.toolkit.store import steps
from preceptor.toolkit.store.connection import add_key, open_store, query

OF_VERSION_8 = Path(__file__).with_name("store_of_version_8.sql")


@pytest.fixture
def earlier(tmp_path):
    """A store as version 8 made it."""
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(OF_VERSION_8.read_text(encoding="utf-8"))
    return path


@pytest.mark.parametrize("read_only", [True, False])
def test_a_store_of_version_8_keeps_its_rows(earlier, read_only, caplog):
    for _ in range(2):
        with open_store(earlier, read_only=read_only) as con:
            assert query(con, "SELECT schema_version FROM preceptor").rows() == [(SCHEMA_VERSION,)]
            for table in TABLES.values():
                assert query(con, f'FROM "{table.name}"').columns == table.names
            assert query(con, "SELECT choice, ranking, line FROM votes").rows() == [("a", None, 2)]
            assert query(con, "SELECT p, p_vote FROM preferences").rows() == [(0.75, None)]
            found = query(con, "SELECT pseudonym, kind, within, excluded_at FROM annotators ORDER BY 1")
            assert found.rows() == [
                ("5f0c2ab1d94e77a3", "expert", None, None),
                ("Ada", "crowd", None, None),
                ("hf:tiny", "model", None, None),
            ]
    assert caplog.text.count("brought from schema version 8") == 1


def test_a_person_in_a_campaign_over_two_sources_is_one_annotator(earlier):
    with open_store(earlier) as con:
        for table in ("annotators", "answers", "chain_ends"):
            rows = query(con, f"FROM {table}")
            assert rows["key"].to_list() == add_key(rows.drop("key"), TABLES[table])["key"].to_list()
        keys = dict(query(con, "SELECT pseudonym, key FROM annotators").rows())
        person, model = keys["5f0c2ab1d94e77a3"], keys["hf:tiny"]
        judged = "SELECT annotator, count(*) FROM {} GROUP BY 1 ORDER BY 2"
        for table in ("ratings", "answers"):
            assert query(con, judged.format(table)).rows() == [(model, 1), (person, 2)]
        assert query(con, judged.format("votes")).rows() == [(keys["Ada"], 1)]
        assert query(con, "SELECT member, ends FROM chain_ends").rows() == [(person, "[1.0]")]


def test_a_step_that_fails_changes_nothing(earlier, monkeypatch):
    def fail(con):
        con.execute("DELETE FROM votes")
        raise RuntimeError("halfway")

    monkeypatch.setitem(steps.STEPS, 8, fail)
    with pytest.raises(RuntimeError), open_store(earlier):
        pass
    with duckdb.connect(str(earlier)) as con:
        assert con.execute("SELECT schema_version FROM preceptor").fetchall() == [(8,)]
        assert con.execute("SELECT count(*) FROM votes").fetchall() == [(1,)]
