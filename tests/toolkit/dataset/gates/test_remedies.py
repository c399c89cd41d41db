"""What a red gate advises works as it is written, and a gate that dropped its rows advises nothing more."""

import re

import pytest
import yaml
from problems import load_problems, recipe

from preceptor.schemas.errors import GateError
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.gates.contents import check_contents
from preceptor.toolkit.store.connection import run

ONE = "WHERE starts_with(content, 'It is 14')"
FAILING = {  # gate: (change of the store, keys of the recipe that make it red)
    "leaks": ("", {"leaks": {"near": 0.5}}),
    "replies": (
        """UPDATE completions SET context = json_merge_patch(context, '{"finish": "length"}') """ + ONE,
        {},
    ),
    "length bias": ("", {"max_length_bias": 0.5}),
    "hygiene": (
        "UPDATE completions SET content = content || ' ' " + ONE,
        {"gates": {"hygiene": {"stop": True}}},
    ),
    "privacy": (
        "UPDATE completions SET content = content || ' Ask ada.byron@example.com' " + ONE,
        {"publish_under": "MIT", "privacy": {"look": True}},
    ),
}
OTHERS = {"leaks": {"near": None}, "privacy": {"look": False}}
REMEDY = re.compile(r"\b(?:leaks|privacy|gates|max_length_bias|clean): (?:\{+.*?\}+|\[.*?\]|[\d.]+)")


def merge(keys, more):
    """Keys of a recipe with those of a remedy, as a person writes them into it."""
    both = dict(keys)
    for name, value in more.items():
        inner = isinstance(value, dict) and isinstance(both.get(name), dict)
        both[name] = merge(both[name], value) if inner else value
    return both


@pytest.mark.parametrize("gate", FAILING)
def test_every_remedy_in_a_verdict_makes_the_gate_pass(store, tmp_path, gate):
    load_problems(store, tmp_path, 30)
    change, keys = FAILING[gate]
    if change:
        run(store, change)
    keys = {name: value for name, value in OTHERS.items() if name != gate} | keys
    with pytest.raises(GateError) as error:
        build(store, recipe(**keys), tmp_path / "red")
    red = {one.name: one.verdict for one in error.value.gates if not one.passed}
    assert list(red) == [gate]
    remedies = REMEDY.findall(red[gate])
    assert remedies, red[gate]
    for n, remedy in enumerate(remedies):
        mended = merge(keys, yaml.safe_load(remedy))
        done = build(store, recipe(**mended), tmp_path / f"green-{n}")
        (result,) = [one for one in done.gates if one.name == gate]
        assert result.passed
        if result.verdict.startswith("dropped"):
            assert "drop: true" not in result.verdict
            assert REMEDY.findall(result.verdict) == []


@pytest.mark.parametrize(
    ("dropped", "remedy"),
    [
        ({"coin flip": 9, "equal texts": 1}, "lower pairs.min_confidence, or add the config soft"),
        ({"not eligible by the recipe": 3, "coin flip": 2}, "widen pairs.eligible"),
        ({"equal texts": 1}, "check the recipe's task and sources"),
        ({}, "check the recipe's task and sources"),
    ],
)
def test_an_empty_dataset_says_what_left_it_empty(store, dropped, remedy):
    run(store, "CREATE TEMP TABLE kept (config VARCHAR)")
    assert remedy in check_contents(store, dropped).verdict


def test_a_licence_that_forbids_is_mended_as_it_says(store, tmp_path):
    load_problems(store, tmp_path, 5)
    run(store, "UPDATE sources SET license = 'CC-BY-SA-4.0'")
    keys = {"leaks": {"drop": True}, "privacy": {"look": False}}
    with pytest.raises(GateError, match="change publish_under, or drop it for a local build"):
        build(store, recipe(**keys, publish_under="MIT"), tmp_path / "red")
    for under in ("CC-BY-SA-4.0", None):
        assert build(store, recipe(**keys, publish_under=under), tmp_path / "green").gates
