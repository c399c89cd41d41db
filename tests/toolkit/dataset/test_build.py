"""Build: gates that stop it, folders that appear whole, the same bytes twice."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from problems import restore_keys

from preceptor.schemas.errors import GateError, RecipeError, StoreError
from preceptor.schemas.recipe import Recipe
from preceptor.schemas.support.files import make_whole_folder, write_text
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.store.connection import open_store, query, run

pytestmark = pytest.mark.slow


@pytest.fixture
def fused(demo, tmp_path):
    """A store with a fit, of one's own."""
    path = tmp_path / "s.duckdb"
    shutil.copy(demo.out / "preceptor.duckdb", path)
    with open_store(path) as con:
        yield con


def recipe(**keys):
    return Recipe.model_validate({"name": "x", **keys})


def test_two_builds_have_the_same_bytes(fused, tmp_path):
    one = build(fused, recipe(), tmp_path / "one")
    two = build(fused, recipe(), tmp_path / "two")
    assert one.digests == two.digests
    assert (tmp_path / "one/manifest.json").read_bytes() == (tmp_path / "two/manifest.json").read_bytes()
    assert query(fused, "SELECT count(*) AS n FROM builds WHERE name = 'x'")["n"].item() == 2  # a folder each


def test_an_unconverged_fit_is_refused_and_nothing_is_written(fused, tmp_path):
    run(
        fused,
        """UPDATE fits SET diagnostics = json_merge_patch(diagnostics,
        '{"converged": false, "advice": "try more"}')""",
    )
    with pytest.raises(GateError, match=r"convergence: fit .* did not converge: try more"):
        build(fused, recipe(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_terms_that_a_source_forbids_stop_the_build(fused, tmp_path):
    run(fused, "UPDATE sources SET license = 'CC-BY-NC-4.0' WHERE name = 'sample-votes'")
    with pytest.raises(
        GateError, match=r"licence: cannot publish under MIT: .* CC-BY-NC-4.0 is non-commercial"
    ):
        build(fused, recipe(publish_under="MIT"), tmp_path / "out")
    build(fused, recipe(publish_under="CC-BY-NC-4.0"), tmp_path / "out")
    run(fused, "UPDATE sources SET license = 'CC-BY-SA-4.0' WHERE name = 'sample-votes'")
    with pytest.raises(GateError, match="must keep its own licence"):
        build(fused, recipe(publish_under="MIT"), tmp_path / "out")
    run(fused, "UPDATE sources SET license = 'NOASSERTION' WHERE name = 'sample-votes'")
    with pytest.raises(GateError, match="may not be passed on"):
        build(fused, recipe(publish_under="MIT"), tmp_path / "out")
    build(fused, recipe(), tmp_path / "local")
    assert "NOT FOR PUBLICATION" in (tmp_path / "local/README.md").read_text()


def test_one_prompt_in_two_groups_is_a_leak(fused, tmp_path):
    run(
        fused,
        """UPDATE prompts SET messages = (SELECT any_value(messages) FROM prompts WHERE task = 'gec')
        WHERE task = 'gec'""",
    )
    with pytest.raises(
        GateError, match=r"leaks: \d+ rows leak into what they are measured by, the first: preference/train"
    ):
        build(
            fused, recipe(task="gec", splits={"train": 0.5, "validation": 0, "test": 0.5}), tmp_path / "out"
        )


def test_a_recipe_that_leaves_nothing_says_why(fused, tmp_path):
    with pytest.raises(GateError, match="no pair is left"):
        build(fused, recipe(pairs={"eligible": "p > 2"}), tmp_path / "out")
    with pytest.raises(RecipeError, match="task: nothing: no task of that name with prompts"):
        build(fused, recipe(task="nothing"), tmp_path / "out")


def test_plain_format_refuses_dialogues_and_takes_single_turns(fused, tmp_path):
    with pytest.raises(GateError, match="format: plain takes single-turn prompts"):
        build(fused, recipe(format="plain"), tmp_path / "out")
    build(fused, recipe(format="plain", task="mnemonic", instruction="Do: {prompt} Now."), tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out/preference/*.parquet")
    assert rows.schema == {"prompt": pl.String, "chosen": pl.String, "rejected": pl.String}
    assert rows["prompt"].str.starts_with("Do: Give a mnemonic").all()
    assert rows["prompt"].str.ends_with(" Now.").all()


def test_policies_and_confidence(fused, tmp_path):
    counts = {}
    for policy in ("best-worst", "all"):
        for confidence in (0.6, 0.9):
            keys = {"policy": policy, "min_confidence": confidence}
            counts[policy, confidence] = sum(
                build(fused, recipe(pairs=keys), tmp_path / "out").counts["preference"].values()
            )
            meta = pl.read_parquet(tmp_path / "out/preference_meta/*.parquet")
            assert meta["p"].min() >= confidence
            if policy == "best-worst":
                means = query(
                    fused,
                    "SELECT c.prompt, e.completion, e.mean FROM effectiveness e "
                    "JOIN completions c ON c.key = e.completion",
                )
                best = means.sort("mean").group_by("prompt").agg(pl.col("completion").last())
                chosen = restore_keys(fused, meta, recipe().name)["chosen_completion"]
                assert set(chosen) <= set(best["completion"])
    assert counts["all", 0.6] > counts["best-worst", 0.6] > counts["best-worst", 0.9] > 0


def test_a_new_group_moves_no_old_one(fused, tmp_path):
    def splits():
        rows = pl.read_parquet(tmp_path / "out/preference_meta/*.parquet", include_file_paths="file")
        return dict(rows.select("group", pl.col("file").str.extract(r"(\w+)\.parquet")).rows())

    build(fused, recipe(task="mnemonic"), tmp_path / "out")
    few = splits()
    build(fused, recipe(), tmp_path / "out")
    many = splits()
    assert len(many) > len(few)
    assert few.items() <= many.items()


def test_texts_that_differ_in_form_only_are_not_a_pair(fused, tmp_path):
    (pair,) = query(fused, "SELECT completion_a, completion_b FROM preferences WHERE p > 0.9 LIMIT 1").rows()
    run(fused, "UPDATE completions SET content = 'Same  text' WHERE key = ?", [pair[0]])
    run(fused, "UPDATE completions SET content = ' same text' WHERE key = ?", [pair[1]])
    done = build(fused, recipe(pairs={"policy": "all"}), tmp_path / "out")
    assert done.dropped["equal texts"] == 1


def test_target_must_match_the_fit(fused, tmp_path):
    with pytest.raises(StoreError, match="preceptor fuse --target 1"):
        build(fused, recipe(target=1), tmp_path / "out")
    build(fused, recipe(target=0.5), tmp_path / "out")
    with pytest.raises(StoreError, match="no fit 000"):
        build(fused, recipe(), tmp_path / "out", fit="000zzz")


def test_a_foreign_folder_is_never_overwritten(fused, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="will not be overwritten"):
        build(fused, recipe(), out)
    assert (out / "thesis.txt").read_text() == "years of work"


def folder_state(out: Path):
    return {p.name: p.read_text() for p in out.iterdir()} if out.exists() else None


@pytest.mark.parametrize("when", ["inside", "before the swap", "between the renames"])
def test_a_crash_leaves_the_old_folder_or_the_new_one(tmp_path, monkeypatch, when):
    out = tmp_path / "out"

    def write(text):
        with make_whole_folder(out) as folder:
            (folder / "data").write_text(text)
            if when == "inside" and text == "new":
                raise KeyboardInterrupt
            (folder / "manifest.json").write_text("{}")

    write("old")
    rename = Path.rename
    seen = []

    def crash(self, target):
        seen.append(self)
        if when == "before the swap" or (when == "between the renames" and len(seen) == 2):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        write("new")
    monkeypatch.undo()
    if when == "between the renames":
        assert not out.exists()  # the one moment: the next build brings it back before it starts
        with pytest.raises(ZeroDivisionError), make_whole_folder(out):
            _ = 1 / 0
    assert folder_state(out) == {"data": "old", "manifest.json": "{}"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_write_text_replaces_at_once(tmp_path):
    path = tmp_path / "a.html"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


def test_status_lists_the_build(fused, tmp_path):
    build(fused, recipe(), tmp_path / "out")
    row = query(fused, "SELECT counts, gates FROM builds WHERE name = 'x'").row(0)
    assert json.loads(row[0])["kept"]["preference"]["train"] > 0
    assert {g["name"] for g in json.loads(row[1])} == {
        "convergence",
        "contents",
        "hygiene",
        "leaks",
        "licence",
        "privacy",
        "replies",
        "length bias",
    }
