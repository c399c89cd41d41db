"""What a posterior says: qualities of completions, preferences of pairs, findings, checks."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logsumexp

from .fit import Posterior
from .observations import Observations

Draws = NDArray[np.float64]

_PAIRS_AT_ONCE = 2000  # bounds memory: draws x pairs booleans


def quality_draws(obs: Observations, posterior: Posterior, seed: int) -> tuple[Draws, Draws]:
    """Draws of expressed and observed quality, each (draws, items).

    Where no learner tried a completion its observed quality given the expressed one is the prior's.
    """
    e = posterior.flat("e")
    rho = posterior.flat("rho")[:, None]
    w = np.random.default_rng([seed, 1]).standard_normal(e.shape)
    if "w" in posterior.sites:
        w[:, obs.tried] = posterior.flat("w")
    return e, rho * e + np.sqrt(1 - rho**2) * w


def effectiveness(obs: Observations, e: Draws, o: Draws, target: float) -> pl.DataFrame:
    """One row per completion: mean, sd and 90 % interval of the target, means and sds of e and o."""
    t = target * o + (1 - target) * e
    low, high = np.quantile(t, [0.05, 0.95], axis=0)
    return obs.completions.select("completion", "n_votes", "n_ratings", "n_outcomes").with_columns(
        pl.Series("mean", t.mean(axis=0)),
        pl.Series("sd", t.std(axis=0)),
        pl.Series("low", low),
        pl.Series("high", high),
        pl.Series("expressed_mean", e.mean(axis=0)),
        pl.Series("expressed_sd", e.std(axis=0)),
        pl.Series("observed_mean", o.mean(axis=0)),
        pl.Series("observed_sd", o.std(axis=0)),
    )


def preferences(obs: Observations, posterior: Posterior, e: Draws, o: Draws, target: float) -> pl.DataFrame:
    """One row per pair of completions of a prompt, the lower key first."""
    items = obs.completions.select("prompt", pl.col("completion").alias("c")).with_row_index("i")
    pairs = items.join(items, on="prompt", suffix="_b").filter(pl.col("c") < pl.col("c_b"))
    pairs = pairs.sort("prompt", "c", "c_b")
    a, b = pairs["i"].to_numpy(), pairs["i_b"].to_numpy()
    t = target * o + (1 - target) * e
    columns: dict[str, list[Draws]] = {}
    for start in range(0, len(a), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        difference = t[:, a[part]] - t[:, b[part]]
        expressed = e[:, a[part]] - e[:, b[part]]
        for name, values in (
            ("p", (difference > 0).mean(axis=0)),
            ("sd", difference.std(axis=0)),
            ("p_expressed", (expressed > 0).mean(axis=0)),
            ("p_observed", (o[:, a[part]] > o[:, b[part]]).mean(axis=0)),
            ("information_gain", information_gain(posterior, expressed, difference > 0)),
        ):
            columns.setdefault(name, []).append(values)
    return pairs.select(
        "prompt", pl.col("c").alias("completion_a"), pl.col("c_b").alias("completion_b")
    ).with_columns(
        pl.Series(name, np.concatenate(parts) if parts else np.zeros(0), pl.Float64)
        for name, parts in (
            (n, columns.get(n, [])) for n in ("p", "sd", "p_expressed", "p_observed", "information_gain")
        )
    )


def information_gain(posterior: Posterior, difference: Draws, a_better: NDArray[np.bool_]) -> Draws:
    """Expected information (nats) of one more vote about which of two is better.

    Mutual information between the vote of an average annotator and the sign of the target's
    difference, over posterior draws. `difference` of expressed quality and `a_better` are
    (draws, pairs). Zero where no votes were fused.
    """
    if "vote_slope" not in posterior.sites:
        return np.zeros(difference.shape[1])
    eta = posterior.flat("vote_slope")[:, None] * difference
    tie = np.broadcast_to(posterior.flat("vote_tie")[:, None], eta.shape)
    scores = np.stack([eta / 2, -eta / 2, tie])
    vote = np.exp(scores - logsumexp(scores, axis=0))  # (3, draws, pairs)
    share = a_better.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        given_a = np.where(a_better, vote, 0).sum(axis=1) / a_better.sum(axis=0)
        given_b = np.where(a_better, 0, vote).sum(axis=1) / (~a_better).sum(axis=0)
        gain = entropy(vote.mean(axis=1)) - (
            np.nan_to_num(share * entropy(given_a)) + np.nan_to_num((1 - share) * entropy(given_b))
        )
    return np.asarray(np.maximum(gain, 0.0))


def entropy(p: Draws) -> Draws:
    """Entropy in nats over the first axis; 0 log 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, -p * np.log(p), np.where(np.isnan(p), np.nan, 0.0))
    total: Draws = terms.sum(axis=0)
    return total


def findings(obs: Observations, posterior: Posterior) -> dict[str, Any]:
    """Rho and every other single-valued parameter, and annotators' reliability; 90 % intervals."""
    single = {
        name: interval(values.reshape(-1))
        for name, values in sorted(posterior.sites.items())
        if values.ndim == 2 and name != "rho_01"
    }
    found: dict[str, Any] = {"rho": single.pop("rho"), "parameters": single, "annotators": []}
    if "annotator_reliability" in posterior.sites:
        reliability = posterior.flat("annotator_reliability")
        voted = np.zeros(obs.annotators.height)
        if obs.votes is not None:
            named = obs.votes.annotator >= 0
            np.add.at(voted, obs.votes.annotator[named], obs.votes.counts[named].sum(axis=1))
        found["annotators"] = [
            {
                "annotator": name,
                "votes": int(voted[j]),
                "reliability": interval(reliability[:, j]),
                "p_below_half": round(float((reliability[:, j] < 0.5).mean()), 4),
            }
            for j, name in enumerate(obs.annotators["pseudonym"])
            if voted[j]
        ]
    return found


def interval(draws: Draws) -> dict[str, float]:
    """Mean and 90 % interval, rounded to what the draws can tell."""
    low, high = np.quantile(draws, [0.05, 0.95])
    return {
        "mean": round(float(draws.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def predictive_checks(obs: Observations, posterior: Posterior, seed: int) -> list[dict[str, Any]]:
    """Replicated data against the data: share of every kind of vote, level and try.

    A check holds when the observed share lies in the central 98 % of the replicated shares.
    """
    rng = np.random.default_rng([seed, 2])
    seen = [("votes", ["first", "second", "tie"], obs.votes.counts)] if obs.votes else []
    for r in obs.ratings:
        seen.append((f"ratings:{r.name}", [str(k + 1) for k in range(r.levels)], r.counts))
    for y in obs.outcomes:
        seen.append((f"outcomes:{y.measure}", ["failure", "success"],
                     np.stack([y.failures, y.successes], axis=1)))  # fmt: skip
    checks = []
    for name, categories, counts in seen:
        totals = counts.sum(axis=1).astype(int)
        probabilities = np.exp(posterior.predicted[name])
        probabilities /= probabilities.sum(axis=2, keepdims=True)
        replicated = np.array([rng.multinomial(totals, p).sum(axis=0) for p in probabilities])
        shares = replicated / totals.sum()
        low, high = np.quantile(shares, [0.01, 0.99], axis=0)
        data = counts.sum(axis=0) / totals.sum()
        checks += [
            {
                "signal": name, "category": category, "n": int(totals.sum()),
                "data": round(float(data[k]), 4), "low": round(float(low[k]), 4),
                "high": round(float(high[k]), 4), "holds": bool(low[k] <= data[k] <= high[k]),
            }
            for k, category in enumerate(categories)
        ]  # fmt: skip
    return checks
