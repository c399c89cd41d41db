"""Posterior predictive checks: compare data drawn from the fitted model with the data themselves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from ....schemas.tables import SIGNALS
from ..likelihoods.likelihood import Replicated, replicate_counts
from ..likelihoods.registry import LIKELIHOODS
from ..observations import Observations
from ..sampling.fit import Posterior


def check_predictions(
    obs: Observations, posterior: Posterior, signals: Mapping[str, pl.DataFrame], seed: int
) -> list[dict[str, Any]]:
    """Compare data drawn from the model with the data: shares of every vote, level, outcome and turn.

    `signals` are the rows that `encode` saw. One check per part of the signals and category: its share
    in the data, the central 98 % of the replicated shares (low, high; the check holds where the data
    lie inside) and their central 90 % (band).
    """
    rng = np.random.default_rng([seed, 2])
    obs = posterior.checked or obs
    there = obs.completions["completion"].implode()
    checks = []
    for signal in SIGNALS:
        for part in obs.list_parts(signal.name):
            log_probs, replicate = posterior.predicted[part.site], LIKELIHOODS[signal.name].replicate
            if replicate is None:
                found = replicate_counts(part, log_probs, rng)
            else:
                rows = signals[signal.name].filter(pl.col(signal.completions[0]).is_in(there))
                found = replicate(part, log_probs, rows, obs.members, rng)
            checks += _compare(part.site, found)
    return checks


def _compare(name: str, found: Replicated) -> list[dict[str, Any]]:
    """Make one check per category."""
    n = found.n
    shares, data = found.replicated / n, found.counts / n
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
        for k, category in enumerate(found.categories)
    ]
