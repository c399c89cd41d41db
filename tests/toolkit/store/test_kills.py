"""kill -9 at any moment of a command: the store is as before or as after it, and nothing else is left."""

import json
import os
import random
import shutil
import subprocess
import sys

import pytest
from waiting import kill_at

from preceptor.schemas.support.files import hash_file
from preceptor.schemas.tables import TABLES
from preceptor.toolkit.store.connection import open_store, run

KILLS = int(os.environ.get("KILLS", "6"))  # of each command; KILLS=26 for a hundred in all
WHO = "Zwaluwstaart-7741"
RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "sources": ["essays"],
    "leaks": {"drop": True},
    "splits": {"shared": True},
    "privacy": {"look": False},
}
COMMANDS = {
    "ingest": ("ingest", "bea-json", "more.jsonl", "--source", "more"),
    "build": ("build", "recipe.yaml", "--out", "other"),
    "forget": ("forget", WHO),
    "fuse": ("fuse",),
}


def write_essays(path, count, who):
    edits = [[0, [[8, 12, "keeps"]]]]
    path.write_text(
        "".join(
            json.dumps({"id": f"{path.stem}{n}", "userid": who(n), "text": text, "edits": edits}) + "\n"
            for n in range(count)
            for text in [f"My aunt keep {n} hedgehogs ."]
        )
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory, preceptor):
    """A store with the essays of two people and votes, and a dataset."""
    folder = tmp_path_factory.mktemp("begun")
    write_essays(folder / "essays.jsonl", 4000, lambda n: WHO if n % 2 else "anna")
    write_essays(folder / "more.jsonl", 20_000, lambda n: "ben")
    (folder / "recipe.yaml").write_text(json.dumps(RECIPE))
    turns = [
        {
            "prompt": f"{n} x 8?",
            "chosen": f"What is {n} x 4?",
            "rejected": f"{n * 8}.",
        }
        for n in range(40)
    ]
    (folder / "chat.jsonl").write_text("".join(json.dumps(turn) + "\n" for turn in turns))
    for command in (
        ("ingest", "bea-json", "essays.jsonl", "--source", "essays"),
        ("ingest", "chat", "chat.jsonl", "--source", "chat"),
        ("build", "recipe.yaml", "--out", "dist"),
    ):
        done = preceptor(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def count_rows(folder):
    with open_store(folder / "preceptor.duckdb") as con:
        return tuple(run(con, f'SELECT count(*) FROM "{name}"')[0][0] for name in TABLES)


def start(folder, command):
    return subprocess.Popen(
        [sys.executable, "-m", "preceptor.toolkit.cli.main", *COMMANDS[command]],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def check_dataset(folder):
    """A dataset is whole: its files are those of its manifest, with their digests."""
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert files.pop("manifest.json")
    assert {name: hash_file(path) for name, path in files.items()} == manifest["files"]


@pytest.mark.minutes
@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_leaves_all_or_nothing(begun, preceptor, tmp_path, command, record_property):
    whole = shutil.copytree(begun, tmp_path / "whole")
    before = count_rows(whole)
    _, status, used = os.wait4(start(whole, command).pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    seconds, after = used.ru_utime + used.ru_stime, count_rows(whole)
    rng, killed, ends = random.Random(command), 0, {before: 0, after: 0}
    for n in range(KILLS):
        folder = shutil.copytree(begun, tmp_path / str(n))
        killed += kill_at(start(folder, command), seconds * (0.3 + 0.7 * (n + rng.random()) / KILLS))
        assert preceptor("status", cwd=folder).returncode == 0
        left = count_rows(folder)
        assert left in ends, (command, n)
        ends[left] += 1
        assert [path.name for path in folder.glob(".*") if path.name != ".preceptor.duckdb.places"] == []
        assert not (folder / "preceptor.duckdb.tmp").exists()
        for dataset in ("dist", "other"):
            if (folder / dataset).exists() or dataset == "dist":
                check_dataset(folder / dataset)
        if command == "forget":
            assert preceptor(*COMMANDS["forget"], cwd=folder).returncode == 0
            assert b"aunt keep 3999 hedgehogs" not in (folder / "preceptor.duckdb").read_bytes()
        shutil.rmtree(folder)
    record_property("killed", killed)
    said = f"{killed} of {KILLS} killed in time; as before {ends[before]}, as after {ends[after]}"
    print(f"{command}: {said}")  # noqa: T201
    assert killed >= KILLS // 2
