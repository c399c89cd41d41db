"""Two datasets of one store share no key, so nobody can join the people in them; their maker still can."""

import json
import re

import polars as pl
import pytest

from preceptor.schemas.support.files import hash_file
from preceptor.toolkit.store.connection import open_store, query

TURN = [{"user": "student", "text": "2 and 2 is 5?"}]
RECIPE = {
    "pairs": {"policy": "expert-over-novice"},
    "configs": ["preference", "sft", "unpaired", "signals"],
    "splits": {"train": 1, "validation": 0, "test": 0, "shared": True},
    "privacy": {"look": False, "learners": 1},
}
KEYED = (
    "key",
    "group",
    "prompt",
    "completion",
    "other",
    "chosen_completion",
    "rejected_completion",
    "person",
)


@pytest.fixture
def project(tmp_path, preceptor):
    """A store with votes of named people; `run` runs a command in its folder, `tables` reads a dataset."""
    dialogues = [
        {
            "c_id": f"1_{n}",
            "c_h": [{"user": "student", "text": f"{n} and {n} is {n}?"}],
            "c_r": [{"user": "tutor", "text": f"No, not {n}."}],
            "c_r_": [{"user": "tutor", "text": f"Why {n}? Count on your fingers, once more."}],
            "e": "guess",
        }
        for n in range(20, 32)
    ]
    (tmp_path / "b.json").write_text(json.dumps(dialogues))

    def run(*command, code=0):
        done = preceptor(*command, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    run("ingest", "bridge", "b.json", "--source", "b", "--license", "CC-BY-4.0")
    with open_store(tmp_path / "preceptor.duckdb", read_only=True) as con:
        of = query(con, "SELECT prompt, list(ref ORDER BY origin) AS refs FROM completions GROUP BY 1")[
            "refs"
        ]
    votes = ["completion_a,completion_b,choice,annotator"]
    votes += [f"{a},{b},a,ann{n % 3}" for n, (a, b) in enumerate(of.to_list())]
    (tmp_path / "v.csv").write_text("\n".join(votes) + "\n")
    run("ingest", "votes", "v.csv", "--source", "v", "--about", "b", "--license", "CC-BY-4.0")
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(RECIPE | {"name": name}))
        run("build", f"{name}.yaml", "--out", f"dist/{name}")
    run.folder = tmp_path
    return run


def values(folder):
    """Every value of a column of keys or people, and the digits of keys in the card and the manifest."""
    found = set()
    for file in folder.rglob("*.parquet"):
        rows = pl.read_parquet(file)
        for name in {*KEYED} & {*rows.columns}:
            if rows.schema[name] == pl.String and not (
                name in {"prompt", "completion"} and "key" not in rows.columns
            ):
                found |= {value for value in rows[name].unique().to_list() if value is not None}
    return found


def said(folder):
    text = (folder / "README.md").read_text() + (folder / "manifest.json").read_text()
    return set(re.findall(r"\b[0-9a-f]{16,20}\b", text))


def test_two_datasets_share_no_key_and_no_order_and_neither_has_one_of_the_store(project):
    one, two = (project.folder / "dist" / name for name in ("one", "two"))
    assert len(values(one)) == len(values(two)) > 60
    assert not values(one) & values(two)
    with open_store(project.folder / "preceptor.duckdb", read_only=True) as con:
        tables = ("prompts", "completions", "votes", "annotators")
        kept = {key for name in tables for key in query(con, f"SELECT key FROM {name}")["key"]}
        kept |= set(query(con, "SELECT pseudonym FROM annotators")["pseudonym"])
        kept |= set(query(con, 'SELECT "group" FROM prompts')["group"])
    for folder in (one, two):
        assert not values(folder) & kept
        assert not {key[:16] for key in kept} & {key[:16] for key in said(folder)}
        assert not {digits for digits in said(one) & said(two) if digits in kept}
    orders = [pl.read_parquet(f / "preference" / "train.parquet")["chosen"].to_list() for f in (one, two)]
    assert sorted(map(str, orders[0])) == sorted(map(str, orders[1]))
    assert orders[0] != orders[1]


def test_the_same_dataset_built_again_has_the_same_keys(project):
    before = hash_file(project.folder / "dist" / "one" / "manifest.json")
    project("build", "one.yaml", "--out", "dist/again")
    assert hash_file(project.folder / "dist" / "again" / "manifest.json") == before


def test_with_another_key_file_nothing_is_built_and_nothing_traced(project, tmp_path, monkeypatch):
    key = pl.read_parquet(project.folder / "dist" / "one" / "preference_meta" / "train.parquet")["key"][0]
    other = tmp_path / "other.key"
    other.write_text("ab" * 32)
    other.chmod(0o600)
    monkeypatch.setenv("PRECEPTOR_KEY", str(other))
    assert "another key" in project("build", "one.yaml", "--out", "dist/b", code=2)
    assert "another key" in project("why", key, code=2)


def test_a_row_is_traced_from_the_key_that_its_dataset_has(project):
    folder = project.folder / "dist" / "two"
    meta = pl.read_parquet(folder / "preference_meta" / "train.parquet")
    text = pl.read_parquet(folder / "preference" / "train.parquet")
    for key, chosen in zip(meta["key"], text["chosen"], strict=True):
        found = json.loads(project("why", key[:14], "--json"))
        with open_store(project.folder / "preceptor.duckdb", read_only=True) as con:
            stored = dict(query(con, "SELECT key, content FROM completions").rows())
        assert next(stored[one["key"]] for one in found["completions"]) == chosen[-1]["content"]
        assert [one["kind"] for one in found["signals"]] == ["vote"]
    (signal, *_) = pl.read_parquet(folder / "signals" / "train.parquet")["key"]
    assert project("why", signal).count("<- this one") == 1


def test_datasets_of_different_names_are_compared_by_texts(project):
    said = project("diff", "dist/one", "dist/two")
    assert "rows were compared by their texts" in said
    found = json.loads(project("diff", "dist/one", "dist/two", "--json"))
    counts = {one["config"]: one["counts"] for one in found["configs"]}
    assert counts["preference"] == {
        "same": 12,
        **dict.fromkeys(("added", "removed", "flipped", "moved", "reworded"), 0),
    }
    assert "the same rows" in project("diff", "dist/one", "dist/one")


def test_a_forgotten_person_is_found_in_datasets_of_every_name_also_of_one_not_known_then(project):
    moved = project.folder / "elsewhere"
    (project.folder / "dist" / "two").rename(moved)
    told = project("forget", "ann1")
    assert "still holds traces: dist/one (signals in 4 rows)" in told
    assert "dist/two, which may hold signals" in told
    assert "elsewhere (signals in 4 rows)" in project("forget", "ann1", "--look-in", ".")
