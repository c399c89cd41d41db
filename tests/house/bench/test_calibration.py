"""What `make bench-fusion PARTS=calibration` makes of fits beside the truth, and what it simulates."""

import numpy as np
import pytest
from scipy.special import expit

from preceptor.tests.bench.fusion.calibration import (
    Seen,
    auc_of,
    coverage_lines,
    covered,
    off_curve,
    rank_lines,
)
from preceptor.tests.bench.fusion.simulate import Size, crowd, from_priors, ordinary, simulate


def test_coverage_counts_the_truths_inside():
    draws = np.random.default_rng(0).normal(size=(4000, 3))
    assert covered(draws, np.array([0.0, 1.5, 2.0])) == (2, 3)  # the interval is about -1.645 to 1.645


def test_auc_is_the_share_of_pairs_in_order():
    score = np.array([3.0, 2.0, 1.0, 0.0])
    assert auc_of(score, np.array([True, False, True, False])) == 0.75
    assert auc_of(np.zeros(4), np.array([True, False, True, False])) == 0.5
    assert np.isnan(auc_of(score, np.zeros(4, dtype=bool)))


def test_probabilities_that_mean_what_they_say_lie_on_the_curve():
    rng = np.random.default_rng(1)
    p = rng.random(50_000)
    away, _ = off_curve(p, rng.random(50_000) < p)
    assert away < 0.02
    away, where = off_curve(p, rng.random(50_000) < p**2)
    assert away > 0.2
    assert where.startswith(("p 0.4", "p 0.5"))


def seen(rank: float, inside: int = 9) -> Seen:
    return Seen(
        True, {"target": (inside, 10)}, np.array([0.2, 0.9]), np.array([False, True]), 0.9, {"rho": rank}
    )


def test_ranks_that_pile_up_are_told_from_even_ones():
    even = {name: value for name, value, _ in rank_lines([seen((i + 0.5) / 200) for i in range(200)])}
    assert even["ranks: least p-value of a chi-square test"].startswith("1.0000 (rho")
    piled = {name: value for name, value, _ in rank_lines([seen((i % 20) / 100) for i in range(200)])}
    assert piled["ranks: least p-value of a chi-square test"].startswith("0.0000 (rho")
    assert piled["ranks: parameters with p < 0.05"] == "1 of 1"


def test_coverage_is_said_with_its_interval_over_data_sets():
    rows = {name: value for name, value, _ in coverage_lines("x", [seen(0.5, 8), seen(0.5, 10)])}
    assert rows["x: 90 % intervals of target"].startswith("90.0% (73.6%–100.0%)")
    assert rows["x: converged"] == "2 of 2"


def test_simulated_votes_follow_the_model():
    size = Size(200, 2, annotators=40, votes=40_000, careless=0.1, adversarial=0.05)
    made = simulate(np.random.default_rng(3), size, ordinary() | {"tau_reliability": 0.0, "vote_tie": -30.0})
    votes, truth = made.obs.votes, made.truth
    assert np.bincount(truth["kind"]).tolist() == [34, 4, 2]
    eta = (
        truth["vote_slope"]
        * truth["annotator_reliability"][votes.annotator]
        * (truth["e"][votes.first] - truth["e"][votes.second])
    )
    first = votes.counts[:, 0] == 1
    for low, high in ((-9, -1), (-1, 0), (0, 1), (1, 9)):
        chosen = (eta > low) & (eta < high)
        assert first[chosen].mean() == pytest.approx(expit(eta[chosen]).mean(), abs=0.02)


def test_a_counted_crowd_votes_as_often_as_asked():
    made = crowd(np.random.default_rng(4), Size(50, 4, votes=12_345), ordinary())
    votes = made.obs.votes
    assert votes.counts.sum() == 12_345
    assert (made.obs.prompt[votes.first] == made.obs.prompt[votes.second]).all()
    assert (votes.first < votes.second).all()
    assert made.obs.completions["n_votes"].sum() == 2 * 12_345


def test_globals_from_priors_have_cutpoints_in_order():
    drawn = [from_priors(np.random.default_rng(seed)) for seed in range(50)]
    assert all((np.diff(g["rating_cuts"]) > 0).all() for g in drawn)
    assert all(-1 < g["rho"] < 1 and g["vote_slope"] >= 0 for g in drawn)
