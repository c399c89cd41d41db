"""Peers that see votes alone: smoothed shares, Bradley-Terry, Davidson.

Each takes training counts (rows, 3: first, second, tie) of `Votes` and predicts every row. What a peer
has to be told (how strong its prior is) it is given by five folds of the training votes, so that no
peer loses for want of tuning.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaln, softmax, xlogy

from preceptor.toolkit.fusion.likelihoods.votes import Votes

PRIOR_SDS = (0.25, 0.5, 1.0, 2.0, 4.0)
INNER_FOLDS = 5
_TIE_SD = 3.0  # of the log weight of a tie: next to nothing, and finite where nobody tied

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def split_votes(counts: Floats, folds: int, rng: np.random.Generator) -> Floats:
    """Deal single votes out to folds of equal size: counts (folds, rows, categories)."""
    votes = np.repeat(np.arange(counts.size), counts.ravel().astype(int))
    dealt = np.zeros((folds, counts.size))
    np.add.at(dealt, (rng.permutation(len(votes)) % folds, votes), 1)
    return dealt.reshape(folds, *counts.shape)


def log_loss(p: Floats, counts: Floats) -> float:
    """Mean negative log-probability of a vote."""
    return float(-xlogy(counts, p).sum() / counts.sum())


def majority(votes: Votes, counts: Floats) -> Floats:
    """Each pair's shares, drawn towards the shares of all votes.

    Pseudo-counts k (global shares) are those under which the training votes are likeliest
    (Dirichlet-multinomial). Which of a pair stands first says nothing, so sides share alike.
    """
    pair, of_pair = _by_pair(votes, counts)
    total = counts.sum(axis=0)
    ties = (total[2] + 1) / (total.sum() + 3)
    shares = np.array([(1 - ties) / 2, (1 - ties) / 2, ties])
    n = of_pair.sum(axis=1)

    def cost(log_k: float) -> float:
        a = np.exp(log_k) * shares
        likelihood = (gammaln(of_pair + a) - gammaln(a)).sum(axis=1) + gammaln(a.sum()) - gammaln(n + a.sum())
        return float(-likelihood.sum())

    k = np.exp(minimize_scalar(cost, bounds=(-4.0, 7.0), method="bounded").x)
    smoothed: Floats = (of_pair + k * shares) / (n[:, None] + k)
    return smoothed[pair]


def _by_pair(votes: Votes, counts: Floats) -> tuple[Ints, Floats]:
    """Index of each row's pair, and the counts of all rows of each pair."""
    ends = np.stack([votes.first, votes.second], axis=1)
    pairs, pair = np.unique(ends, axis=0, return_inverse=True)
    summed = np.zeros((len(pairs), counts.shape[1]))
    np.add.at(summed, pair, counts)
    return pair, summed


def davidson_map(first: Ints, second: Ints, counts: Floats, items: int, sd: float) -> tuple[Floats, float]:
    """Strengths (items,) and log weight of a tie at the maximum a posteriori; strengths ~ N(0, sd).

    Without ties among the counts this is Bradley-Terry, and the weight is -inf.
    """
    ties = counts[:, 2].any()
    n = counts.sum(axis=1, keepdims=True)

    def cost(at: Floats) -> tuple[float, Floats]:
        strength, tie = at[:items], at[items] if ties else -np.inf
        p = davidson_shares(strength[first] - strength[second], tie)
        loss = -xlogy(counts, p).sum() + np.square(strength).sum() / (2 * sd**2)
        too_much = n * p - counts
        slope = (too_much[:, 0] - too_much[:, 1]) / 2
        gradient = np.bincount(first, slope, items) - np.bincount(second, slope, items) + strength / sd**2
        if not ties:
            return float(loss), gradient
        loss += tie**2 / (2 * _TIE_SD**2)
        return float(loss), np.append(gradient, too_much[:, 2].sum() + tie / _TIE_SD**2)

    options = {"maxiter": 2000, "gtol": 1e-7, "ftol": 1e-13}
    found = minimize(cost, np.zeros(items + bool(ties)), jac=True, method="L-BFGS-B", options=options).x
    return found[:items], float(found[items]) if ties else -np.inf


def davidson_shares(eta: Floats, tie: float) -> Floats:
    """P(first), P(second), P(tie), shape (rows, 3), at an advantage of the first in log-odds."""
    scores = np.stack([eta / 2, -eta / 2, np.full_like(eta, tie)], axis=1)
    return np.asarray(softmax(scores, axis=1))


def davidson(votes: Votes, counts: Floats) -> Floats:
    """Davidson's strengths and tie, with the prior that predicts best within the training votes."""

    def predict(counts: Floats, sd: float) -> Floats:
        strength, tie = davidson_map(votes.first, votes.second, counts, _items(votes), sd)
        return davidson_shares(strength[votes.first] - strength[votes.second], tie)

    return predict(counts, _best_sd(counts, predict))


def bradley_terry(votes: Votes, counts: Floats) -> Floats:
    """Bradley-Terry's strengths from the decisive votes; a tie is as likely as among all votes."""

    def predict(counts: Floats, sd: float) -> Floats:
        decisive = counts * [1, 1, 0]
        strength, _ = davidson_map(votes.first, votes.second, decisive, _items(votes), sd)
        p = davidson_shares(strength[votes.first] - strength[votes.second], -np.inf)
        ties = (counts[:, 2].sum() + 1) / (counts.sum() + 3)
        return np.asarray(p * (1 - ties) + np.array([0, 0, ties]))

    return predict(counts, _best_sd(counts, predict))


def _items(votes: Votes) -> int:
    return int(max(votes.first.max(), votes.second.max())) + 1


def _best_sd(counts: Floats, predict: Callable[[Floats, float], Floats]) -> float:
    """The prior's sd with the lowest loss on inner folds of the training votes."""
    dealt = split_votes(counts, INNER_FOLDS, np.random.default_rng(0))

    def losses(sd: float) -> Iterator[float]:
        return (log_loss(predict(counts - held, sd), held) * held.sum() for held in dealt)

    return min(PRIOR_SDS, key=lambda sd: sum(losses(sd)))
