"""kill -9 at any moment of an ingest: the store opens and holds all of the source or none of it."""

import os
import random
import subprocess
import sys
from contextlib import nullcontext

import duckdb
import pytest
from waiting import kill_at

from preceptor.schemas.errors import StoreError
from preceptor.toolkit.store.connection import open_store, query

SENTENCES = 60_000


@pytest.fixture
def large_m2(tmp_path):
    block = "S The cat sat on the mat {n} .\nA 1 2|||R:NOUN|||dog|||REQUIRED|||-NONE-|||0\n\n"
    path = tmp_path / "large.m2"
    path.write_text("".join(block.format(n=n) for n in range(SENTENCES)))
    return path


def start(store, path):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "preceptor.toolkit.cli.main",
            "--store",
            str(store),
            "ingest",
            "m2",
            str(path),
            "--source",
            "large",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def held(store):
    """Rows of sources, sentences and edits, or zeros where no store was made yet."""
    if not store.exists():
        return (0, 0, 0)
    killed_before_the_tables = pytest.raises(StoreError, match="is empty; ingest something first")
    with duckdb.connect(str(store), read_only=True) as con:
        bare = con.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]
    with killed_before_the_tables if bare else nullcontext(), open_store(store, read_only=True) as con:
        query(con, "SELECT count(*) FROM sources")  # as preceptor status does
    with open_store(store) as con:  # replays what the killed process left
        return query(
            con,
            "SELECT (SELECT count(*) FROM sources), (SELECT count(*) FROM sentences), "
            "(SELECT count(*) FROM edits)",
        ).row(0)


@pytest.mark.slow
def test_sigkill_leaves_all_or_nothing(large_m2, tmp_path):
    _, status, used = os.wait4(start(tmp_path / "whole.duckdb", large_m2).pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    whole = used.ru_utime + used.ru_stime
    rng = random.Random(7)
    killed = 0
    for n in range(10):
        store = tmp_path / f"{n}.duckdb"
        process = start(store, large_m2)
        moment = whole * (n + rng.random()) / 10
        killed += kill_at(process, moment)
        assert held(store) in {(0, 0, 0), (1, SENTENCES, SENTENCES)}
    assert killed >= 5
    assert start(store, large_m2).wait() == 0
    assert held(store) == (1, SENTENCES, SENTENCES)
    assert start(store, large_m2).wait() == 0  # the same bytes again
    assert held(store) == (1, SENTENCES, SENTENCES)
