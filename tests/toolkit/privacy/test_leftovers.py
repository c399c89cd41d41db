"""What a killed command leaves does not outlive it: the next command on the store removes it, wherever it is."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from waiting import kill_in

from preceptor.toolkit.store.places import clear_places, list_places, note_place

WHO = "Zwaluwstaart-7741"
SAID = b"hedgehogs"
RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "splits": {"shared": True},
    "publish_under": "CC-BY-4.0",
    "privacy": {"look": False},
}


def holding(top, *but):
    """The files below a folder with what the person said."""
    return {
        file.relative_to(top).as_posix()
        for file in top.rglob("*")
        if file.is_file() and file.name not in but and SAID in file.read_bytes()
    }


def hidden(top):
    return sorted(entry.relative_to(top).as_posix() for entry in top.rglob(".*"))


@pytest.fixture
def folder(tmp_path, preceptor, monkeypatch):
    """A store with what a person said, and nothing else on the disk."""
    tmp_path = tmp_path / "project"
    (tmp_path / "tmp").mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    essays = [
        {
            "id": "1",
            "userid": WHO,
            "text": "My aunt keep nine hedgehogs .",
            "edits": [[0, [[8, 12, "keeps"]]]],
        },
        {"id": "2", "userid": "anna", "text": "The cat keep a mat .", "edits": [[0, [[8, 12, "keeps"]]]]},
    ]
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE))
    (tmp_path / "essays.jsonl").write_text("".join(json.dumps(essay) + "\n" for essay in essays))
    done = preceptor(
        "ingest", "bea-json", "essays.jsonl", "--source", "e", "--license", "CC-BY-4.0", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "essays.jsonl").unlink()
    return tmp_path


def forget(preceptor, folder, *more):
    done = preceptor("forget", WHO, *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_of_a_killed_build_nothing_stays(folder, preceptor):
    out = folder.parent / "elsewhere" / "a"

    def look():
        before = hidden(out.parent)
        assert len(before) == 1
        refused = preceptor("status", cwd=folder)
        assert "is open in another program" in refused.stderr
        assert hidden(out.parent) == before  # the build is still at work

    kill_in(
        "toolkit.dataset.build:render_card", "build", "recipe.yaml", "--out", out, cwd=folder, meanwhile=look
    )
    assert hidden(out.parent)
    done = subprocess.run(
        [sys.executable, "-m", "preceptor.toolkit.cli.main", "status"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("note: "))
    assert said.startswith(f"note: removed {out.parent}/.a.partial-")
    assert said.endswith(", which a command that was killed had left")
    assert list(out.parent.iterdir()) == []
    assert hidden(folder) == []


@pytest.mark.parametrize("moved", [False, True], ids=["before", "after"])
def test_a_build_that_was_killed_between_two_renames_is_put_back_or_removed(folder, preceptor, moved):
    done = preceptor("build", "recipe.yaml", "--out", "dist/a", cwd=folder)
    assert done.returncode == 0, done.stderr
    aside, manifest = folder / "dist" / ".a.replaced", (folder / "dist" / "a" / "manifest.json").read_bytes()
    shutil.copytree(folder / "dist" / "a", aside)
    if not moved:
        shutil.rmtree(folder / "dist" / "a")
    note_place(folder / "preceptor.duckdb", folder / "dist" / "a", "", folder / "dist" / ".a.partial-gone")
    (said,) = clear_places(folder / "preceptor.duckdb")
    assert said.startswith(f"removed {aside}" if moved else f"put back {folder / 'dist' / 'a'}")
    assert not aside.exists()
    assert (folder / "dist" / "a" / "manifest.json").read_bytes() == manifest
    assert "still holds traces: dist/a" in forget(preceptor, folder)


def test_a_dataset_of_which_the_store_could_not_be_told_is_found(folder, preceptor):
    out = folder.parent / "elsewhere" / "a"
    kill_in("toolkit.dataset.build:remember_completions", "build", "recipe.yaml", "--out", out, cwd=folder)
    assert preceptor("status", cwd=folder).returncode == 0
    assert f"still holds traces: {out} (not known what: its build was killed" in forget(preceptor, folder)
    assert preceptor("build", "recipe.yaml", "--out", out, cwd=folder).returncode == 0
    assert "still holds" not in forget(preceptor, folder)
    assert holding(folder.parent) == set()


def test_of_a_killed_forget_nothing_stays(folder, preceptor):
    kill_in("toolkit.store.connection:os.fsync", "forget", WHO, cwd=folder)
    assert len(hidden(folder)) == 1
    assert "was forgotten before" in forget(preceptor, folder)
    assert holding(folder) == set()
    assert hidden(folder) == []


@pytest.fixture
def inputs(tmp_path):
    """Inputs that need temporary files to be read: {format: (paths, where it is killed)}."""
    text = f"My aunt keeps nine {SAID.decode()} ."
    md5 = hashlib.md5(text.encode()).hexdigest()
    (tmp_path / "c4").mkdir()
    (tmp_path / "c4" / "edits.tsv").write_text(f"{md5}\t8\t13\tkeep\n")
    (tmp_path / "c4" / "target_sentences.tsv").write_text(f"{md5}\t{text}\n")
    with zipfile.ZipFile(tmp_path / "a.apkg", "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("collection.anki2", SAID * 1000)
    return {
        "c4-200m": (tmp_path / "c4", "toolkit.ingest.gec.c4_200m:_joined"),
        "anki": (tmp_path / "a.apkg", "toolkit.ingest.logs.anki:_read_items"),
    }


@pytest.mark.parametrize("format", ["c4-200m", "anki"])
def test_of_a_killed_ingest_nothing_stays(folder, preceptor, inputs, format):
    path, where = inputs[format]
    more = ["--learner", WHO] if format == "anki" else []
    seen = []
    kill_in(
        where,
        "ingest",
        format,
        path,
        "--source",
        "x",
        *more,
        cwd=folder,
        meanwhile=lambda: seen.extend(hidden(folder)),
    )
    assert len(seen) == 1
    assert seen[0].startswith(".preceptor.duckdb.partial-")
    assert os.listdir(folder / "tmp") == []  # noqa: PTH208
    assert (folder / seen[0]).stat().st_mode & 0o777 == 0o700
    assert list((folder / seen[0]).iterdir())
    forget(preceptor, folder)
    assert hidden(folder) == []
    assert holding(folder) == set()


def test_notes_of_a_stranger_remove_nothing_but_leftovers(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "text").write_text("x")
    store = folder / "preceptor.duckdb"
    lines = [
        {"out": str(mine), "what": "", "partial": mine.name},
        {"out": str(tmp_path), "what": "", "partial": "mine"},
        {"out": str(mine / "x"), "what": "export", "partial": "../mine"},
        {"out": str(tmp_path / "x"), "what": "", "partial": ".x.partial-/../mine"},
        {"out": 1, "what": [], "partial": None},
        {"no": "place"},
        [],
    ]
    notes = folder / ".preceptor.duckdb.places"
    notes.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"out": "cut')
    assert clear_places(store) == []
    assert (mine / "text").read_text() == "x"
    assert list_places(store) == {}
    assert not notes.exists()
