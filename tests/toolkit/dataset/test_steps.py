"""Temporary tables between the steps of a build: each is declared, and no name means two things."""

import json

import pytest

from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import run

TERMS = Origin(read_license("MIT"))


@pytest.fixture
def problems(store, tmp_path):
    """A store with 40 problems, a right and a wrong answer to each."""
    path = tmp_path / "p.jsonl"
    lines = [
        {
            "question": f"Anna has {k} apples and Ben gives her {k} more of them. How many has she now?",
            "ground_truth": f"#### {2 * k}",
            "6b": {"is_correct": True, "solution": f"It is {2 * k}."},
            "175b": {"is_correct": False, "solution": f"I say {k}."},
        }
        for k in range(40)
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    ingest(store, FORMATS["gsm8k"], find_inputs(FORMATS["gsm8k"], [path]), Context("gsm"), TERMS)
    return store


def recipe(**keys):
    return Recipe.model_validate({"name": "x", "pairs": {"policy": "right-over-wrong"}, **keys})


def test_the_gate_on_near_duplicates_leaves_the_builds_candidates_alone(problems, tmp_path):
    build(problems, recipe(leaks={"near": 0.8, "drop": True}), tmp_path / "out")
    assert run(problems, "SELECT count(*), count(DISTINCT prompt) FROM candidates") == [(40, 40)]
