"""Foretell what annotators who have not voted yet would vote: p_vote of one, p_panel of three.

A new annotator's reliability and tie habit come from what the fit has learnt of those it knows: 1 + tau_r
N(0, 1) and tau_h N(0, 1). Which answer is shown first is left out: with either order as likely, that bias
has no side. The draws of three new annotators are independent given the draw of everything else, so
products of theirs need no integral over each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ..sampling.fit import Posterior
from .information import compute_vote_shares

Draws = NDArray[np.float64]

PANEL = 3  # new annotators
_DRAWS = 1000  # at most, evenly spread over chains and time: the error of p_vote stays below 0.005
_LEAST = 1000  # draws are repeated until there are as many: approximations have few
_PAIRS_AT_ONCE = 500  # bounds memory


@dataclass(frozen=True)
class Newcomers:
    """New annotators, PANEL to each draw taken from the posterior."""

    taken: NDArray[np.int64]  # (n,) indices of the posterior's draws, chains concatenated
    sharpness: Draws  # (PANEL, n): slope times reliability
    tie: Draws  # (PANEL, n): log weight of a tie between equals


def draw_newcomers(posterior: Posterior, seed: int) -> Newcomers | None:
    """Draw new annotators for evenly spread draws of a posterior; None if it has seen no votes.

    Where annotators are not named, a new one is like all others.
    """
    if "vote_slope" not in posterior.sites:
        return None
    slope, tie = posterior.flatten("vote_slope"), posterior.flatten("vote_tie")
    taken = np.unique(np.linspace(0, len(slope) - 1, _DRAWS).astype(np.int64))
    taken = np.repeat(taken, -(-_LEAST // len(taken)))
    rng = np.random.default_rng([seed, 8])
    scatter = {
        name: (posterior.flatten(name)[taken] if name in posterior.sites else 0.0)
        * _spread_normals(rng, len(taken))
        for name in ("tau_reliability", "tau_tie_habit")
    }
    return Newcomers(
        taken,
        slope[taken] * (1 + scatter["tau_reliability"]),
        tie[taken] + scatter["tau_tie_habit"],
    )


def _spread_normals(rng: np.random.Generator, n: int) -> Draws:
    """Draw (PANEL, n) standard normals, each row one from each of n parts of equal probability."""
    parts = np.stack([rng.permutation(n) for _ in range(PANEL)])
    normals: Draws = ndtri((parts + rng.random(parts.shape)) / n)
    return normals


def compute_new_votes(newcomers: Newcomers, difference: Draws) -> Draws:
    """Compute P(vote) of each new annotator for the first, for the second, and of a tie.

    `difference` of expressed quality is (n, pairs), in log-odds, at the draws `newcomers.taken`; the result
    is (3, PANEL, n, pairs).
    """
    each = zip(newcomers.sharpness, newcomers.tie, strict=True)
    return np.stack([compute_vote_shares(slope, tie, difference) for slope, tie in each], axis=1)


def compute_p_vote(votes: Draws, weights: Draws | None = None) -> Draws:
    """Compute P(a new annotator who decides votes for the first): (3, PANEL, n, pairs) -> (pairs,).

    `weights` (n,) or (n, pairs) of the draws, as importance sampling has them; equal if left out.
    """
    first, second = (_average(votes[side].mean(axis=0), weights) for side in (0, 1))
    return _share(first, second)


def compute_p_panel(votes: Draws, weights: Draws | None = None) -> Draws:
    """Compute P(of three new annotators more vote for the first, where not as many): (pairs,).

    Two who vote for it outvote any third, one does if both others tie.
    """
    tie = votes[2]
    return _share(*(_average(_win(votes[side], tie), weights) for side in (0, 1)))


def _win(mine: Draws, tie: Draws) -> Draws:
    """Compute P(a side gets more of three votes) from (PANEL, n, pairs): (n, pairs)."""
    x, y, z = mine
    alone = x * tie[1] * tie[2] + y * tie[0] * tie[2] + z * tie[0] * tie[1]
    won: Draws = x * y + x * z + y * z - 2 * x * y * z + alone
    return won


def _average(values: Draws, weights: Draws | None) -> Draws:
    if weights is None:
        return np.asarray(values.mean(axis=0))
    by_draw = weights if weights.ndim == 2 else weights[:, None]
    return np.asarray((by_draw * values).sum(axis=0) / by_draw.sum(axis=0))


def _share(first: Draws, second: Draws) -> Draws:
    """Divide the first's probability by that of both; 0.5 where both are 0."""
    both = first + second
    return np.divide(first, both, out=np.full_like(both, 0.5), where=both > 0)


def compute_forecasts(
    newcomers: Newcomers, e: Draws, a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[Draws, Draws]:
    """Compute p_vote and p_panel of pairs; `e` is (draws, items), `a` and `b` (pairs,) index items."""
    found: list[tuple[Draws, Draws]] = []
    e = e[newcomers.taken]
    for start in range(0, len(a), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        votes = compute_new_votes(newcomers, e[:, a[part]] - e[:, b[part]])
        found.append((compute_p_vote(votes), compute_p_panel(votes)))
    none = np.zeros(0)
    vote, panel = zip(*found, strict=True) if found else ([none], [none])
    return np.concatenate(vote), np.concatenate(panel)
