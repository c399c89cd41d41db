"""Make rank histograms, which show if the chains agree.

The draws of all chains are ranked together; each chain's ranks should then be spread evenly
(Vehtari, Gelman, Simpson, Carpenter and Buerkner, Bayesian Analysis 16 (2021) 667-718, section 5).
Draws are not stored; these counts are.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from . import diagnostics
from .fit import Posterior

BINS = 20
WATCHED = 8  # maximum number of parameters


def make_rank_histograms(posterior: Posterior) -> list[dict[str, Any]]:
    """Count ranks (chains, BINS) of rho, of the parameters that mixed worst, and of slopes."""
    names = choose_parameters(posterior)
    draws = np.stack([select_draws(posterior, name) for name in names], axis=-1)
    r_hats, sizes = diagnostics.compute_r_hat_and_ess(draws)
    return [
        {
            "parameter": name,
            "r_hat": round(float(r_hats[i]), 4),
            "ess": round(float(sizes[i])),
            "counts": count_ranks(draws[..., i]),
        }
        for i, name in enumerate(names)
    ]


def count_ranks(draws: NDArray[np.float64]) -> list[list[int]]:
    """Count each chain's draws in each of BINS equal parts of all ranks; `draws` is (chains, draws)."""
    ranks = rankdata(draws).reshape(draws.shape)
    bins = ((ranks - 0.5) * BINS / draws.size).astype(int)
    return [np.bincount(chain, minlength=BINS).tolist() for chain in bins]


def choose_parameters(posterior: Posterior) -> list[str]:
    """Choose the parameters to show: rho, the worst by R-hat and by sample size, then slopes."""
    slopes = [name for name, values in posterior.sites.items() if "_slope" in name and values.ndim == 2]
    verdict = posterior.diagnostics
    names = ["rho", verdict.r_hat_parameter, verdict.ess_parameter, *sorted(slopes)]
    return list(dict.fromkeys(names))[:WATCHED]


def select_draws(posterior: Posterior, name: str) -> NDArray[np.float64]:
    """Select the draws (chains, draws) of a parameter by its name in the diagnostics: site or site[i]."""
    if name in posterior.sites:
        return posterior.sites[name]
    site, _, place = name.removesuffix("]").rpartition("[")
    values = posterior.sites[site]
    return values.reshape(*values.shape[:2], -1)[..., int(place)]


def compute_band(counts: list[list[int]], ess: float) -> tuple[float, float]:
    """Compute the counts between which about 90 % of the bars lie if the chains agree.

    Draws of one chain resemble their neighbours, so their counts spread as those of fewer independent draws:
    the chain's share of the effective sample size `ess`.
    """
    chains, draws = len(counts), sum(counts[0])
    mean = draws / BINS
    independent = max(1.0, min(ess / chains, draws))
    spread = draws * math.sqrt((1 / BINS) * (1 - 1 / BINS) * (1 - 1 / chains) / independent)
    return max(0.0, mean - 1.645 * spread), mean + 1.645 * spread
