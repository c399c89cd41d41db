"""A store that cannot be used is named, with what happened and what to do; never a traceback."""

import json
import random
import resource
import subprocess
import sys

import duckdb
import pytest

from preceptor.schemas.errors import StoreError
from preceptor.toolkit.store.connection import open_store, run

DAMAGED = 104  # stores, each given to two commands
COMMANDS = (
    ("ingest", "bea-json", "e.jsonl", "--source", "more"),
    ("forget", "who1"),
    ("build", "recipe.yaml", "--out", "dist"),
    ("export", "m2", "--source", "e", "--out", "out.m2"),
    ("why", "0" * 16),
    ("pseudonym", "who1"),
    ("report", "--out", "report.html"),
    ("status", "--rejects"),
    ("annotate", "export", "--campaign", "c", "--rubric", "pairwise-preference", "--out", "form.csv"),
)
RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "splits": {"shared": True},
    "privacy": {"look": False},
}


@pytest.fixture
def folder(tmp_path, preceptor):
    edit = [[0, [[8, 12, "keeps"]]]]
    essays = [
        {"id": str(n), "userid": f"who{n % 5}", "text": f"My aunt keep {n} hedgehogs .", "edits": edit}
        for n in range(300)
    ]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(essay) + "\n" for essay in essays))
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE))
    done = preceptor("--store", "s.duckdb", "ingest", "bea-json", "e.jsonl", "--source", "e", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def damage(whole, n):
    """One of four kinds of damage: cut off, single bits, a block of noise, a bit of the header."""
    rng, damaged = random.Random(n), bytearray(whole)
    if n % 4 == 0:
        return bytes(damaged[: rng.randrange(1, len(whole))])
    if n % 4 == 2:
        at = rng.randrange(len(whole) - 4096)
        damaged[at : at + 4096] = rng.randbytes(4096)
    for _ in range({1: rng.choice([1, 8]), 2: 0, 3: 1}[n % 4]):
        damaged[rng.randrange(12288 if n % 4 == 3 else len(whole))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def test_a_damaged_store_is_named_by_every_command(folder, preceptor):
    whole = (folder / "s.duckdb").read_bytes()
    refused = 0
    for n in range(DAMAGED):
        for command in (("status",), COMMANDS[n % len(COMMANDS)]):
            for left in folder.glob("bad.duckdb*"):
                left.unlink()
            (folder / "bad.duckdb").write_bytes(damage(whole, n))
            done = preceptor("--store", "bad.duckdb", *command, cwd=folder)
            said = done.stderr.strip()
            assert done.returncode in (0, 1, 2), (n, command)
            assert "Traceback" not in said, (n, command, said)
            assert "open in another program" not in said, (n, command, said)
            if "bad.duckdb" in said:
                refused += 1
                assert done.returncode == 2, (n, command, said)
                assert said.count("\n") == 0, (n, command, said)
                assert "put a copy of it in its place" in said or "point --store" in said, (n, command, said)
    assert refused > DAMAGED


JUNK = {
    "text": b"id,vote\n1,a\n",
    "zeros": bytes(4096),
    "empty": b"",
    "sqlite": b"SQLite format 3\0" + bytes(4000),
    "a database of another program": None,
}


@pytest.mark.parametrize("kind", JUNK)
def test_a_file_that_is_no_store_is_named(tmp_path, preceptor, kind):
    path = tmp_path / "s.duckdb"
    if JUNK[kind] is None:
        with duckdb.connect(str(path)) as con:
            con.execute("CREATE TABLE votes (a INTEGER)")
    else:
        path.write_bytes(JUNK[kind])
    before = path.read_bytes()
    for command in (("status",), ("forget", "x")):
        done = preceptor("--store", "s.duckdb", *command, cwd=tmp_path)
        assert done.returncode == 2
        assert "s.duckdb" in done.stderr
        assert "point --store" in done.stderr, done.stderr
    assert path.read_bytes() == before


def test_a_store_that_another_process_has_open_is_named(folder, preceptor):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb; c = duckdb.connect('s.duckdb'); print(1, flush=True); input()",
        ],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline()
        done = preceptor("--store", "s.duckdb", "status", cwd=folder)
    finally:
        holder.communicate(b"\n")
    assert done.returncode == 2
    assert f"is open in another program (process {holder.pid}); close that one" in done.stderr


def test_a_full_disk_is_named_and_nothing_is_changed(folder):
    path = folder / "s.duckdb"
    before = path.read_bytes()
    (folder / "large.jsonl").write_text(
        "".join(
            json.dumps(
                {"id": str(n), "userid": "x", "text": f"{random.Random(n).randbytes(300).hex()} ."}
                | {"edits": [[0, []]]}
            )
            + "\n"
            for n in range(20_000)
        )
    )
    arguments = ("ingest", "bea-json", "large.jsonl", "--source", "large")
    limit = len(before) + (1 << 20)
    done = subprocess.run(
        [sys.executable, "-m", "preceptor.toolkit.cli.main", "--store", "s.duckdb", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    assert (
        "s.duckdb: no space is left on its disk, or a limit on it is reached; nothing was changed"
        in done.stderr
    )
    with open_store(path, read_only=True) as con:
        assert run(con, "SELECT name FROM sources") == [("e",)]


def test_little_memory_is_named(folder):
    def fill_memory():
        with open_store(folder / "s.duckdb") as con:
            run(con, "SET memory_limit = '10MB'")
            run(con, "SELECT list(md5(range::VARCHAR) ORDER BY range) FROM range(3_000_000)")

    with pytest.raises(StoreError, match=r"s\.duckdb: memory ran out; nothing was changed"):
        fill_memory()


def test_a_mistake_in_the_program_is_none_of_the_file(folder):
    with pytest.raises(duckdb.BinderException), open_store(folder / "s.duckdb") as con:
        run(con, "SELECT nothing FROM sources")
