"""Smoothed weights beside those of ArviZ, and tails of a known shape."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from preceptor.toolkit.fusion.influence.smoothing import fit_pareto, smooth


def test_weights_and_k_are_those_of_arviz():
    """Of 900 draws, where both take 90 for the tail: ours rounds up, as the paper does."""
    random = np.random.default_rng(3)
    ratios = random.standard_normal((40, 900)) * np.linspace(0.05, 4, 40)[:, None]
    weights, k = smooth(ratios)
    theirs, their_k = array_stats.psislw(-ratios)
    assert np.allclose(k, their_k, atol=1e-6)
    assert np.allclose(weights, theirs, atol=1e-6)


@pytest.mark.parametrize("shape", [0.1, 0.5, 0.9])
def test_a_tail_of_known_shape_is_found(shape):
    u = np.random.default_rng(5).uniform(size=(50, 2000))
    k, scale = fit_pareto(np.sort(3 * np.expm1(-shape * np.log(u)) / shape, axis=1))
    assert abs(k.mean() - shape) < 0.02
    assert abs(scale.mean() - 3) < 0.1


def test_weights_sum_to_one_whatever_the_ratios():
    ratios = np.array(
        [np.zeros(400), np.r_[np.zeros(399), 5000], np.full(400, -1e9), np.linspace(-1e5, 1e5, 400)]
    )
    weights, k = smooth(ratios)
    assert np.allclose(np.exp(weights).sum(axis=1), 1)
    assert np.allclose(np.exp(weights[0]), 1 / 400)
    assert k[0] == -np.inf
    assert k[1] > 0.7 or k[1] == np.inf
    assert not np.isnan(k).any()


def test_few_draws_are_not_trusted():
    _, k = smooth(np.random.default_rng(1).standard_normal((2, 10)))
    assert (k == np.inf).all()
