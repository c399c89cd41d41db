"""What one more vote is worth, the order to ask in, and the replay that compares orders."""

import numpy as np
import pytest

from preceptor.tests.bench.fusion.asking.curves import Curve, curve, needed, ratio
from preceptor.tests.bench.fusion.asking.data import World, invented, judged
from preceptor.tests.bench.fusion.asking.figure import drawing
from preceptor.tests.bench.fusion.asking.quick_posterior import Ballot, beginning, update
from preceptor.tests.bench.fusion.asking.replay import (
    Known,
    Order,
    Plan,
    at_random,
    coverage,
    gain,
    next_pairs,
    p_first,
    replay,
    shannon,
)
from preceptor.tests.bench.inputs import STORE, ingesting
from preceptor.toolkit.fusion.findings.information import compute_gain, compute_vote_shares

RANDOM = Order("random", at_random)
COVERAGE = Order("coverage", coverage)
GAIN = Order("gain", gain)


def test_the_gain_is_the_fall_that_votes_bring_about():
    rng = np.random.default_rng(1)
    d = rng.normal([0.2, 1.5], 1, (400, 2))
    vote = compute_vote_shares(np.full(400, 1.5), np.full(400, -1.0), d)
    assert vote.sum(axis=0) == pytest.approx(1)
    for pair in range(2):
        # Every draw is a world; its votes weigh it. Afterwards, vote by vote, how sure are we?
        after = 0.0
        for kind in range(3):
            weights = vote[kind, :, pair]
            p = weights[d[:, pair] > 0].sum() / weights.sum()
            after += weights.mean() * 2 * p * (1 - p)
        p = (d[:, pair] > 0).mean()
        assert compute_gain(vote, d > 0)[pair] == pytest.approx(2 * p * (1 - p) - after)


def test_a_vote_tells_nothing_where_nothing_is_open_or_nobody_can_tell():
    d = np.array([[2.0, -1.0], [3.0, 1.0], [9.0, -1e-9], [700.0, 1e-9]])
    slope, tie = np.ones(4), np.zeros(4)
    settled, open_ = compute_gain(compute_vote_shares(slope, tie, d), d > 0)
    assert settled == pytest.approx(0)
    assert 0 < open_ < 0.5
    assert compute_gain(compute_vote_shares(0 * slope, tie, d), d > 0) == pytest.approx(0)  # votes are noise
    assert compute_gain(compute_vote_shares(0 * slope, tie + 900, d), d > 0) == pytest.approx(0)  # only ties


@pytest.mark.parametrize("spread", [False, True])
def test_the_next_pairs_are_the_best_or_every_prompts_best(spread):
    q = invented(World("", 3, 3, Plan(0, 0, 0)), 0)  # pairs 0 to 2 are the first prompt's, and so on
    score = np.array([0.5, 0.9, 0.8, 0.1, 0.2, 0.4, 0.3, 0.3, 0.99])
    asked = np.array([0, 0, 0, 0, 0, 0, 0, 0, 40])  # nobody is left to ask about the last
    known = Known(q, asked, beginning(3, 3, 30), score, np.random.default_rng(0))
    chosen = next_pairs(known, Order("", lambda _: score, spread), 3).tolist()
    assert chosen[:2] == ([1, 2] if not spread else [1, 5])
    assert chosen[2] in ((0,) if not spread else (6, 7))


@pytest.mark.parametrize("order", [RANDOM, COVERAGE, GAIN], ids=lambda order: order.name)
def test_a_replay_begins_alike_asks_each_question_once_and_ends_alike(order):
    world = World("", 6, 4, Plan(500, 2, 7))
    whole = invented(world, 3)
    once = whole.__class__(
        **{**whole.__dict__, "annotator": whole.annotator[:, :1], "choice": whole.choice[:, :1]}
    )
    played, beside = (replay(once, o, world.plan, 5) for o in (order, RANDOM))
    assert played.votes.tolist() == [12, 19, 26, 33, 36]  # six pairs of each of six prompts, then no more
    assert (played.p[0] == beside.p[0]).all()
    assert np.abs(played.p[-1] - beside.p[-1]).mean() < 0.05  # but for the way there


def test_with_many_votes_the_stand_in_finds_the_truth():
    q = invented(World("", 30, 4, Plan(0, 0, 0)), 2)
    first, second = (np.repeat(side, 40) for side in (q.first, q.second))
    ballot = Ballot(first, second, q.annotator.reshape(-1), np.eye(3)[q.choice.reshape(-1)])
    quick = update(beginning(30, 4, 30), ballot, np.random.default_rng(0), rounds=25)
    assert ((p_first(quick, q) > 0.5) == q.first_better).mean() > 0.93
    assert quick.reliability[:3] == pytest.approx(0, abs=0.3)  # the careless
    assert quick.reliability[3:5] == pytest.approx(-1, abs=0.5)  # the adversarial; scale is the slope's
    assert quick.tie == pytest.approx(-0.7, abs=0.15)


def test_asking_by_gain_beats_asking_at_random():
    world = World("", 60, 3, Plan(900, 1, 60), slope=3.0)
    studies = [invented(world, seed) for seed in range(3)]
    random, told = (curve(studies, order, world.plan, by_prompt=False) for order in (RANDOM, GAIN))
    share, low, high = ratio(told, random, 1.0)
    assert low <= share <= high < 0.9


def test_votes_needed_are_read_between_the_rounds():
    votes = np.array([10.0, 20.0, 30.0, 40.0])
    random = np.array([0.5, 0.6, 0.7, 0.8])
    assert needed(random, random, votes, 0.75) == pytest.approx(30)
    assert needed(np.array([0.5, 0.65, 0.75, 0.75]), random, votes, 0.75) == pytest.approx(25)
    assert needed(np.array([0.9, 0.9, 0.9, 0.9]), random, votes, 1.0) == 10
    assert needed(np.array([0.5, 0.6, 0.7, 0.7]), random, votes, 1.0) == np.inf


def test_the_interval_holds_one_where_both_are_the_same():
    rng = np.random.default_rng(0)
    right = rng.binomial(50, np.linspace(0.5, 0.9, 9)[:, None], (10, 9, 4)).astype(float)
    same = Curve(np.linspace(100, 900, 9), right, np.full(right.shape, 50.0), np.zeros(9))
    assert ratio(same, same, 0.8) == pytest.approx((1, 1, 1))
    other = Curve(same.votes, right[::-1, :, ::-1], same.counted, same.log_loss)
    share, low, high = ratio(other, same, 0.8)
    assert share == pytest.approx(1)
    assert low < 1 < high
    svg = drawing({"one": {"a": same, "b": other, "c": same}}, ["a", "b", "c"])
    assert svg == drawing({"one": {"a": same, "b": other, "c": same}}, ["a", "b", "c"])
    assert svg.count("<svg") == 1


def test_published_judgements_are_asked_about_once_and_some_never(tmp_path, shared_data):
    store = tmp_path / STORE
    ingesting(store, "votes", shared_data / "jfleg" / "EACL_exp" / "mturk" / "pairwise.csv")()
    q, all_ = judged(store, 0.4, 1), judged(store, 0.0, 1)
    assert len(q.first) == len(all_.first) == 1061  # twenty documents have one pair each
    assert q.choice.shape == (1061, 1)
    assert not (q.askable & q.scored).any()
    assert 0.35 < 1 - q.askable.mean() < 0.45
    assert all_.askable.all()
    assert (q.first // q.size == q.second // q.size).all()
    assert set(np.unique(q.choice[all_.scored])) == {0, 1}
    assert np.diff(q.prompt).min() == 0  # prompt by prompt
    played = replay(all_, Order("nats", shannon), Plan(400, 2, 102), 0)
    assert played.votes.tolist() == [196, 298, 400]
    called = (played.p > 0.5) == all_.first_better
    assert called[-1][all_.scored].mean() > 0.8
