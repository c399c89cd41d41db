"""Rankings with a known truth, and of JFLEG: one judgement each, however many votes they are.

Two kinds of annotator: one who looks once at each answer and orders what they saw (`look`: logistic noise, a
tie where two looks are near), and one who picks the best of those left again and again (`luce`:
Davidson-Luce, Firth, Kosmidis and Turner 2019, arXiv 1903.09041).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SLOPE = 1.2
NOISE, NEAR = 0.9, 0.45  # of a look: scale of the logistic, and how near looks tie
LUCE_TIES = np.array([0.0, -0.3, -0.9, -1.6, -2.3])  # log weight of a best set of 1, 2 … answers
AUTHORS = 0.7  # sd of what an author's answers share

Rank = Callable[[np.random.Generator, Floats], Ints]


@dataclass(frozen=True)
class Ranking:
    """Which rows of the votes one judgement became, and the answers (k,) that it orders."""

    rows: Ints
    items: Ints


def group_rankings(votes: Votes, unit: Ints) -> list[Ranking]:
    """Group rows of votes by their ranking, `unit` (rows,)."""
    order = np.argsort(unit, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(unit[order])) + 1)
    return [Ranking(r, np.unique(np.concatenate([votes.first[r], votes.second[r]]))) for r in rows]


def rank_by_look(rng: np.random.Generator, worth: Floats) -> Ints:
    """Ranks (k,), 0 the best, by one noisy look at each answer."""
    look = worth + NOISE * rng.logistic(size=len(worth))
    order = np.argsort(-look)
    rank = np.zeros(len(worth), dtype=np.int64)
    rank[order[1:]] = np.cumsum(-np.diff(look[order]) > NEAR)
    return rank


def rank_by_choice(rng: np.random.Generator, worth: Floats) -> Ints:
    """Ranks (k,), 0 the best, by choosing the best set of those left again and again."""
    rank, left = np.zeros(len(worth), dtype=np.int64), list(range(len(worth)))
    for place in range(len(worth)):
        sets = [list(s) for n in range(1, len(left) + 1) for s in itertools.combinations(left, n)]
        score = np.array([worth[s].mean() + LUCE_TIES[len(s) - 1] for s in sets])
        chance = np.exp(score - score.max())
        best = sets[rng.choice(len(sets), p=chance / chance.sum())]
        rank[best] = place
        left = [i for i in left if i not in best]
        if not left:
            break
    return rank


TRUTHS: dict[str, Rank] = {"look": rank_by_look, "luce": rank_by_choice}


def simulate_rankings(
    obs: Observations, rankings: list[Ranking], rank: Rank, rng: np.random.Generator
) -> tuple[Observations, Floats]:
    """Judge the same answers anew; returns the observations and the true qualities (items,)."""
    votes = obs.votes
    assert votes is not None
    e = rng.normal(size=len(obs.prompt))
    if obs.authors:
        e = e + AUTHORS * rng.normal(size=len(obs.authors) + 1)[obs.author]  # the last is NOBODY's
    counts = np.zeros_like(votes.counts)
    for ranking in rankings:
        place = np.zeros(len(e), dtype=np.int64)
        place[ranking.items] = rank(rng, SLOPE * e[ranking.items])
        ahead = place[votes.second[ranking.rows]] - place[votes.first[ranking.rows]]
        counts[ranking.rows, np.where(ahead > 0, 0, np.where(ahead < 0, 1, 2))] = 1
    others = tuple(part for part in obs.parts if part is not votes)
    return replace(obs, parts=(replace(votes, counts=counts), *others)), e


@lru_cache
def list_orders(k: int) -> Ints:
    """All weak orders of k answers as ranks from 0: (orders, k); 3, 13, 75, 541 for 2 to 5."""
    every = itertools.product(range(k), repeat=k)
    return np.array([r for r in every if set(r) == set(range(max(r) + 1))])


def list_sides(k: int) -> Ints:
    """What every weak order says of each two answers, 0 first, 1 second, 2 tie: (orders, k(k - 1)/2 pairs)."""
    one, other = np.array(list(itertools.combinations(range(k), 2))).T
    ahead = list_orders(k)[:, other] - list_orders(k)[:, one]
    return np.where(ahead > 0, 0, np.where(ahead < 0, 1, 2))


def compute_orders(log_probs: Floats) -> Floats:
    """Compute P(order) of every weak order of k answers: (draws, k(k - 1)/2 pairs, 3) -> (orders,).

    At each draw in proportion to the product of its votes' probabilities: those of independent votes, given
    that they form an order. Pairs as `itertools.combinations` lists them; first, second, tie.
    """
    pairs = log_probs.shape[1]
    said = list_sides(round((1 + np.sqrt(1 + 8 * pairs)) / 2))
    scores = np.sum([log_probs[:, i, said[:, i]] for i in range(pairs)], axis=0)
    chance = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Floats = (chance / chance.sum(axis=1, keepdims=True)).mean(axis=0)
    return found
