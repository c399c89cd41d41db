"""Recipe files: good ones, and what a misspelt one says."""

import pytest
from places import RECIPES

from preceptor.schemas.errors import RecipeError
from preceptor.schemas.recipe import read_recipe

RECIPE_FILES = sorted(RECIPES.glob("*/dataset.yaml"))


@pytest.mark.parametrize("path", RECIPE_FILES, ids=lambda p: p.parent.name)
def test_shipped_recipes_are_valid_and_start_with_their_command(path):
    read_recipe(path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# preceptor build recipes/{path.parent.name}/dataset.yaml --out ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam: x", "unknown key 'nam': did you mean 'name'"),
        ("name: x\npairs: {polcy: all}", "unknown key 'pairs.polcy': did you mean 'policy'"),
        ("task: gec", "'name' is missing"),
        ("name: x\npairs: {policy: random}", "'pairs.policy'"),
        ("name: x\npairs: {min_confidence: 0.2}", "'pairs.min_confidence'"),
        ("name: x\nsplits: {train: 0.9}", "add up to 1.1, not 1"),
        ("name: x\ninstruction: no place", "must contain {prompt}"),
        ("name: X y", "'name'"),
        ("- a\n- b", "expected keys and values"),
        ("name: [", "not YAML"),
        (
            "name: x\npublish_under: CC BY 4.0",
            "'publish_under': CC BY 4.0: not an SPDX .* did you mean CC-BY-4.0",
        ),
        (
            "name: x\ncorrections: {}\npairs: {policy: best-worst}",
            r"corrections makes pairs from edits, so pairs \(policy\) has no effect",
        ),
        (
            "name: x\npairs: {policy: all, band: [0.6, 0.8]}",
            "'pairs': band has no effect with policy 'all', only with 'uncertain-band': leave one of them out",
        ),
        (
            "name: x\npairs: {criteria: [clear]}",
            "'pairs': criteria has no effect with policy 'best-worst', only with 'rubric-dominance'",
        ),
        (
            "name: x\nconfigs: [signals]",
            "'configs': signals is about the rows of other configs: name one of these too",
        ),
        ("name: x\n? [1, 2]\n: 3", "not YAML|unknown|should be"),
    ],
)
def test_a_wrong_recipe_names_file_key_and_remedy(tmp_path, text, expected):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=expected) as error:
        read_recipe(path)
    assert "r.yaml" in str(error.value)


def test_a_missing_recipe_says_so(tmp_path):
    with pytest.raises(RecipeError, match="No such file"):
        read_recipe(tmp_path / "none.yaml")
