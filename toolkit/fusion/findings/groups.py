"""Say where groups of people want something else than the label that they share.

    D ~ N(0, 2), D_g ~ N(D, 2 tau^2)      difference of a pair's qualities: to all, and to group g

The fit has one quality for all people. Here each group's votes on a pair give its own difference, with slope,
ties and reliabilities of the fit, as a normal likelihood at the fit's mean; tau is the most likely spread,
common to all pairs. This costs no second fit. Votes on other pairs and ratings are left out, so it says less
than is known, never more.
"""

import json
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ....schemas.support.text import SURE
from ..likelihoods.votes import Votes
from ..observations import Observations
from ..sampling.fit import Posterior
from .information import compute_vote_shares

Floats = NDArray[np.float64]

LEAST = 30  # votes of a group, to be one
MOST = 6  # groups compared by one property, those with most votes
DRAWS = 400
SPREADS = np.array([0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0])  # tau tried
_AT_ONCE = 5_000  # pairs; bounds memory
BY = ("kind", "campaign", "language", "level")


def summarise_groups(
    obs: Observations, posterior: Posterior, pairs: pl.DataFrame, seed: int
) -> list[dict[str, Any]]:
    """Summarise groups of people by each property of BY that at least two groups with LEAST votes have.

    by: the property; votes: of each group; spread: tau; pairs: voted on by two groups or more; differ: of
    these, those where two groups want different sides with a probability above SURE; against: by group, pairs
    whose p_expressed is on the side that the group does not want, with a probability above SURE.
    """
    votes = obs.votes
    if votes is None or "annotator_reliability" not in posterior.sites:
        return []
    found = []
    for by, values in list_properties(obs).items():
        of_people = pl.Series([*values, None], dtype=pl.String)
        place = np.where(votes.annotator >= 0, votes.annotator, len(values))
        rows = pl.DataFrame({"group": of_people.gather(place), "n": votes.counts.sum(axis=1)})
        many = rows.drop_nulls().group_by("group").agg(pl.col("n").sum()).filter(pl.col("n") >= LEAST)
        names = many.sort("n", "group", descending=[True, False]).head(MOST)["group"].to_list()
        if len(names) > 1:
            number = {name: i for i, name in enumerate(names)}
            group = rows["group"].replace_strict(number, default=-1, return_dtype=pl.Int64).to_numpy()
            found.append({"by": by} | _compare(obs, posterior, pairs, votes, group, names, seed))
    return found


def list_properties(obs: Observations) -> dict[str, list[str | None]]:
    """List the properties of BY of each annotator, null for models and where unknown."""
    annotators, columns = obs.annotators, obs.annotators.columns
    person = (~obs.models).tolist()
    known = [json.loads(text or "{}") for text in annotators["known"]] if "known" in columns else []
    found: dict[str, list[str | None]] = {}
    for by in BY:
        if by in columns:
            values = annotators[by].to_list()
        else:
            values = [str(one[by]) if isinstance(one, dict) and by in one else None for one in known]
        if values:
            found[by] = [value if real else None for value, real in zip(values, person, strict=True)]
    return found


def _compare(
    obs: Observations,
    posterior: Posterior,
    pairs: pl.DataFrame,
    votes: Votes,
    group: NDArray[np.int64],
    names: list[str],
    seed: int,
) -> dict[str, Any]:
    """Compare groups on every pair that two of them voted on; `group` is each row's, -1 for none."""
    slope = posterior.flatten("vote_slope").mean()
    steep = slope * posterior.flatten("annotator_reliability").mean(axis=0)[votes.annotator]
    tie = posterior.flatten("vote_tie").mean() + posterior.flatten("tie_habit").mean(axis=0)[votes.annotator]
    quality = posterior.flatten("e").mean(axis=0)
    mine = group >= 0
    ends = np.stack([votes.first, votes.second], axis=1)[mine]
    pair, place = np.unique(ends, axis=0, return_inverse=True)
    around = quality[pair[:, 0]] - quality[pair[:, 1]]
    said, weight = weigh_votes(around[place.ravel()], steep[mine], tie[mine], votes.counts[mine])
    score, information = (np.zeros((len(pair), len(names))) for _ in range(2))
    np.add.at(score, (place.ravel(), group[mine]), said)
    np.add.at(information, (place.ravel(), group[mine]), weight)
    both = (information > 0).sum(axis=1) > 1
    pair, score, information, around = pair[both], score[both], information[both], around[both]
    seen = np.where(information > 0, around[:, None] + score / np.maximum(information, 1e-9), 0.0)
    tau = find_spread(seen, information)
    differ, below = compute_differences(seen, information, tau, seed)
    keys = obs.completions["completion"]
    sides = pl.DataFrame({"completion_a": keys.gather(pair[:, 0]), "completion_b": keys.gather(pair[:, 1])})
    p = sides.join(pairs, on=["completion_a", "completion_b"], how="left", maintain_order="left")[
        "p_expressed"
    ]
    other = np.where((p.to_numpy() > 0.5)[:, None], below, 1 - below)
    heard = information > 0
    counts = [float(votes.counts[group == i].sum()) for i in range(len(names))]
    return {
        "votes": {name: int(n) for name, n in zip(names, counts, strict=True)},
        "spread": round(tau, 2),
        "pairs": len(pair),
        "differ": int((differ > SURE).sum()),
        "against": {name: int(((other > SURE) & heard)[:, i].sum()) for i, name in enumerate(names)},
    }


def weigh_votes(difference: Floats, steep: Floats, tie: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Compute score and Fisher information of the difference, of each row of votes; all are (rows,).

    `counts` is (rows, 3): for the first, for the second, ties.
    """
    p = compute_vote_shares(steep, tie, difference[:, None])[:, :, 0]
    n, lead = counts.sum(axis=1), p[0] - p[1]
    score = steep / 2 * (counts[:, 0] - counts[:, 1] - n * lead)
    return score, steep**2 / 4 * n * (p[0] + p[1] - lead**2)


def find_spread(seen: Floats, information: Floats) -> float:
    """Find the most likely tau of SPREADS; `seen` and `information` are (pairs, groups), 0 where unheard."""
    if not len(seen):
        return 0.0
    fits = []
    for tau in SPREADS:
        # 0 information is a variance that says nothing, in units where quality differs by about 1.
        noise = np.where(information > 0, 1 / np.maximum(information, 1e-9), 1e6)
        size = seen.shape[1]
        spread = 2 * np.ones((size, size)) + 2 * tau**2 * np.eye(size)
        whole = spread[None] + noise[:, :, None] * np.eye(size)
        _, log_size = np.linalg.slogdet(whole)
        solved = np.linalg.solve(whole, seen[:, :, None])[:, :, 0]
        fits.append(float(-0.5 * (log_size + (seen * solved).sum(axis=1)).sum()))
    return float(SPREADS[int(np.argmax(fits))])


def compute_differences(seen: Floats, information: Floats, tau: float, seed: int) -> tuple[Floats, Floats]:
    """Compute the probability that two groups want different sides, the largest of any two: (pairs,).

    Also P(the difference is negative) by group, (pairs, groups). Of groups that were not heard about a pair
    nothing is counted.
    """
    rng = np.random.default_rng([seed, 8])
    size = seen.shape[1]
    prior = np.linalg.inv(2 * np.ones((size, size)) + 2 * max(tau, 1e-3) ** 2 * np.eye(size))
    differ, below = np.zeros(len(seen)), np.zeros(seen.shape)
    for start in range(0, len(seen), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        weights = information[part]
        covariance = np.linalg.inv(prior[None] + weights[:, :, None] * np.eye(size))
        mean = (covariance @ (weights * seen[part])[:, :, None])[:, :, 0]
        noise = rng.standard_normal((DRAWS, *mean.shape))
        drawn = mean + np.einsum("pij,dpj->dpi", np.linalg.cholesky(covariance), noise)
        negative, heard = drawn < 0, weights > 0
        below[part] = negative.mean(axis=0)
        for i in range(size):
            for j in range(i):
                apart = (negative[:, :, i] != negative[:, :, j]).mean(axis=0) * (heard[:, i] & heard[:, j])
                differ[part] = np.maximum(differ[part], apart)
    return differ, below
