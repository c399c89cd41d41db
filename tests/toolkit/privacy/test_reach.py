"""`forget` names every other place that may hold rows of the person; with --everywhere it removes some."""

import hashlib
import json

import pytest

from preceptor.toolkit.store.connection import open_store, run
from preceptor.toolkit.store.places import note_place

WHO = "Zwaluwstaart-7741"
RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "splits": {"shared": True},
    "privacy": {"look": False},
}


def state(folder, name, dataset, **more):
    """Write a file that states the dataset it was made from."""
    folder.mkdir(parents=True)
    (folder / name).write_text(json.dumps({"dataset": {"name": "gec", "digest": dataset}}))
    for other in more:
        (folder / other.replace("_", ".")).touch()


@pytest.fixture
def folder(tmp_path, preceptor, monkeypatch):
    """A store, a dataset with rows of the person and one without, and what was made of both."""
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_DATASETS_CACHE", raising=False)
    edits = [[0, [[8, 12, "keeps"]]]]
    for name, who, text in (("a", WHO, "My aunt keep hedgehogs ."), ("b", "anna", "The cat keep a mat .")):
        essay = {"id": name, "userid": who, "text": text, "edits": edits}
        (home / f"{name}.jsonl").write_text(json.dumps(essay) + "\n")
        (home / f"{name}.yaml").write_text(json.dumps(RECIPE | {"name": name, "sources": [name]}))
        for command in (
            ("ingest", "bea-json", f"{name}.jsonl", "--source", name),
            ("build", f"{name}.yaml", "--out", f"dist/{name}"),
        ):
            done = preceptor(*command, cwd=home)
            assert done.returncode == 0, done.stderr
    done = preceptor("export", "m2", "--source", "a", "--out", tmp_path / "other" / "a.m2", cwd=home)
    assert done.returncode == 2  # no such folder
    assert preceptor("export", "m2", "--source", "a", "--out", tmp_path / "a.m2", cwd=home).returncode == 0
    digests = {
        name: hashlib.sha256((home / "dist" / name / "manifest.json").read_bytes()).hexdigest()
        for name in ("a", "b")
    } | {"gone": "0" * 64}
    for name, digest in digests.items():
        state(home / "models" / name, "preceptor.json", digest)
        state(home / "dist" / f"eval-{name}", "metrics.json", digest, answers_jsonl=1)
        state(home / "dist" / f".run-{name}.unfinished", "run.json", digest, lock=1)
        state(tmp_path / "hf" / "datasets" / f"preceptor-{digest[:16]}", "x.json", "")
    (home / "server").mkdir()
    (home / "server" / "argilla.db").touch()
    (home / "other.duckdb").touch()
    with open_store(home / "preceptor.duckdb") as con:
        run(con, "UPDATE sources SET reader = 'annotate', url = 'http://127.0.0.1:6900' WHERE name = 'b'")
    note_place(home / "preceptor.duckdb", "https://huggingface.co/datasets/lab/a", "published dataset")
    (home / "form.csv").write_text("x")
    note_place(home / "preceptor.duckdb", home / "form.csv", "form")
    return home


def told(preceptor, folder, *more):
    done = preceptor("forget", WHO, *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def named(lines, said="not reached: "):
    return {line.removeprefix(said).split(" (")[0] for line in lines if line.startswith(said)}


def test_every_place_is_named_with_what_to_do(folder, preceptor):
    cache, beside = folder.parent / "hf" / "datasets", str(folder.parent / "a.m2")
    a = next(path for path in cache.iterdir() if "0" * 16 not in path.name and is_of(path, folder, "a"))
    everything = {
        "https://huggingface.co/datasets/lab/a",
        "http://127.0.0.1:6900",
        "form.csv",
        beside,
        "server",
        "other.duckdb",
        "dist/eval-a",
        "dist/eval-gone",
        "dist/.run-a.unfinished",
        "dist/.run-gone.unfinished",
        str(a),
        str(cache / f"preceptor-{'0' * 16}"),
    }
    lines = told(preceptor, folder, "--look-in", "models")
    assert named(lines) == everything | {"models/a", "models/gone"}
    assert all("; " in line for line in lines if line.startswith("not reached"))
    assert named(told(preceptor, folder)) == everything  # forgotten before
    (said,) = (line for line in lines if "models/a" in line)
    assert said == (
        f"not reached: models/a (model, made from {folder / 'dist' / 'a'}); train it again on the new dataset"
    )


def is_of(path, folder, name):
    content = (folder / "dist" / name / "manifest.json").read_bytes()
    return path.name == f"preceptor-{hashlib.sha256(content).hexdigest()[:16]}"


def test_everywhere_removes_what_can_be_made_again_and_nothing_else(folder, preceptor):
    (folder / "dist" / "a" / "notes.txt").write_text("my own")
    lines = told(preceptor, folder, "--everywhere")
    removed = named(lines, "removed: ")
    assert "dist/a" in removed
    assert len(removed) == 6  # a.m2, two caches, two unfinished runs
    assert [path.name for path in (folder / "dist" / "a").rglob("*")] == ["notes.txt"]
    assert not (folder.parent / "a.m2").exists()
    assert sorted(path.name for path in (folder / "dist").iterdir()) == [
        ".run-b.unfinished",
        "a",
        "b",
        "eval-a",
        "eval-b",
        "eval-gone",
    ]
    assert len(list((folder.parent / "hf" / "datasets").iterdir())) == 1
    assert (folder / "form.csv").exists()
    assert (folder / "dist" / "b" / "manifest.json").exists()
    assert not any(line.startswith("still holds") for line in lines)
    assert removed.isdisjoint(named(told(preceptor, folder)))
