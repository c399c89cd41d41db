"""Datasets that hold rows of a forgotten person are found, whatever became of their source and folder."""

import json
import shutil

import polars as pl
import pytest

from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.privacy.traces import remember_fit
from preceptor.toolkit.store.connection import open_store, query

WHO = "Zwaluwstaart-7741"
RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "configs": ["preference", "sft"],
    "splits": {"shared": True},
    "publish_under": "CC-BY-4.0",
    "privacy": {"look": False},
}
VOTED = {
    "name": "votes",
    "pairs": {"policy": "expert-over-novice"},
    "configs": ["preference", "signals"],
    "privacy": {"learners": 1},
}


def essay(id, learner, text, at):
    edits = [[0, [[at, at + 4, "keeps", "R:OTHER"]]]]
    return json.dumps({"id": id, "userid": learner, "text": text, "edits": edits}) + "\n"


@pytest.fixture
def folder(tmp_path, preceptor):
    """A store with the essays of two people, and the dataset dist/a."""
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE))
    (tmp_path / "essays.jsonl").write_text(
        essay("1", WHO, "My aunt keep nine hedgehogs .", 8)
        + essay("2", "anna", "The cat keep a mat .", 8)
        + essay("3", WHO, "An owl keep an orange .", 7)
    )
    (tmp_path / "later.jsonl").write_text(essay("2", "anna", "The cat keep a mat .", 8))
    source = ("--source", "essays", "--license", "CC-BY-4.0")
    for command in (
        ("ingest", "bea-json", "essays.jsonl", *source),
        ("build", "recipe.yaml", "--out", "dist/a"),
    ):
        done = preceptor(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture
def replaced(folder, preceptor):
    """The same after the source was replaced by one without the person."""
    done = preceptor(
        "ingest",
        "bea-json",
        "later.jsonl",
        "--source",
        "essays",
        "--replace",
        "--license",
        "CC-BY-4.0",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder


def told(preceptor, folder, *more, who=WHO):
    """What `forget` says of datasets."""
    done = preceptor("forget", who, *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("still holds", "not found"))]


def test_a_dataset_is_found_though_the_person_s_rows_left_the_store_before(replaced, preceptor):
    rest = "(texts in 4 rows); build it again, and publish that"
    assert told(preceptor, replaced) == [f"still holds traces: dist/a {rest}"]
    with open_store(replaced / "preceptor.duckdb", read_only=True) as con:
        assert query(con, "SELECT count(DISTINCT person) FROM traces").item() == 1  # the other one


def test_whose_rows_are_in_no_dataset_is_not_named(replaced, preceptor):
    done = preceptor("build", "recipe.yaml", "--out", "dist/a", cwd=replaced)
    assert done.returncode == 0, done.stderr
    assert told(preceptor, replaced) == []
    assert told(preceptor, replaced) == []  # forgotten before


def test_the_same_bytes_in_two_folders_are_found_in_both(folder, preceptor):
    assert preceptor("build", "recipe.yaml", "--out", "dist/b", cwd=folder).returncode == 0
    elsewhere = folder / "other" / "c"
    assert preceptor("build", "recipe.yaml", "--out", elsewhere, cwd=folder).returncode == 0
    found = [line.split(" (")[0] for line in told(preceptor, folder)]
    assert found == [f"still holds traces: {name}" for name in ("dist/a", "dist/b", "other/c")]


def test_a_build_is_found_from_any_working_folder(replaced, preceptor, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = preceptor("--store", replaced / "preceptor.duckdb", "forget", WHO, cwd=elsewhere)
    assert f"still holds traces: {replaced / 'dist' / 'a'} (texts in 4 rows)" in done.stdout


def test_a_renamed_folder_is_found_and_one_that_was_moved_when_it_is_named(
    replaced, preceptor, tmp_path_factory
):
    (replaced / "dist" / "a").rename(replaced / "dist" / "renamed")
    assert [line.split(" (")[0] for line in told(preceptor, replaced)] == ["still holds traces: dist/renamed"]
    moved = tmp_path_factory.mktemp("moved") / "deep" / "inside"
    shutil.move(replaced / "dist" / "renamed", moved)
    (said,) = told(preceptor, replaced)
    assert said == (
        "not found: dist/a, which may hold texts; if it was moved, name the folder that it is in now: --look-in DIR"
    )
    (said,) = told(preceptor, replaced, "--look-in", moved.parent.parent)
    assert said.startswith(f"still holds traces: {moved} (texts in 4 rows)")
    assert preceptor("forget", WHO, "--look-in", "nowhere", cwd=replaced).returncode == 2


def test_a_folder_that_a_later_build_took_is_not_missed(folder, preceptor):
    assert preceptor("forget", "anna", cwd=folder).returncode == 0
    for _ in range(2):
        assert preceptor("build", "recipe.yaml", "--out", "dist/a", cwd=folder).returncode == 0
    assert told(preceptor, folder, who="anna") == []
    assert [line.split(" (")[0] for line in told(preceptor, folder)] == ["still holds traces: dist/a"]


def test_who_judged_is_found_in_the_judgements_of_a_dataset(tmp_path, preceptor):
    turn = [{"user": "student", "text": "2 and 2 is 5?"}]
    tutor = {"c_r": [{"user": "tutor", "text": "No."}], "c_r_": [{"user": "tutor", "text": "Why 5?"}]}
    (tmp_path / "b.json").write_text(json.dumps([{"c_id": "1_1", "c_h": turn, **tutor, "e": "guess"}]))
    (tmp_path / "r.yaml").write_text(json.dumps(VOTED))
    assert preceptor("ingest", "bridge", "b.json", "--source", "b", cwd=tmp_path).returncode == 0
    with open_store(tmp_path / "preceptor.duckdb", read_only=True) as con:
        refs = query(con, "SELECT ref FROM completions ORDER BY origin")["ref"].to_list()
    votes = f"completion_a,completion_b,choice,annotator\n{refs[0]},{refs[1]},a,{WHO}\n"
    (tmp_path / "v.csv").write_text(votes)
    (tmp_path / "none.csv").write_text(votes.replace(WHO, "anna"))
    for command in (
        ("ingest", "votes", "v.csv", "--source", "v", "--about", "b"),
        ("build", "r.yaml", "--out", "dist"),
        ("ingest", "votes", "none.csv", "--source", "v", "--about", "b", "--replace"),
    ):
        done = preceptor(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "dist" / "signals" / "*.parquet")["person"].n_unique() == 1
    assert told(preceptor, tmp_path, who="anna") == []
    (said,) = told(preceptor, tmp_path)
    assert said.startswith("still holds traces: dist (signals in 1 row)")


def test_a_fit_remembers_whom_it_learnt_from(store, tmp_path):
    """Also of people whose votes left the store since."""
    store.execute(
        "INSERT INTO annotators BY NAME SELECT 'k1' AS key, '5f0c2ab1d94e77a3' AS pseudonym, 'human' AS kind"
    )
    store.execute(
        """INSERT INTO votes BY NAME SELECT 'v1' AS key, 'v' AS source, 'c1' AS completion_a, 'c2' AS completion_b,
        'a' AS choice, 'k1' AS annotator, 0 AS n, 'v.csv' AS path, 1 AS line"""
    )
    store.execute(
        "INSERT INTO effectiveness SELECT 'e1', 'fit-1', 'c1', 0, 1, 0, 0, 0, 1, 0, 1, NULL, 1, 0, 0"
    )
    remember_fit(store, "fit-1")
    assert query(store, "SELECT person, kind, ref FROM traces").rows() == [
        ("5f0c2ab1d94e77a3", "fit", "fit-1")
    ]
    store.execute("DELETE FROM votes")
    meta = tmp_path / "d" / "preference_meta"
    meta.mkdir(parents=True)
    pl.DataFrame({"key": ["r"], "fit": ["fit-1"]}).write_parquet(meta / "train.parquet")
    manifest = {"recipe": {"name": "n"}, "files": {}, "gates": [], "counts": {}}
    (tmp_path / "d" / "manifest.json").write_text(json.dumps(manifest))
    done = forget(store, "5f0c2ab1d94e77a3", [tmp_path])
    assert done.traces.found == [(tmp_path / "d", "labels learnt from the person's signals in 1 row")]


def test_a_table_that_cannot_be_read_is_named(replaced, preceptor):
    (table,) = (replaced / "dist" / "a" / "sft_meta").glob("train.parquet")
    table.write_bytes(b"PAR1")
    assert told(preceptor, replaced) == [
        "still holds traces: dist/a (not known what: train.parquet cannot be read); build it again, and publish that"
    ]
