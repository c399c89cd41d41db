"""Files with what people said are their owner's alone; others have the permissions that the user's umask leaves."""

import os
import stat

import polars as pl
import pytest

from preceptor.toolkit.store.connection import open_store, run, transaction
from preceptor.toolkit.store.spool import append, open_spool


@pytest.fixture(params=[0o022, 0o002, 0o000])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    assert os.umask(before) == request.param  # nothing has changed it for good


def modes(folder):
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")
    }


def test_the_store_and_its_log_are_private(tmp_path, umask):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        with transaction(con):
            run(con, "INSERT INTO forgotten (key, person, forgotten_at) VALUES ('a', 'b', now())")
        with open_spool() as spool:
            append(spool, "rows", pl.DataFrame({"a": [1]}))
            found = modes(tmp_path)
    assert found.keys() >= {"s.duckdb", "s.duckdb.wal"}
    (spooled,) = (name for name in found if name.endswith("/spool.duckdb"))
    assert found.pop(spooled) == 0o600
    found.pop(f"{spooled}.wal")  # in a folder of which the next line holds
    assert found.pop(spooled.partition("/")[0]) == 0o700
    assert found.pop("s.duckdb.tmp") == 0o700
    assert {name: mode for name, mode in found.items() if mode != 0o600} == {}
    assert modes(tmp_path) == {"s.duckdb": 0o600}


def test_what_a_user_permitted_stays(tmp_path, umask):
    with open_store(tmp_path / "s.duckdb", create=True):
        pass
    (tmp_path / "s.duckdb").chmod(0o640)
    with open_store(tmp_path / "s.duckdb") as con, transaction(con):
        run(con, "INSERT INTO forgotten (key, person, forgotten_at) VALUES ('a', 'b', now())")
    assert modes(tmp_path) == {"s.duckdb": 0o640}


def test_forms_and_exports_are_private_and_datasets_are_not(tmp_path, preceptor, umask):
    (tmp_path / "s.m2").write_text("S It are .\nA 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0\n")
    (tmp_path / "r.yaml").write_text(
        '{"name": "gec", "task": "gec", "corrections": {"rejected": ["learner"]}, "splits": {"shared": true}}'
    )
    (tmp_path / "p.jsonl").write_text('{"prompt": "7 x 8?", "chosen": "Try 7 x 4.", "rejected": "56."}\n')
    for command in (
        ("ingest", "m2", "s.m2", "--source", "s"),
        ("ingest", "chat", "p.jsonl", "--source", "p"),
        ("build", "r.yaml", "--out", "dist"),
        ("export", "m2", "--source", "s", "--out", "out.m2"),
        (
            "annotate",
            "export",
            "--campaign",
            "c",
            "--rubric",
            "pairwise-preference",
            "--source",
            "p",
            "--out",
            "f.csv",
        ),
    ):
        done = preceptor(*command, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
    found = modes(tmp_path)
    assert {found[name] for name in ("preceptor.duckdb", ".preceptor.duckdb.places", "out.m2", "f.csv")} == {
        0o600
    }
    assert found["dist/manifest.json"] == 0o666 & ~umask
