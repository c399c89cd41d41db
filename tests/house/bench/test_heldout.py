"""Votes held out and the published model: what `make bench-fusion` divides, predicts and scores."""

from dataclasses import replace

import choix
import numpy as np
import polars as pl
import pytest
from numpyro.infer.util import log_density
from scipy.special import expit, softmax
from scipy.stats import geom, multinomial, norm

from preceptor.tests.bench.fusion.heldout.folds import (
    VOTED,
    Case,
    derived_votes,
    resampled,
    score,
    some_prompts,
    split_rows,
)
from preceptor.tests.bench.fusion.heldout.heldout import Entry, lines, models, vote_probabilities
from preceptor.tests.bench.fusion.published import published
from preceptor.tests.bench.fusion.published.published import (
    Cost,
    cost_lines,
    pairs_of,
    replicate_lines,
    summarise,
)
from preceptor.tests.bench.fusion.published.smart_model import (
    published_arrays,
    published_labels,
    published_model,
    published_sampler,
    published_vote_probabilities,
    worst,
)
from preceptor.tests.bench.fusion.published.votes_only import (
    bradley_terry,
    davidson,
    davidson_map,
    davidson_shares,
    majority,
    split_votes,
)
from preceptor.toolkit.fusion.likelihoods.likelihood import NOBODY
from preceptor.toolkit.fusion.likelihoods.outcomes import Outcomes
from preceptor.toolkit.fusion.likelihoods.ratings import Ratings
from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations
from preceptor.toolkit.fusion.sampling.fit import Posterior


def votes_on(first, second, counts, annotator=None, shown_first=None):
    n = len(first)
    return Votes(
        first=np.array(first),
        second=np.array(second),
        annotator=np.full(n, NOBODY) if annotator is None else np.array(annotator),
        shown_first=np.zeros(n) if shown_first is None else np.array(shown_first, float),
        counts=np.array(counts, float),
    )


def observations(prompt, votes, ratings=(), outcomes=()):
    keys = [f"c{i}" for i in range(len(prompt))]
    completions = pl.DataFrame({"completion": keys, "prompt": [f"p{p}" for p in prompt]})
    parts = (votes, *ratings, *outcomes)
    return Observations(completions, np.array(prompt), pl.DataFrame({"annotator": []}), [], parts)


@pytest.fixture
def small():
    """Two prompts with two completions each, and every signal."""
    return observations(
        [0, 0, 1, 1],
        votes_on([0, 2], [1, 3], [[3, 1, 2], [0, 4, 1]]),
        (Ratings("good", 3, np.array([0, 3]), np.full(2, NOBODY), np.array([[1.0, 0, 2], [0, 3, 1]])),),
        (Outcomes("turns", np.array([0, 2]), np.full(2, NOBODY), np.array([1.0, 1]), np.array([2.0, 0])),),
    )


@pytest.fixture
def simulated():
    """Strengths of 12 items, and Davidson votes on 200 pairs of them."""
    rng = np.random.default_rng(3)
    strength = rng.normal(0, 1.2, 12)
    first, second = np.array([rng.choice(12, 2, replace=False) for _ in range(200)]).T
    p = davidson_shares(strength[first] - strength[second], -0.3)
    counts = np.array([rng.multinomial(8, row) for row in p], float)
    return strength, votes_on(first, second, counts)


def test_bradley_terry_is_choix_s(simulated):
    _, v = simulated
    decisive = v.counts.astype(int) * [1, 1, 0]
    ours, tie = davidson_map(v.first, v.second, decisive.astype(float), 12, sd=0.7)
    wins = [
        pair
        for a, b, (won, lost, _) in zip(v.first, v.second, decisive, strict=True)
        for pair in [(a, b)] * won + [(b, a)] * lost
    ]
    theirs = choix.opt_pairwise(
        12, wins, alpha=1 / (2 * 0.7**2), tol=1e-8
    )  # its penalty: alpha times squares
    assert tie == -np.inf
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_davidson_finds_strengths_and_the_tie(simulated):
    strength, v = simulated
    found, tie = davidson_map(v.first, v.second, v.counts, 12, sd=2.0)
    assert np.corrcoef(found, strength)[0, 1] > 0.98
    assert tie == pytest.approx(-0.3, abs=0.15)


def test_davidson_turns_with_the_sides(simulated):
    _, v = simulated
    found, tie = davidson_map(v.first, v.second, v.counts, 12, sd=1.0)
    turned, same = davidson_map(v.second, v.first, v.counts[:, [1, 0, 2]], 12, sd=1.0)
    np.testing.assert_allclose(turned, found, atol=1e-4)
    assert same == pytest.approx(tie, abs=1e-4)


def test_davidson_of_one_pair_is_its_shares():
    counts = np.array([[5.0, 3.0, 2.0]])
    found, tie = davidson_map(np.array([0]), np.array([1]), counts, 2, sd=1000.0)
    np.testing.assert_allclose(davidson_shares(found[:1] - found[1:], tie), counts / 10, atol=0.01)


@pytest.mark.parametrize("peer", [davidson, bradley_terry, majority])
def test_a_peer_s_predictions_are_probabilities_and_better_than_none(simulated, peer):
    _, v = simulated
    p = peer(v, v.counts)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert -(v.counts * np.log(p)).sum() < v.counts.sum() * np.log(3)


def test_smoothed_shares_keep_to_pairs_that_differ_and_to_the_mean_of_pairs_that_do_not():
    differ = votes_on(range(0, 40, 2), range(1, 40, 2), [[9, 0, 0], [0, 9, 0]] * 10)
    assert majority(differ, differ.counts)[0, 0] > 0.9
    alike = votes_on(range(0, 40, 2), range(1, 40, 2), [[4, 4, 2], [4, 4, 2]] * 10)
    np.testing.assert_allclose(majority(alike, alike.counts)[0], [0.4, 0.4, 0.2], atol=0.01)
    unseen = np.vstack([differ.counts[:-1], np.zeros(3)])
    left, right, tie = majority(differ, unseen)[-1]
    assert left == pytest.approx(right)
    assert tie < 0.02


def test_votes_are_dealt_out_once_and_evenly():
    counts = np.random.default_rng(0).integers(0, 6, (30, 3)).astype(float)
    dealt = split_votes(counts, 5, np.random.default_rng(1))
    np.testing.assert_array_equal(dealt.sum(axis=0), counts)
    sizes = dealt.sum(axis=(1, 2))
    assert sizes.max() - sizes.min() <= 1
    whole = split_rows(counts, 5, np.random.default_rng(1))
    np.testing.assert_array_equal(whole.sum(axis=0), counts)
    assert ((whole > 0).any(axis=2).sum(axis=0) <= 1).all()


def test_training_is_all_but_the_fold(small):
    case = Case("small", small, split_votes(small.votes.counts, 2, np.random.default_rng(0)))
    for fold in range(2):
        seen = case.training(fold)
        np.testing.assert_array_equal(seen.votes.counts + case.held[fold], small.votes.counts)
        assert all(one is other for one, other in zip(seen.ratings, small.ratings, strict=True))


def test_a_score_by_hand(small):
    held = np.array([[[1.0, 0, 1], [0, 2, 0]]])
    p = np.array([[[0.5, 0.25, 0.25], [0.3, 0.3, 0.4]]])
    found = score(Case("small", small, held), p)
    np.testing.assert_allclose(found.votes, [2, 2])
    np.testing.assert_allclose(found.loss, [-np.log(0.5) - np.log(0.25), -2 * np.log(0.3)])
    np.testing.assert_allclose(found.decisive_loss, [-np.log(2 / 3), 2 * np.log(2)])
    np.testing.assert_allclose(found.right, [1, 1])  # of 1 and of 2: two even ones are half right


def test_differences_are_paired(small):
    held = small.votes.counts[None]
    case = Case("small", small, held)
    even = score(case, np.full((1, 2, 3), 1 / 3))
    good = score(
        case, (small.votes.counts + 0.5)[None] / (small.votes.counts + 0.5).sum(axis=1)[None, :, None]
    )
    ours, other = lines(case, [Entry("ours", good, "1 of 1", 2.0), Entry("even", even, "—", 1.0)])
    assert ours[3] == "—"
    difference = (even.loss - good.loss).sum() / even.votes.sum()
    assert other[3].startswith(f"{difference:+.4f} (+")
    assert resampled(even.loss, even.votes) == pytest.approx((np.log(3),) * 3)


def test_our_prediction_by_hand():
    v = votes_on([0, 0, 0], [1, 1, 1], np.ones((3, 3)), annotator=[1, NOBODY, 0], shown_first=[1, -1, 0])
    sites = {
        "e": [[1.0, -0.5], [0.2, 0.1]],
        "vote_slope": [2.0, 1.0],
        "vote_tie": [-1.0, 0.0],
        "annotator_reliability": [[0.5, 1.5], [1.0, -1.0]],
        "tie_habit": [[0.0, 0.7], [0.1, 0.2]],
        "first_shown_bias": [0.3, -0.1],
    }
    posterior = Posterior({name: np.array(value)[None] for name, value in sites.items()}, {}, None)
    eta = np.array([[3 * 1.5 + 0.3, 3 - 0.3, 3 * 0.5], [-0.1 - 0.1, 0.1 + 0.1, 0.1]])
    tie = np.array([[-0.3, -1.0, -1.0], [0.2, 0.0, 0.1]])
    expected = softmax(np.stack([eta / 2, -eta / 2, tie], axis=2), axis=2).mean(axis=0)
    np.testing.assert_allclose(vote_probabilities(observations([0, 0], v), posterior), expected)


def rated():
    """Signals like MRBench's: five replies to each of three prompts, rated alike on every criterion."""
    rng = np.random.default_rng(0)
    completions = pl.DataFrame(
        {"completion": [f"c{i:02}" for i in range(15)], "prompt": [f"p{i % 3}" for i in range(15)]}
    )
    value = dict(zip(completions["completion"], rng.integers(1, 4, 15).tolist(), strict=True))
    rows = [(c, name, value[c]) for c in value for name in (*VOTED, "Tone")]
    ratings = pl.DataFrame(rows, schema=["completion", "criterion", "value"], orient="row")
    return {
        "completions": completions,
        "ratings": ratings,
        "votes": pl.DataFrame(),
        "outcomes": pl.DataFrame(),
    }


def test_votes_made_from_ratings_use_each_once():
    signals = rated()
    found = derived_votes(signals, seed=0)
    assert found["ratings"]["criterion"].unique().to_list() == ["Tone"]
    votes = found["votes"]
    assert votes.height == 3 * len(VOTED) * 2  # two pairs of five, the fifth stays alone
    sides = pl.concat([votes["completion_a"], votes["completion_b"]])
    assert sides.value_counts()["count"].max() <= len(VOTED)
    prompts = dict(signals["completions"].rows())
    value = {completion: v for completion, _, v in signals["ratings"].rows()}
    for a, b, choice, *_ in votes.rows():
        assert prompts[a] == prompts[b]
        assert choice == ("a" if value[a] > value[b] else "b" if value[a] < value[b] else "tie")
    assert derived_votes(signals, seed=0)["votes"].equals(votes)


def test_some_prompts_keep_their_signals_alone():
    signals = derived_votes(rated(), seed=0)
    outcomes = pl.DataFrame({"completion": ["c00", "c01"]})
    found = some_prompts(signals | {"outcomes": outcomes}, 1)
    assert set(found["completions"]["prompt"]) == {"p0"}
    kept = set(found["completions"]["completion"])
    assert set(found["votes"]["completion_a"]) | set(found["votes"]["completion_b"]) <= kept
    assert found["outcomes"]["completion"].to_list() == ["c00"]


def test_a_signal_that_is_not_there_is_not_left_out(small):
    assert "ours without outcomes" in models(small, quick=True)
    votes_alone = models(replace(small, parts=(small.votes,)), quick=True)
    assert [name for name in votes_alone if name.startswith("ours")] == ["ours"]


def test_the_published_density_is_the_product_of_its_parts(small):
    x = np.array([0.3, 0.8, 0.1, 0.6])
    at = {
        "vote_slope": 1.2,
        "vote_intercept": -0.4,
        "tie": 0.35,
        "ratings:good_slope": np.array([0.5, -1.0]),
        "ratings:good_intercept": np.array([0.1, 0.2]),
        "outcomes:turns_slope": -0.7,
        "outcomes:turns_intercept": 0.3,
    }
    density, _ = log_density(published_model, (published_arrays(small),), {}, at | {"x": x})
    expected = sum(norm.logpdf(value).sum() for name, value in at.items() if name != "tie")
    weight = expit(1.2 * x - 0.4)
    for a, b, counts in ((0, 1, [3, 1, 2]), (2, 3, [0, 4, 1])):
        p = np.array([weight[a], weight[b], 0.35])
        expected += (np.array(counts) * np.log(p / p.sum())).sum()
    for item, counts in ((0, [1, 0, 2]), (3, [0, 3, 1])):
        p = softmax(np.append(0, expit(at["ratings:good_slope"] * x[item] + at["ratings:good_intercept"])))
        totals = np.cumsum(counts)  # as published: one person counts up to three times
        expected += multinomial.logpmf(totals, totals.sum(), p) - coefficient(totals)
    for item, turns in ((0, 2), (2, 0)):
        expected += geom.logpmf(turns + 1, expit(-0.7 * x[item] + 0.3))
    assert float(density) == pytest.approx(expected, abs=1e-4)


def coefficient(counts):
    """Log of the multinomial coefficient, which does not depend on the parameters."""
    even = np.full(len(counts), 1 / len(counts))
    return multinomial.logpmf(counts, counts.sum(), even) + counts.sum() * np.log(len(counts))


def test_published_chains_come_again_with_their_seed(small):
    data = published_arrays(small)
    sampler = published_sampler(data, chains=2, draws=40)
    sites, _ = sampler(data, 5)
    assert sites["x"].shape == (2, 40, 4)
    assert ((sites["x"] > 0) & (sites["x"] < 1)).all()
    np.testing.assert_array_equal(sampler(data, 5)[0]["x"], sites["x"])
    assert not np.array_equal(sampler(data, 6)[0]["x"], sites["x"])
    p = published_vote_probabilities(small, sites)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    weights = expit(sites["vote_slope"][..., None] * sites["x"] + sites["vote_intercept"][..., None])
    of_first = weights[..., 2] / (weights[..., 2] + weights[..., 3] + sites["tie"])
    assert p[1, 0] == pytest.approx(of_first.mean())


def test_a_published_label_is_the_majority_of_chains():
    better = np.array([0.9, 0.8, 0.7, 0.1, 0.2])  # of five chains, three
    x = np.stack([better, 1 - better], axis=1)[:, None, :].repeat(4, axis=1)
    assert published_labels(x, np.array([0, 1]), np.array([1, 0])).tolist() == [True, False]


def test_mirrored_chains_are_told(small):
    rng = np.random.default_rng(0)
    quality = np.array([0.8, 0.2, 0.7, 0.3]) + rng.normal(0, 0.02, (4, 100, 4))
    slope = rng.normal(2, 0.1, (4, 100))
    quality[1], slope[1] = 1 - quality[1], -slope[1]
    mixed = summarise({"x": quality, "vote_slope": slope}, 0, 1.0, pairs_of(small))
    assert mixed.negative == 1
    assert mixed.r_hat > 1.3
    flipped = summarise({"x": 1 - quality, "vote_slope": -slope}, 2, 3.0, pairs_of(small))
    found = {name: value for name, value, _ in replicate_lines([mixed, flipped])}
    assert found["chains with a negative slope of votes"] == "4 of 8; mixed within 2 of 2 seeds"
    assert found["same label in two chains of a seed"].startswith("50.0%")
    assert found["same label in two seeds"] == "0.0%"
    assert found["divergences"] == "2"


def test_ess_per_cpu_second_is_compared_seed_by_seed():
    ours = [Cost(800.0, 700.0, 20.0, 5.0), Cost(400.0, 300.0, 20.0, 5.0)]
    theirs = [Cost(10.0, 500.0, 100.0, 25.0), Cost(5.0, 400.0, 100.0, 25.0)]
    rows = list(cost_lines(ours, theirs))
    times = [found.rpartition(": ")[2] for _, found, bar in rows if bar]
    assert times == ["400 (400 to 400) times", "400 (400 to 400) times", "5 (4 to 7) times"]
    assert rows[2][1].startswith("30 (20 to 40) against 0.075 (0.05 to 0.1): ")


def test_worst_is_over_every_site():
    rng = np.random.default_rng(0)
    good = rng.normal(size=(4, 500, 3))
    apart = rng.normal(size=(4, 500)) + np.arange(4)[:, None]
    r_hat, ess = worst({"good": good, "apart": apart})
    assert r_hat > 1.3
    assert ess < 20 < worst({"good": good})[1]


def test_without_pymc_the_cost_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv(published.PYMC, raising=False)
    ((name, found, _),) = published.costs(tmp_path / "none.duckdb", quick=True)
    assert name == "cost beside PyMC"
    assert "make bench-fusion" in found
