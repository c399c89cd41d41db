"""The recipe of a tutor who knows its learner: built, trained and evaluated, with a tiny model."""

import json

import pytest
from model_server import serving
from places import ROOT
from tiny_model import tiny_model

from preceptor.schemas.recipe import read_recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import run

LEARNERS, NOUNS = 24, ["cat", "dog", "bird", "cow", "sheep"]
RECIPES = ROOT / "recipes" / "learner"


@pytest.mark.slow
def test_a_tutor_is_trained_and_evaluated_with_what_is_known_of_its_learner(store, preceptor, tmp_path):
    lines = [
        f"S The {noun} of pupil {n} are here .\nA 5 6|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0\n"
        for n in range(LEARNERS)
        for noun in NOUNS
    ]
    (tmp_path / "essays.m2").write_text("\n".join(lines) + "\n")
    ingest_files(store, "m2", [tmp_path / "essays.m2"], "essays", license="CC-BY-4.0")
    run(
        store,
        "UPDATE sentences SET learner = left(sha256(regexp_extract(text, 'pupil .*')), 16), level = 'A2'",
    )
    build(store, read_recipe(RECIPES / "dataset.yaml"), tmp_path / "dist")
    base = tiny_model(tmp_path / "base")
    sets = ("--set", f"dataset_name={tmp_path}/dist")
    trained = preceptor(
        "train", RECIPES / "sft.yaml", "--variant", "tiny", "--out", tmp_path / "tutor", *sets,
        "--set", f"model_name_or_path={base}", "--set", "max_steps=2", "--set", "disable_tqdm=true",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    with serving(lambda body: "The cat is here .") as server:
        evaluated = preceptor(
            "evaluate", RECIPES / "evaluate.yaml", "--variant", "tiny", "--out", tmp_path / "evaluation", *sets,
            "--model", f"hf:{base}", "--model", f"hf:{tmp_path / 'tutor'}", "--model", "openai:seen",
            "--base-url", server.url, "--set", "prompts=4", "--set", "max_tokens=8",
            "--set", "metrics=[gleu, exact, changed]",
        )  # fmt: skip
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["n"] == 4
    asked = [body["messages"][0] for body in server.asked]
    assert len(asked) == 4
    for first in asked:
        assert first["role"] == "system"
        assert "What is known of them: level A2" in first["content"]
