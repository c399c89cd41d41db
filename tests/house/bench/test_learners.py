"""What `make bench-learners` computes from forecasts, and that its parts have their places."""

import numpy as np
import pytest
from places import ROOT

from preceptor.tests.bench.fusion.part import marks
from preceptor.tests.bench.learners import score
from preceptor.tests.bench.learners.__main__ import PARTS
from preceptor.tests.bench.learners.tutors import MAKERS, count_exercises


def test_scores_of_forecasts_that_are_right_by_construction():
    draw = np.random.default_rng(0)
    p = draw.uniform(0.05, 0.95, 20_000)
    right = (draw.random(20_000) < p).astype(float)
    cluster = np.arange(20_000) // 50
    found = score.compare(right, {"honest": p, "flat": np.full(20_000, right.mean())}, cluster, "honest")
    assert found["honest"].difference == (0, 0, 0)
    low, high = found["flat"].difference[1:]
    assert 0.1 < low < found["flat"].difference[0] < high
    assert found["honest"].calibration < 0.02
    assert found["honest"].covered == pytest.approx(0.9, abs=0.04)
    assert found["flat"].auc == pytest.approx(0.5)
    assert found["honest"].auc > 0.75


def test_a_forecaster_who_is_too_sure_covers_too_little():
    draw = np.random.default_rng(1)
    ability = np.repeat(draw.normal(0, 1, 200), 50)
    right = (draw.random(10_000) < 1 / (1 + np.exp(-ability))).astype(float)
    assert score.measure_coverage(right, np.full(10_000, 0.5), np.arange(10_000) // 50)[0] < 0.5


def test_every_part_has_its_place():
    page = (ROOT / "docs" / "measurements" / "learners.md").read_text(encoding="utf-8")
    for name in PARTS:
        assert all(page.count(mark) == 1 for mark in marks(name, "bench-learners"))


@pytest.mark.parametrize("make", MAKERS)
def test_simulated_learners_learn(make):
    assert np.median(count_exercises(make, "recommend", 0, n=4)) < 600
