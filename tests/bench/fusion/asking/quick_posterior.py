"""A fast stand-in for a fit where only votes are fused: after every few votes of a replay, a posterior.

Given the shared parameters, prompts do not touch each other: each has a small block of qualities, whose
mode is found by Newton's method and whose posterior is taken as normal there (Laplace). Slope, tie weight
and reliabilities take the place of highest posterior density, by expectation over the normal draws
(Monte Carlo EM), and carry over from one round of a replay to the next. `make bench-fusion` compares it
with NUTS once.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPS = 4  # of Newton's method, from the mode of the round before
LONGEST = 1.5  # a step in one quality; the prior's sd is 1
EXPECTED_OVER = 20  # draws in the expectation


@dataclass(frozen=True)
class Ballot:
    """Votes, counted per pair and annotator. Items count prompt by prompt, `size` to a prompt."""

    first: Ints
    second: Ints
    annotator: Ints
    counts: Floats  # (rows, 3): for the first, for the second, ties


@dataclass(frozen=True)
class Quick:
    """Where the posterior is: qualities with their blocks of precision, and shared parameters."""

    e: Floats  # (prompts, size)
    precision: Floats  # (prompts, size, size)
    reliability: Floats  # (annotators,)
    unsure: Floats  # (annotators,), variance of the reliability
    slope: float = 1.5
    tie: float = -1.0
    spread: float = 0.5  # sd of reliabilities

    def draws(self, n: int, rng: np.random.Generator) -> Floats:
        """Qualities, (n, items)."""
        lower = np.linalg.cholesky(self.precision)
        z = rng.standard_normal((n, *self.e.shape, 1))
        # precision = L L^T, so L^-T z has its inverse as covariance
        x = self.e + np.linalg.solve(np.swapaxes(lower, -1, -2), z)[..., 0]
        return x.reshape(n, -1)


def beginning(prompts: int, size: int, annotators: int) -> Quick:
    """The prior."""
    eye = np.broadcast_to(np.eye(size), (prompts, size, size)).copy()
    return Quick(np.zeros((prompts, size)), eye, np.ones(annotators), np.zeros(annotators))


def update(quick: Quick, votes: Ballot, rng: np.random.Generator, rounds: int = 3) -> Quick:
    """The posterior given all votes so far, starting from the one before the last few."""
    for _ in range(rounds):
        quick = _qualities(quick, votes)
        quick = _shared(quick, votes, rng)
    return _qualities(quick, votes)


def _vote(eta: Floats, tie: float) -> tuple[Floats, Floats, Floats]:
    """Davidson's probabilities of first, second and tie, each shaped as `eta`."""
    half = np.clip(eta / 2, -30, 30)
    a, b, t = np.exp(half), np.exp(-half), np.exp(tie)
    total = a + b + t
    return a / total, b / total, t / total


def _slopes(eta: Floats, tie: float, counts: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Gradient of the log-likelihood in eta, its information, and the same in the tie weight."""
    a, b, t = _vote(eta, tie)
    n = counts.sum(axis=1)
    lead = a - b
    return (
        (counts[:, 0] - counts[:, 1] - n * lead) / 2,
        n * (1 - t - lead**2) / 4,
        counts[:, 2] - n * t,
        n * t * (1 - t),
    )


def _qualities(quick: Quick, votes: Ballot) -> Quick:
    """Newton's method, all prompts side by side."""
    prompts, size = quick.e.shape
    e = quick.e.reshape(-1).copy()
    a, b = votes.first, votes.second
    factor = quick.slope * quick.reliability[votes.annotator]
    row, i, j = a // size, a % size, b % size
    for _ in range(STEPS):
        d = e[a] - e[b]
        gradient, information, _, _ = _slopes(factor * d, quick.tie, votes.counts)
        # In expectation over the reliability: what is not known of it draws the difference to zero.
        loose = quick.slope**2 * quick.unsure[votes.annotator] * information
        pull, weight = factor * gradient - loose * d, factor**2 * information + loose
        slope = np.bincount(a, pull, len(e)) - np.bincount(b, pull, len(e)) - e
        cell = np.concatenate([(row * size + x) * size + y for x, y in ((i, i), (j, j), (i, j), (j, i))])
        precision = np.bincount(
            cell, np.concatenate([weight, weight, -weight, -weight]), prompts * size * size
        ).reshape(prompts, size, size) + np.eye(size)
        step = np.linalg.solve(precision, slope.reshape(prompts, size, 1)).reshape(-1)
        e += np.clip(step, -LONGEST, LONGEST)
    return replace(quick, e=e.reshape(prompts, size), precision=precision)


def _shared(quick: Quick, votes: Ballot, rng: np.random.Generator) -> Quick:
    """One step of slope, tie weight, reliabilities and their spread, in expectation over the qualities."""
    e = quick.draws(EXPECTED_OVER, rng)
    d = e[:, votes.first] - e[:, votes.second]
    own = quick.reliability[votes.annotator]
    people = len(quick.reliability)
    gradient, information, ties, tie_information = (
        np.asarray(x) for x in _slopes(quick.slope * own * d, quick.tie, votes.counts)
    )
    unsure = quick.unsure[votes.annotator]
    slope = quick.slope + _step(
        (gradient * own * d - quick.slope * information * unsure * d**2).mean(0).sum() - quick.slope / 4,
        (information * (own**2 + unsure) * d**2).mean(0).sum() + 1 / 4,
    )
    tie = quick.tie + _step(
        ties.mean(0).sum() - (quick.tie + 1) / 1.5**2, tie_information.mean(0).sum() + 1 / 1.5**2
    )
    pull = np.bincount(votes.annotator, (gradient * quick.slope * d).mean(0), people)
    known = np.bincount(votes.annotator, (information * (quick.slope * d) ** 2).mean(0), people)
    weight = known + 1 / quick.spread**2
    reliability = quick.reliability + np.clip(
        (pull - (quick.reliability - 1) / quick.spread**2) / weight, -1, 1
    )
    # two people's worth of sd 0.5 stand for the prior of the spread
    spread = np.sqrt(((reliability - 1) ** 2 + 1 / weight).sum() + 2 * 0.5**2) / np.sqrt(people + 2)
    return replace(
        quick,
        slope=max(slope, 0.1),
        tie=tie,
        reliability=reliability,
        unsure=1 / weight,
        spread=float(np.clip(spread, 0.05, 2)),
    )


def _step(gradient: float, information: float) -> float:
    return float(np.clip(gradient / information, -0.5, 0.5))
