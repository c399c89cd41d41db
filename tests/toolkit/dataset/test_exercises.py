"""Config exercises: published like other rows, by licence, split, key and forgetting."""

import json

import pytest
import yaml
from datasets import load_dataset

from preceptor.toolkit.hub.dataset_folder import read_built

ESSAYS = [
    {
        "id": str(n),
        "userid": who,
        "text": f"{who} go to the {place} .",
        "edits": [[0, [[start, start + 2, "goes"]]]],
    }
    for n, (who, place, start) in enumerate(
        [("Ada", "school", 4), ("Ben", "cinema", 4), ("Cleo", "house", 5)]
    )
]
CARD = {
    "id": "c",
    "task": "mnemonic",
    "prompt": "candid",
    "completions": [{"id": "a", "content": "Can did."}, {"id": "b", "content": "A candid camera."}],
}
RECIPE = {
    "name": "ours",
    "configs": ["exercises"],
    "sources": ["essays", "cards"],
    "publish_under": "CC-BY-4.0",
    "privacy": {"look": False},
    "splits": {"train": 1, "validation": 0, "test": 0},
}


@pytest.fixture
def place(tmp_path, preceptor):
    def run(*command):
        done = preceptor(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ESSAYS))
    (tmp_path / "c.jsonl").write_text(json.dumps(CARD))
    (tmp_path / "x.yaml").write_text("name: x\nsources: [essays, cards]\n")
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(RECIPE))
    run("ingest", "bea-json", "e.jsonl", "--source", "essays", "--license", "CC-BY-4.0")
    run("ingest", "prompts", "c.jsonl", "--source", "cards", "--license", "MIT")
    run("exercises", "build", "x.yaml")
    return tmp_path


@pytest.fixture
def run(place, preceptor):
    def check(*command):
        done = preceptor(*command, cwd=place)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return check


def write(place, **changed):
    (place / "d.yaml").write_text(yaml.safe_dump(RECIPE | changed))


def test_datasets_loads_the_exercises_that_the_store_has(place, run):
    run("build", "d.yaml", "--out", "out")
    rows = load_dataset(str(place / "out"), "exercises", cache_dir=str(place / "cache"))["train"].to_list()
    cards = [row for row in rows if row["kind"] == "flashcard"]
    assert [row["explanations"] for row in cards] in (
        [["Can did.", "A candid camera."]],
        [["A candid camera.", "Can did."]],
    )
    cloze = {row["shown"]: row for row in rows if row["kind"] == "cloze"}
    assert set(cloze) == {f"{row['userid']} ____ to the {row['text'].split()[4]} ." for row in ESSAYS}
    assert {(row["answers"][0], row["license"], *row["sources"]) for row in cloze.values()} == {
        ("goes", "CC-BY-4.0", "essays")
    }
    assert len({row["group"] for row in cloze.values()}) == 3
    text = (place / "out" / "README.md").read_text()
    assert "| cloze | 3 | fills the gap |" in text
    assert "How the labels were made" not in text


def test_it_may_leave_and_its_gates_run_again(place, run):
    run("build", "d.yaml", "--out", "out")
    built = read_built(place / "out")
    assert built.rows["exercises"]["train"] == sum(built.manifest["counts"]["exercises"].values()) > 9


def test_it_is_published_loaded_back_and_found_after_somebody_is_forgotten(
    place, run, hub, client, preceptor
):
    run("build", "d.yaml", "--out", "out")
    done = client("publish", place / "out", "lab/tiny", "--tag", "v1")
    assert done.code == 0, done.stderr
    assert 'load_dataset("lab/tiny", "exercises", revision="v1")' in done.stdout
    assert "exercises/train.parquet" in hub.repo()["files"]
    assert preceptor("forget", "Ada", cwd=place).returncode == 0
    done = client("--store", place / "preceptor.duckdb", "publish", place / "out", "lab/tiny")
    assert done.code == 1
    assert "holds rows of people who were forgotten" in done.stderr


def test_why_goes_back_from_a_published_row(place, run):
    run("build", "d.yaml", "--out", "out")
    (row, *_) = [
        row
        for row in load_dataset(str(place / "out"), "exercises", cache_dir=str(place / "cache"))["train"]
        if row["kind"] == "choice"
    ]
    said = run("why", row["key"], "--dataset", "out")
    assert "e.jsonl:" in said
    assert "key: goes" in said
    assert "same rows, by the same recipe" in run("diff", "out", "out")


def test_a_licence_that_forbids_it_stops_the_build(place, run, preceptor):
    (place / "n.m2").write_text("S They is .\nA 1 2|||R:VERB:SVA|||are|||REQUIRED|||-NONE-|||0\n\n")
    run("ingest", "m2", "n.m2", "--source", "nc", "--license", "CC-BY-NC-4.0")
    (place / "x.yaml").write_text("name: x\nsources: [essays, cards, nc]\n")
    run("exercises", "build", "x.yaml")
    write(place, sources=[])
    done = preceptor("build", "d.yaml", "--out", "out", cwd=place)
    assert done.returncode == 1
    assert "CC-BY-NC-4.0 is non-commercial" in done.stderr
    write(place)
    run("build", "d.yaml", "--out", "out")


def test_personal_data_in_an_exercise_is_found(place, preceptor):
    pytest.importorskip("presidio_analyzer")
    card = CARD | {"completions": [{"id": "a", "content": "Ask ada@example.org."}]}
    (place / "c.jsonl").write_text(json.dumps(card))
    preceptor("ingest", "prompts", "c.jsonl", "--source", "cards", "--license", "MIT", "--replace", cwd=place)
    assert preceptor("exercises", "build", "x.yaml", cwd=place).returncode == 0
    write(place, privacy={})
    done = preceptor("build", "d.yaml", "--out", "out", cwd=place)
    assert done.returncode == 1
    assert "1 email" in done.stderr


def test_what_was_forgotten_is_found_in_the_dataset(place, run, preceptor):
    run("build", "d.yaml", "--out", "out")
    done = preceptor("forget", "Ada", cwd=place)
    assert "out" in done.stdout + done.stderr
    run("exercises", "build", "x.yaml")
    run("build", "d.yaml", "--out", "out")
    rows = load_dataset(str(place / "out"), "exercises", cache_dir=str(place / "again"))["train"]
    assert not [row for row in rows if "Ada" in row["shown"]]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"task": "mnemonic"}, "task: has no effect on config exercises"),
        ({"configs": ["exercises", "signals"]}, "signals is about the rows of other configs"),
        ({"sources": ["cards"]}, None),
        ({"sources": ["other"]}, "the store has no exercises of other alone"),
    ],
)
def test_what_cannot_be_is_named(place, run, preceptor, changed, says):
    (place / "o.m2").write_text("S All well .\nA -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0\n\n")
    run("ingest", "m2", "o.m2", "--source", "other", "--license", "MIT")
    write(place, **changed)
    done = preceptor("build", "d.yaml", "--out", "out", cwd=place)
    assert done.returncode == (2 if says else 0), done.stderr
    assert (says or "") in done.stderr


def test_pairs_and_exercises_stand_in_one_dataset(place, run):
    write(
        place,
        configs=["preference", "exercises"],
        corrections={},
        sources=["essays"],
        splits=RECIPE["splits"],
    )
    run("build", "d.yaml", "--out", "out")
    counts = json.loads((place / "out" / "manifest.json").read_text())["counts"]
    assert counts["preference"]["train"] == 3
    assert counts["exercises"]["train"] > 6
