"""Compute the information gain of one more vote, to choose pairs to ask about.

The gain is the expected fall of 2p(1 - p), the probability that two draws of the posterior disagree about
which of two completions is better. It is information measured by Gini's index (the Brier score's
entropy) instead of Shannon's: Shannon's prefers nearly decided pairs, and in
`make bench-fusion PARTS=asking` needs more votes for the same accuracy.
"""

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.float64]


def compute_vote_shares(slope: Draws, tie: Draws, difference: Draws) -> Draws:
    """Compute P(vote) for the first, for the second, and of a tie: (3, draws, pairs).

    The model is Davidson's, for an average annotator. `slope` and `tie` are (draws,), `difference` of
    expressed quality is (draws, pairs), in log-odds.
    """
    half = slope[:, None] / 2 * difference
    scores = np.stack([half, -half, np.broadcast_to(tie[:, None], half.shape)])
    scores -= scores.max(axis=0)
    weights = np.exp(scores)
    shares: Draws = weights / weights.sum(axis=0)
    return shares


def compute_gain(vote: Draws, a_better: NDArray[np.bool_]) -> Draws:
    """Compute the expected fall of 2p(1 - p) after one more vote: (pairs,), between 0 and 0.5.

    `vote` is (3, draws, pairs) as `compute_vote_shares` returns it, `a_better` is (draws, pairs).
    """
    chance = vote.mean(axis=1)  # P(vote)
    share = a_better.mean(axis=0)  # p
    both = np.where(a_better, vote, 0).mean(axis=1)  # P(vote and a is better)
    # After a vote p is both / chance. What p(1 - p) loses is the variance of that over the votes.
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(chance > 0, (both - chance * share) ** 2 / chance, 0.0)
    gain: Draws = 2 * lost.sum(axis=0)
    return gain
