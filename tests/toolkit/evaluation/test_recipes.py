"""Evaluations that are shipped: each can be read, fits its dataset's recipe and names a judge's rubric that fits."""

import pytest
from places import RECIPES

from preceptor.annotation.rubrics.rubric import read_rubric
from preceptor.schemas.recipe import read_recipe
from preceptor.toolkit.evaluation.config import read_config
from preceptor.toolkit.evaluation.metrics.registry import METRICS

FILES = sorted(RECIPES.glob("*/evaluate*.yaml"))


def test_the_tutors_have_theirs():
    assert {"mnemonic", "spock", "socratic", "study-plan"} <= {path.parent.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_evaluations_are_valid_and_start_with_their_command(path):
    whole, tiny = read_config(path).values, read_config(path, variant="tiny").values
    first = path.read_text(encoding="utf-8").split("\n")[0]
    assert first.startswith(f"# preceptor evaluate recipes/{path.parent.name}/{path.name} --model ")
    assert tiny.prompts <= 8
    assert tiny.max_tokens < whole.max_tokens
    assert (tiny.metrics, tiny.dataset_name) == (whole.metrics, whole.dataset_name)
    (built,) = [
        p
        for p in RECIPES.glob("*/*.yaml")
        if p.read_text().split("\n")[0].endswith(f"--out {whole.dataset_name}")
        and p.read_text().startswith("# preceptor build")
    ]
    assert whole.dataset_config in read_recipe(built).configs
    if any(METRICS[name].rubric_kind for name in whole.metrics):
        kind = read_rubric(whole.judge.rubric).kind
        assert {"rated": "rating"}.get(whole.metrics[0], "pairwise") == kind
        assert whole.judge.model is None  # a judge is the user's choice
