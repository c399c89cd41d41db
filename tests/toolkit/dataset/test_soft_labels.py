"""Config soft publishes the label that the recipe chooses."""

import json

import polars as pl
import pytest
from invented import fill, with_fit

from preceptor.schemas.errors import RecipeError
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.store.connection import run

CONFIGS = ["preference", "soft"]


def recipe(**keys):
    return Recipe.model_validate({"name": "x", "configs": CONFIGS, "pairs": {"policy": "all"}} | keys)


def read(folder, name):
    return pl.concat([pl.read_parquet(file) for file in sorted((folder / name).glob("*.parquet"))])


@pytest.fixture
def fitted(store, tmp_path):
    """A fit that says p = 0.8 of every pair, p_vote 0.7 and p_panel 0.75; of the second half a is worse."""
    fill(store, tmp_path)
    key = with_fit(
        store,
        lambda n: [0.8 if i % 2 else 0.2 for i in range(n)],
        lambda n: [0.0] * n,
    )
    run(store, "UPDATE preferences SET p_vote = if(p > 0.5, 0.7, 0.3), p_panel = if(p > 0.5, 0.75, 0.25)")
    passed = json.dumps({"r_hat_max": 1.0, "ess_min": 900, "divergences": 0, "converged": True})
    found = json.dumps({"parameters": {}, "annotators": [], "rho": {"mean": 0.0, "low": -0.5, "high": 0.5}})
    run(
        store,
        "UPDATE fits SET diagnostics = $passed, findings = $found, config = '{\"target\": 0.5}'",
        {"passed": passed, "found": found},
    )
    return key


@pytest.mark.parametrize(("label", "value"), [("p", 0.8), ("p_vote", 0.7), ("p_panel", 0.75)])
def test_the_label_is_of_the_chosen_side(store, fitted, tmp_path, label, value):
    build(store, recipe(soft_label=label), tmp_path / "out", fitted)
    soft, meta = read(tmp_path / "out", "soft"), read(tmp_path / "out", "soft_meta")
    assert soft.height > 10
    assert soft["p"].to_list() == pytest.approx([value] * soft.height)
    for name, of_meta in (("p", 0.8), ("p_vote", 0.7), ("p_panel", 0.75)):
        assert meta[name].to_list() == pytest.approx([of_meta] * meta.height)


def test_a_fit_without_it_is_refused(store, fitted, tmp_path):
    run(store, "UPDATE preferences SET p_vote = NULL")
    with pytest.raises(RecipeError, match="soft_label: p_vote is not known of fit"):
        build(store, recipe(soft_label="p_vote"), tmp_path / "out", fitted)
    assert not (tmp_path / "out").exists()
    build(store, recipe(), tmp_path / "out", fitted)


def test_a_label_without_config_soft_has_no_effect():
    with pytest.raises(ValueError, match="has no effect without config soft"):
        recipe(configs=["preference"], soft_label="p_vote")


def test_a_recipe_that_does_not_say_is_the_one_of_before():
    assert "soft_label" not in recipe().model_dump()
    assert recipe(soft_label="p_panel").model_dump()["soft_label"] == "p_panel"
