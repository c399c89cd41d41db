"""Taking sources out of the store again: all of their rows, and nothing that others stand on."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from preceptor.schemas.errors import StoreError
from preceptor.schemas.tables import OF_A_SOURCE
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.privacy.drop import drop_sources
from preceptor.toolkit.store.connection import open_store, query

TEXTS = """{"id": "verb", "task": "qa", "language": "en", "prompt": "What is a verb?", "completions":
 [{"id": "v1", "content": "A word."}, {"id": "v2", "content": "Run."}]}""".replace("\n", "")
VOTES = "completion_a,completion_b,choice,annotator\nv1,v2,a,{who}\n"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of texts, and of two weeks' votes about them."""
    monkeypatch.chdir(tmp_path)
    Path("texts.jsonl").write_text(TEXTS, encoding="utf-8")
    call("ingest", "prompts", "texts.jsonl", "--source", "texts")
    for week, who in (("week-1", "ada"), ("week-2", "bo")):
        Path(f"{week}.csv").write_text(VOTES.format(who=who), encoding="utf-8")
        call("ingest", "votes", f"{week}.csv", "--source", week)
    return tmp_path / "s.duckdb"


def call(*command):
    done = CliRunner().invoke(cli, ["--store", "s.duckdb", *command])
    assert done.exit_code == 0, done.output
    return done.output


def rows_of(con, source):
    return sum(
        query(con, f'SELECT count(*) AS n FROM "{t.name}" WHERE source = ?', [source])["n"][0]
        for t in OF_A_SOURCE
    )


def test_a_dropped_source_leaves_nothing_and_the_others_stay(store):
    said = call("drop", "week-1", "--dry-run")
    assert "would go" in said
    assert "1 votes" in said
    with open_store(store) as con:
        before = rows_of(con, "week-2")
        assert rows_of(con, "week-1")
    assert "gone" in call("drop", "week-1")
    with open_store(store) as con:
        assert rows_of(con, "week-1") == 0
        assert rows_of(con, "week-2") == before
        assert query(con, "SELECT name FROM sources ORDER BY 1")["name"].to_list() == ["texts", "week-2"]
        assert query(con, "FROM annotators").height == 1
    call("ingest", "votes", "week-1.csv", "--source", "week-1")


def test_texts_that_others_judge_are_not_dropped_alone(store):
    with open_store(store) as con:
        with pytest.raises(StoreError, match=r"1 votes of 'week-1'.* preceptor drop texts week-1 week-2"):
            drop_sources(con, ["texts"])
        assert rows_of(con, "texts")
        drop_sources(con, ["texts", "week-1", "week-2"])
        assert query(con, "FROM sources").is_empty()
        assert query(con, "FROM annotators").is_empty()


def test_a_misspelt_source_gets_the_near_name_and_nothing_goes(store):
    with open_store(store) as con, pytest.raises(StoreError, match="week-1"):
        drop_sources(con, ["week-2", "weak-1"])
    with open_store(store) as con:
        assert rows_of(con, "week-2")


def test_what_was_made_with_a_source_is_named(store):
    with open_store(store) as con:
        con.execute(
            "INSERT INTO fits BY NAME SELECT 'f' || i AS key, '{\"sources\": ' || s || '}' AS config, "
            "TIMESTAMP '2026-01-01' AS fitted_at, 1 AS seed, 'x' AS inputs, true AS converged, 'hmc' AS method, "
            "'{}' AS diagnostics, '{}' AS findings, '{}' AS versions "
            "FROM (VALUES (1, '[]'), (2, '[\"week-1\"]'), (3, '[\"week-2\"]')) v(i, s)"
        )
        assert set(drop_sources(con, ["week-1"], dry_run=True).fits) == {"f1", "f2"}
