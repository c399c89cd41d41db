"""Figures of an evaluation and their intervals."""

import math
import tracemalloc

import numpy as np
import pytest

from preceptor.toolkit.evaluation.metrics.statistics import (
    Statistics,
    divide_sums,
    estimate,
    estimate_difference,
    make_share,
)


def test_interval_of_a_share_is_that_of_the_binomial():
    rng = np.random.default_rng(0)
    n, p, held = 200, 0.7, 0
    for seed in range(200):
        found = estimate(make_share(rng.random(n) < p), [str(k) for k in range(n)], seed)
        held += found.low <= p <= found.high
    assert 0.84 <= held / 200 <= 0.95  # 0.9 of them, within three standard errors of 200


def test_items_of_a_group_are_drawn_together():
    rng = np.random.default_rng(1)
    hits = np.repeat(rng.random(50) < 0.5, 8)
    alone = estimate(make_share(hits), [str(k) for k in range(400)], 0)
    grouped = estimate(make_share(hits), [str(k // 8) for k in range(400)], 0)
    assert grouped.value == alone.value
    assert grouped.high - grouped.low == pytest.approx(math.sqrt(8) * (alone.high - alone.low), rel=0.15)


def test_difference_of_paired_answers_is_surer_than_either():
    rng = np.random.default_rng(2)
    one = rng.random(300) < 0.5
    other = one ^ (rng.random(300) < 0.02)
    groups = [str(k) for k in range(300)]
    found = estimate_difference(make_share(one), make_share(other), groups, 0)
    alone = estimate(make_share(one), groups, 0)
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert found.high - found.low < 0.5 * (alone.high - alone.low)


def test_nothing_to_divide_by_is_no_number():
    found = estimate(Statistics(np.zeros((3, 2)), divide_sums), ["a", "b", "c"], 0)
    assert math.isnan(found.value)
    assert math.isnan(found.low)


def test_fewer_than_five_groups_get_no_interval_however_they_agree():
    four, five = list("aabbccdd"), list("aabbccde")
    found = estimate_difference(make_share([1.0] * 8), make_share([0.0] * 8), four, 0)
    assert found.value == 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert estimate_difference(make_share([1.0] * 8), make_share([0.0] * 8), five, 0).low == 1


def test_draws_of_many_prompts_fit_into_memory():
    n = 20_000
    hits, groups = np.random.default_rng(3).random(n), [str(k) for k in range(n)]
    tracemalloc.start()
    try:
        first = estimate(make_share(hits), groups, 0)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 60e6  # DRAWS x n bytes and some; 8 times as much as whole numbers of 64 bits
    assert first.high - first.low == pytest.approx(2 * 1.645 * hits.std() / math.sqrt(n), rel=0.1)
