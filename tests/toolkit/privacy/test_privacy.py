"""Privacy: no person's id enters the store, and a person forgotten leaves nothing in it."""

import hmac
import json
import os
import shutil
import stat
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import StoreError
from preceptor.toolkit.fusion.inputs.signals import hash_inputs, read_signals
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.privacy.pseudonyms import (
    find_key_file,
    make_key,
    make_pseudonym,
    make_pseudonyms,
    read_key,
)
from preceptor.toolkit.store.connection import open_store, query

SECRET = "Zwaluwstaart-7741"  # a learner's id that stands nowhere else
TEXT = "My grandmother Ottoline keep nine hedgehog under the staircase ."
PROMPTS = [
    {
        "id": f"p{i}",
        "task": "mnemonic",
        "prompt": f"word {i}",
        "completions": [{"id": f"p{i}-a", "content": f"one {i}"}, {"id": f"p{i}-b", "content": f"two {i}"}],
    }
    for i in range(3)
]
PROMPTS[2]["completions"].append(
    {"id": "p2-l", "content": "a Wagtailish thought", "origin": "learner", "author": SECRET}
)
RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "format": "plain",
    "configs": ["preference", "sft"],
    "splits": {"shared": True},
}


def essay(id, learner, text, edit):
    start, end, correction = edit
    return json.dumps(
        {"id": id, "userid": learner, "text": text, "edits": [[0, [[start, end, correction, "R:OTHER"]]]]}
    )


def write_inputs(folder):
    """Inputs of every kind that names people, SECRET among them."""
    lines = {
        "prompts.jsonl": [json.dumps(p) for p in PROMPTS],
        "essays.jsonl": [
            essay("1", SECRET, TEXT, (21, 25, "keeps")),
            essay("2", "anna", "The cat sit on a mat .", (8, 11, "sits")),
            essay("3", SECRET, "An orange sing in Quillfeather street .", (90, 95, "sings")),
            essay("4", "anna", "He have a dog .", (3, 7, "has")),
        ],
        "votes.csv": [
            "completion_a,completion_b,choice,annotator",
            f"p0-a,p0-b,a,{SECRET}",
            "p0-a,p0-b,b,anna",
            f"p1-a,p1-b,neither,{SECRET}",
            f'p1-a,"p1-b,a,{SECRET}',
            "p2-a,p2-b,tie,",
        ],
        "outcomes.csv": [
            "completion,learner,measure,value",
            f"p0-a,{SECRET},turns,2",
            "p0-b,anna,turns,1",
            f"p0-b,{SECRET},turns,-2",
        ],
    }
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n")
    (folder / "gec.yaml").write_text(json.dumps(RECIPE))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_inputs(tmp_path)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory, preceptor):
    folder = write_inputs(tmp_path_factory.mktemp("inputs"))
    for format, name in (
        ("prompts", "prompts.jsonl"),
        ("bea-json", "essays.jsonl"),
        ("votes", "votes.csv"),
        ("outcomes", "outcomes.csv"),
    ):
        about = ["--about", "prompts"] if format in ("votes", "outcomes") else []
        done = preceptor("ingest", format, name, "--source", format, *about, cwd=folder)
        assert done.returncode == 0, done.stderr
    done = preceptor("build", "gec.yaml", "--out", "dist", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def filled(ingested, tmp_path):
    """A store of these inputs, and a dataset built from the essays."""
    return Path(shutil.copytree(ingested, tmp_path / "filled"))


def rows_of(folder, sql):
    with open_store(folder / "preceptor.duckdb", read_only=True) as con:
        return query(con, sql).rows()


def file_bytes(folder):
    return b"".join(path.read_bytes() for path in folder.glob("preceptor.duckdb*"))


def everything(folder):
    """Every value of every table, as text."""
    with open_store(folder / "preceptor.duckdb", read_only=True) as con:
        tables = query(con, "SELECT table_name FROM duckdb_tables()")["table_name"]
        return "\n".join(query(con, f'FROM "{t}"').write_ndjson() for t in tables)


def test_no_person_s_id_enters_the_store(filled, key_file):
    assert rows_of(filled, "SELECT source, count(*) FROM rejects GROUP BY 1 ORDER BY 1") == [
        ("bea-json", 1),
        ("outcomes", 1),
        ("votes", 2),
    ]
    assert SECRET not in everything(filled)
    assert SECRET.encode() not in file_bytes(filled)
    name = make_pseudonym(SECRET, read_key(key_file))
    assert rows_of(filled, f"SELECT count(*) FROM sentences WHERE learner = '{name}'") == [(2,)]
    assert rows_of(filled, f"SELECT count(*) FROM annotators WHERE pseudonym = '{name}'") == [(1,)]
    # A row that was understood is kept as its fields; one that was not might name anybody.
    raw = [row[0] for row in rows_of(filled, "SELECT raw FROM rejects WHERE source = 'votes' ORDER BY line")]
    assert json.loads(raw[0])["annotator"] == name
    assert "see the line in the file" in raw[1]


def test_a_learner_forgotten_leaves_no_byte(filled, preceptor, key_file):
    name = make_pseudonym(SECRET, read_key(key_file))
    before = everything(filled)
    for trace in (name, "Ottoline", "Quillfeather", "Wagtailish"):  # else the test could not fail
        assert trace in before
        assert trace.encode() in file_bytes(filled)
    done = preceptor("forget", SECRET, cwd=filled)
    assert done.returncode == 0, done.stderr
    assert (
        "(2 sentences, 1 edits, 1 prompts, 3 completions, 1 annotators, 1 votes, 1 outcomes, " in done.stdout
    )
    assert "still holds traces: dist (texts in 2 rows)" in done.stdout
    after = everything(filled)
    for trace in (name, "Ottoline", "Quillfeather", "Wagtailish", SECRET):
        assert trace not in after
        assert trace.encode() not in file_bytes(filled)
    # Everybody else is as before.
    assert "The cat sit on a mat ." in after
    assert rows_of(filled, "SELECT count(*) FROM votes") == [(2,)]
    assert rows_of(filled, "SELECT count(*) FROM outcomes") == [(1,)]


def test_who_was_forgotten_does_not_come_back(filled, preceptor, key_file):
    assert preceptor("forget", SECRET, cwd=filled).returncode == 0
    for format, name in (
        ("bea-json", "essays.jsonl"),
        ("prompts", "prompts.jsonl"),
        ("votes", "votes.csv"),
        ("outcomes", "outcomes.csv"),
    ):
        about = ["--about", "prompts"] if format in ("votes", "outcomes") else []
        done = preceptor("ingest", format, name, "--source", format, "--replace", *about, cwd=filled)
        assert done.returncode == 0, done.stderr
        assert "forgotten" in done.stderr
    stored = everything(filled)
    for trace in (
        make_pseudonym(SECRET, read_key(key_file)),
        "Ottoline",
        "Quillfeather",
        "Wagtailish",
        SECRET,
    ):
        assert trace not in stored
    rows = rows_of(filled, "SELECT rows, rejects FROM sources WHERE name = 'bea-json'")
    assert rows == [(4, 2)]  # two essays with an edit each; two of the forgotten learner


def test_forgetting_nobody_says_so_and_twice_is_no_error(filled, preceptor):
    unknown = preceptor("forget", "Zwaluwstart-7741", cwd=filled)
    assert unknown.returncode == 2
    assert "holds no row of that person; nothing was changed; check the id" in unknown.stderr
    assert rows_of(filled, "SELECT count(*) FROM forgotten") == [(0,)]
    assert preceptor("forget", SECRET, cwd=filled).returncode == 0
    again = preceptor("forget", SECRET, cwd=filled)
    assert (again.returncode, "was forgotten before" in again.stdout) == (0, True)
    assert preceptor("forget", "not-hex", "--pseudonym", cwd=filled).returncode == 2


def test_killed_before_the_file_is_new_a_second_forget_ends_it(filled, preceptor, key_file):
    name = make_pseudonym(SECRET, read_key(key_file))
    with open_store(filled / "preceptor.duckdb") as con:
        forget(con, name)  # and never write_anew
    assert b"Ottoline" in file_bytes(filled)
    assert preceptor("forget", SECRET, cwd=filled).returncode == 0
    assert b"Ottoline" not in file_bytes(filled)
    assert [p.name for p in filled.glob(".preceptor*.partial-*")] == []


def test_fits_that_learnt_from_a_person_go(filled):
    with open_store(filled / "preceptor.duckdb") as con:
        one = query(con, "SELECT key FROM completions WHERE ref = 'p0-a'").item()
        other = query(con, "SELECT key FROM completions WHERE ref = 'p2-a'").item()
        for fit, completion in (("touched", one), ("apart", other)):
            con.execute(
                "INSERT INTO effectiveness SELECT ?, ?, ?, 0, 1, 0, 0, 0, 1, 0, 1, 'signals', 1, 0, 1",
                [fit, fit, completion],
            )
            con.execute(
                "INSERT INTO fits SELECT ?, '{}', 'i', 'hmc', 0, true, '{}', '{}', '{}', now()", [fit]
            )
        con.execute(
            """INSERT INTO builds SELECT 'b', 'n', '/published', '{"configs": []}', 'touched', '{}',
            '{}', '[]', now(), NULL"""
        )
        who = query(con, "SELECT learner FROM outcomes WHERE completion = ?", [one]).item()
        done = forget(con, who)
        assert query(con, "SELECT key FROM fits")["key"].to_list() == ["apart"]
        assert query(con, "SELECT DISTINCT fit FROM effectiveness")["fit"].to_list() == ["apart"]
    assert (Path("/published"), "texts and labels learnt from the person's signals") in done.traces.missing


def test_the_key_is_its_owner_s_alone(filled, key_file):
    assert find_key_file() == key_file
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert not key_file.is_relative_to(filled)
    key = read_key(key_file)
    make_key(key_file)
    assert read_key(key_file) == key
    assert key not in file_bytes(filled)
    assert key.hex().encode() not in file_bytes(filled)


@pytest.mark.parametrize("state", ["open", "another", "missing", "broken"])
def test_a_key_that_cannot_be_trusted_stops(filled, preceptor, monkeypatch, state):
    path = filled / "k.key"
    monkeypatch.setenv("PRECEPTOR_KEY", str(path))
    if state != "missing":
        make_key(path)
    if state == "open":
        path.chmod(0o640)
    if state == "broken":
        path.write_text("hello")
    said = {
        "open": "others may read the key",
        "another": "another key than the one this store's",
        "missing": "no key",
        "broken": "cannot be read as a key",
    }[state]
    for command in (
        ("ingest", "votes", "votes.csv", "--source", "v2", "--about", "prompts"),
        ("forget", SECRET),
        ("pseudonym", SECRET),
    ):
        done = preceptor(*command, cwd=filled)
        assert done.returncode == 2
        assert said in done.stderr
        assert str(path) in done.stderr
    assert rows_of(filled, "SELECT count(*) FROM sources WHERE name = 'v2'") == [(0,)]


def test_pseudonym_on_the_command_line(filled, preceptor, key_file):
    done = preceptor("pseudonym", SECRET, "anna", cwd=filled)
    key = read_key(key_file)
    assert done.stdout == f"{SECRET}\t{make_pseudonym(SECRET, key)}\nanna\t{make_pseudonym('anna', key)}\n"


@given(
    # Spellings that are one id (spaces around it, 17.0, Unicode's forms) are another test's.
    st.lists(st.none() | st.text(st.characters(codec="ascii", categories=["L", "P", "S"])), max_size=20),
    st.binary(min_size=32, max_size=32),
)
def test_pseudonyms_are_hmac_sha256(ids, key):
    expected = [None if i is None else hmac.digest(key, i.encode(), "sha256").hex()[:16] for i in ids]
    assert make_pseudonyms(pl.Series(ids, dtype=pl.String), key).to_list() == expected


def test_another_key_changes_nothing_that_a_fit_sees(folder, preceptor, tmp_path_factory):
    digests = []
    for name in ("one", "other"):
        store, key = folder / f"{name}.duckdb", tmp_path_factory.mktemp(name) / "k"
        for format in ("prompts", "votes", "outcomes"):
            (path,) = folder.glob(f"{format}.*")
            about = ["--about", "prompts"] if format != "prompts" else []
            done = preceptor(
                "--store",
                store,
                "ingest",
                format,
                path,
                "--source",
                format,
                *about,
                env=os.environ | {"PRECEPTOR_KEY": str(key)},
            )
            assert done.returncode == 0, done.stderr
        with open_store(store, read_only=True) as con:
            signals = read_signals(con, [])
            digests.append(hash_inputs(signals))
            names = signals["annotators"]["pseudonym"].to_list()
        assert len(names) == 2
    assert digests[0] == digests[1]


def test_the_store_is_untouched_where_there_is_no_room(filled, monkeypatch):
    from preceptor.toolkit.store import connection as module

    path = filled / "preceptor.duckdb"
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        module.write_anew(path)
    assert path.read_bytes() == before
    assert list(filled.glob(".preceptor*.partial-*")) == []


def test_a_store_without_people_has_no_key(store):
    from preceptor.toolkit.privacy.pseudonyms import read_store_key

    with pytest.raises(StoreError, match="holds no pseudonyms"):
        read_store_key(store, find_key_file())
