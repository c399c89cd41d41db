"""The bench of rankings: two truths, whole orders, forecasts set beside what happened."""

import numpy as np
import polars as pl
import pytest

from preceptor.tests.bench.fusion.heldout.folds import number_rankings, split_annotators, split_rankings
from preceptor.tests.bench.fusion.heldout.rankings import compute_ece, write_curve
from preceptor.tests.bench.fusion.heldout.simulated_rankings import (
    TRUTHS,
    compute_orders,
    group_rankings,
    list_orders,
    list_sides,
    simulate_rankings,
)
from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations


@pytest.fixture
def ranked():
    """A ranking of three by one annotator, one pair by another; stored votes beside them."""
    votes = Votes(
        np.array([0, 0, 1, 0]),
        np.array([1, 2, 2, 1]),
        np.array([0, 0, 0, 1]),
        np.zeros(4),
        np.eye(3)[[0, 0, 0, 1]],
    )
    obs = Observations(
        pl.DataFrame({"completion": ["a", "b", "c"], "prompt": ["q"] * 3}),
        np.zeros(3, int),
        pl.DataFrame({"annotator": ["x", "y"], "pseudonym": ["x", "y"]}),
        [],
        (votes,),
    )
    stored = pl.DataFrame(
        [("b", "a", "x", "r"), ("a", "c", "x", "r"), ("b", "c", "x", "r"), ("a", "b", "y", None)],
        schema=["completion_a", "completion_b", "annotator", "ranking"],
        orient="row",
    )
    return obs, stored


def test_rankings_are_held_out_whole_and_annotators_too(ranked):
    obs, stored = ranked
    ranking = number_rankings(obs, stored)
    assert len(set(ranking[:3])) == 1
    assert ranking[3] != ranking[0]
    for held in (split_rankings(obs, ranking, 2), split_annotators(obs)):
        assert held.sum(axis=0).tolist() == obs.votes.counts.tolist()
        assert sorted(held.sum(axis=(1, 2))) == [1, 3]


@pytest.mark.parametrize("truth", TRUTHS)
def test_the_better_answer_wins_more_often_and_votes_form_an_order(ranked, truth):
    obs, stored = ranked
    rankings = group_rankings(obs.votes, number_rankings(obs, stored))
    agree = []
    for seed in range(300):
        made, e = simulate_rankings(obs, rankings, TRUTHS[truth], np.random.default_rng(seed))
        said = made.votes.counts.argmax(axis=1)
        assert made.votes.counts.sum() == 4
        assert (list_sides(3) == said[:3]).all(axis=1).any()
        better = np.where(e[obs.votes.first] > e[obs.votes.second], 0, 1)
        agree += list((said == better)[said < 2])
    assert 0.6 < np.mean(agree) < 0.95


def test_orders_are_all_there_and_foretold_in_proportion():
    assert [len(list_orders(k)) for k in (2, 3, 4, 5)] == [3, 13, 75, 541]
    log_probs = np.log(np.random.default_rng(0).dirichlet([2, 2, 1], size=(1, 3)))
    found = compute_orders(log_probs)
    said = list_sides(3)
    by_hand = np.exp([sum(log_probs[0, i, row[i]] for i in range(3)) for row in said])
    assert found == pytest.approx(by_hand / by_hand.sum())
    pair = np.log([[[0.5, 0.3, 0.2]]])
    assert found.sum() == pytest.approx(1)
    assert sorted(compute_orders(pair)) == pytest.approx([0.2, 0.3, 0.5])


def test_a_forecast_that_is_right_has_no_error():
    sure, n = np.array([0.75, 0.75, 0.95]), np.array([60.0, 40.0, 100.0])
    right = np.array([45.0, 30.0, 95.0])
    assert compute_ece(sure, right, n) == pytest.approx(0)
    assert compute_ece(sure, right - [0, 0, 10], n) == pytest.approx(0.05)
    assert write_curve(sure, right, n) == "0.75→0.75 (100), 0.95→0.95 (100)"
