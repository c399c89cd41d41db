"""What new annotators would vote, beside votes drawn one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from preceptor.toolkit.fusion.findings.forecasts import (
    Newcomers,
    compute_forecasts,
    compute_new_votes,
    compute_p_panel,
    compute_p_vote,
    draw_newcomers,
)
from preceptor.toolkit.fusion.sampling.fit import Posterior

DRAWS = 4000


@pytest.fixture
def posterior():
    """Draws of globals as of a fit with named annotators, and a quality of three completions."""
    rng = np.random.default_rng(5)
    sites = {
        "vote_slope": rng.normal(1.5, 0.2, (4, DRAWS // 4)),
        "vote_tie": rng.normal(-0.5, 0.3, (4, DRAWS // 4)),
        "tau_reliability": np.abs(rng.normal(0, 0.6, (4, DRAWS // 4))),
        "tau_tie_habit": np.abs(rng.normal(0, 0.8, (4, DRAWS // 4))),
        "e": rng.normal([0, 0.8, 2.0], 0.5, (4, DRAWS // 4, 3)),
    }
    return Posterior(sites, {}, None)


def vote_one_by_one(posterior, a, b, n=400_000):
    """Votes of three new annotators each: (n, 3), 0 first, 1 second, 2 tie."""
    rng = np.random.default_rng(9)
    at = rng.integers(DRAWS, size=n)
    flat = {name: posterior.flatten(name)[at] for name in posterior.sites}
    votes = []
    for _ in range(3):
        r = 1 + flat.get("tau_reliability", np.zeros(n)) * rng.normal(size=n)
        tie = flat["vote_tie"] + flat.get("tau_tie_habit", np.zeros(n)) * rng.normal(size=n)
        half = flat["vote_slope"] * r * (flat["e"][:, a] - flat["e"][:, b]) / 2
        p = softmax(np.stack([half, -half, tie], axis=1), axis=1)
        votes.append((rng.random((n, 1)) > p.cumsum(axis=1)[:, :2]).sum(axis=1))
    return np.stack(votes, axis=1)


@pytest.mark.parametrize("named", [True, False])
def test_p_vote_and_p_panel_are_shares_of_votes(posterior, named):
    if not named:
        del posterior.sites["tau_reliability"], posterior.sites["tau_tie_habit"]
    newcomers = draw_newcomers(posterior, 0)
    a, b = np.array([0, 1, 0]), np.array([1, 2, 2])
    p_vote, p_panel = compute_forecasts(newcomers, posterior.flatten("e"), a, b)
    for i in range(3):
        votes = vote_one_by_one(posterior, a[i], b[i])
        one, first, second = votes[:, 0], (votes == 0).sum(axis=1), (votes == 1).sum(axis=1)
        assert p_vote[i] == pytest.approx((one == 0).sum() / (one < 2).sum(), abs=0.015)
        assert p_panel[i] == pytest.approx((first > second).sum() / (first != second).sum(), abs=0.015)
    assert (np.abs(p_panel - 0.5) > np.abs(p_vote - 0.5)).all()  # three are surer than one


def test_sides_mirror_and_equals_are_even(posterior):
    newcomers, e = draw_newcomers(posterior, 3), posterior.flatten("e")
    there = compute_forecasts(newcomers, e, np.array([0, 0]), np.array([2, 0]))
    back = compute_forecasts(newcomers, e, np.array([2, 0]), np.array([0, 0]))
    for p, q in zip(there, back, strict=True):
        assert p + q == pytest.approx(1)
        assert p[1] == 0.5
    assert [x.shape for x in compute_forecasts(newcomers, e, np.zeros(0, int), np.zeros(0, int))] == [
        (0,),
        (0,),
    ]


def test_few_draws_are_repeated_and_votes_are_needed(posterior):
    few = Posterior({name: x[:1, :64] for name, x in posterior.sites.items()}, {}, None)
    assert len(draw_newcomers(few, 0).taken) >= 1000
    assert draw_newcomers(Posterior({"e": posterior.sites["e"]}, {}, None), 0) is None


def test_weights_of_draws_count(posterior):
    newcomers = draw_newcomers(posterior, 0)
    e = posterior.flatten("e")[newcomers.taken]
    votes = compute_new_votes(newcomers, e[:, [0]] - e[:, [2]])
    only = np.zeros(len(newcomers.taken))
    only[7] = 3.0
    alone = votes[:, :, [7]]
    for compute in (compute_p_vote, compute_p_panel):
        assert compute(votes, only) == pytest.approx(compute(alone))
        assert compute(votes, np.ones(len(only))) == pytest.approx(compute(votes))


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3), st.floats(-9, 9), st.floats(-20, 20))
def test_any_annotators_give_probabilities(sharpness, tie, difference):
    newcomers = Newcomers(np.zeros(1, int), np.array(sharpness)[:, None], np.full((3, 1), tie))
    votes = compute_new_votes(newcomers, np.array([[difference]]))
    assert votes.sum(axis=0) == pytest.approx(1)
    assert 0 <= compute_p_vote(votes)[0] <= 1
    assert 0 <= compute_p_panel(votes)[0] <= 1
