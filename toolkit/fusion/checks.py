"""Posterior predictive checks: data drawn anew from the fitted model beside the data themselves."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .observations import Observations, Outcomes
from .sampling.fit import Posterior

Draws = NDArray[np.float64]

TURNS = ("0", "1", "2", "3+")  # failures before a success


def predictive_checks(
    obs: Observations, posterior: Posterior, outcomes: pl.DataFrame, seed: int
) -> list[dict[str, Any]]:
    """Replicated data against the data: the share of every kind of vote, level, outcome and turns.

    `outcomes` are the rows that `encode` saw (completion, learner, measure, value, censored). One
    check per signal and category: its share in the data, the central 98 % of the replicated shares
    (low, high; the check holds where the data lie inside) and their central 90 % (band).
    """
    rng = np.random.default_rng([seed, 2])
    if posterior.checked is not None:
        obs = posterior.checked
        outcomes = outcomes.join(obs.completions.select("completion"), on="completion", how="semi")
    seen = [("votes", ["first", "second", "tie"], obs.votes.counts)] if obs.votes else []
    seen += [(f"ratings:{r.name}", [str(k + 1) for k in range(r.levels)], r.counts) for r in obs.ratings]
    seen += [
        (f"outcomes:{y.measure}", ["failure", "success"], np.stack([y.failures, y.successes], axis=1))
        for y in obs.outcomes
        if y.measure != "turns"
    ]
    checks = []
    for name, categories, counts in seen:
        totals = counts.sum(axis=1).astype(int)
        probabilities = np.exp(posterior.predicted[name])
        probabilities /= probabilities.sum(axis=2, keepdims=True)
        replicated = np.array([rng.multinomial(totals, p).sum(axis=0) for p in probabilities])
        checks += _compared(name, categories, int(totals.sum()), counts.sum(axis=0), replicated)
    for y in obs.outcomes:
        if y.measure == "turns":
            checks += _turns_checks(obs, y, posterior.predicted[f"outcomes:{y.measure}"], outcomes, rng)
    return checks


def _turns_checks(
    obs: Observations, y: Outcomes, log_probs: Draws, outcomes: pl.DataFrame, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Learners by the number of failures before their success, as shares of all who tried.

    Every try that was made is drawn anew, and no other: who stopped early is never made to go on,
    so nothing has to be assumed of why learners stop. Those who never succeeded are in no category.
    """
    rows = outcomes.filter(measure=y.measure)
    tries, successes = tries_by_turn(obs, y, rows)
    p = np.exp(log_probs[:, :, 1])
    replicated = np.array([rng.binomial(tries, one[:, None]).sum(axis=0) for one in p])
    reached = int(np.flatnonzero(tries.sum(axis=0)).max(initial=0)) + 1
    return _compared(
        f"outcomes:{y.measure}",
        list(TURNS[:reached]),
        rows.height,
        successes.sum(axis=0)[:reached],
        replicated[:, :reached],
    )


def tries_by_turn(
    obs: Observations, y: Outcomes, outcomes: pl.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tries and successes after 0, 1, 2, and 3 or more failures, per row of `y`: (rows, 4) each.

    `outcomes` has completion, learner, value (failures) and censored (no success after them).
    """
    items = obs.completions.select("completion").with_row_index("item")
    names = pl.DataFrame({"learner": obs.learners}, schema={"learner": pl.String}).with_row_index("who")
    value, won = pl.col("value"), ~pl.col("censored")
    last = len(TURNS) - 1
    counted = (
        outcomes.join(items, on="completion")
        .join(names, on="learner", how="left")
        .group_by(pl.col("item").cast(pl.Int64), pl.col("who").cast(pl.Int64).fill_null(-1).alias("learner"))
        .agg(
            *(((value > k) | ((value == k) & won)).sum().alias(f"t{k}") for k in range(last)),
            (value - last + won.cast(pl.Int64)).clip(0).sum().alias(f"t{last}"),
            *(((value == k) & won).sum().alias(f"s{k}") for k in range(last)),
            ((value >= last) & won).sum().alias(f"s{last}"),
        )
    )
    rows = pl.DataFrame({"item": y.item, "learner": y.learner})
    found = rows.join(counted, on=["item", "learner"], how="left", maintain_order="left").fill_null(0)
    tries, successes = (
        found.select(pl.col(f"{kind}{k}").cast(pl.Int64) for k in range(last + 1)).to_numpy() for kind in "ts"
    )
    return tries, successes


def _compared(
    name: str, categories: list[str], n: int, counts: Draws | NDArray[np.int64], replicated: Draws
) -> list[dict[str, Any]]:
    """One check per category from counts in the data (categories,) and in replicates (draws, categories)."""
    shares, data = replicated / n, counts / n
    low, high = np.quantile(shares, [0.01, 0.99], axis=0)
    band = np.quantile(shares, [0.05, 0.95], axis=0)
    return [
        {
            "signal": name,
            "category": category,
            "n": n,
            "data": round(float(data[k]), 4),
            "low": round(float(low[k]), 4),
            "high": round(float(high[k]), 4),
            "holds": bool(low[k] <= data[k] <= high[k]),
            "band": [round(float(edge), 4) for edge in band[:, k]],
        }
        for k, category in enumerate(categories)
    ]
