"""Diagnose chains: agreement, and number of independent draws.

Rank-normalised split R-hat (bulk and folded) and bulk and tail effective sample size after
Vehtari, Gelman, Simpson, Carpenter and Buerkner, Bayesian Analysis 16 (2021) 667-718. Every
function takes draws of shape (chains, draws, parameters) and works on all parameters at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from numpyro.diagnostics import effective_sample_size
from scipy.special import ndtri

Draws = NDArray[np.float64]

R_HAT_MAX = 1.01
ESS_MIN = 400
RANK_CORRELATION_MIN = 0.99


@dataclass(frozen=True)
class Approximation:
    """How well a normal approximation says what chains say, on a part small enough for both."""

    completions: int  # of that part; 0: not compared
    rank_correlation: float  # Spearman's, of expressed quality
    p_difference: float  # mean absolute difference of p over the pairs
    settled: bool  # true if the mode was found
    rounds: int  # moves of the globals that led there


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics that decide if a fit may be used for labels.

    With a normal approximation the chains are those that it was compared with.
    """

    r_hat_max: float
    r_hat_parameter: str
    ess_min: float
    ess_parameter: str
    divergences: int
    e_bfmi_min: float
    leapfrogs: float  # steps of a draw, on average
    chains: int
    draws: int
    warmup: int
    target_accept: float  # target acceptance rate; above the setting if draws diverged at first
    approximation: Approximation | None = None

    @property
    def converged(self) -> bool:
        """True only if R-hat <= 1.01 and ESS >= 400 everywhere and nothing diverged.

        A normal approximation must have found its mode and rank completions as the chains do, too.
        """
        mixed = self.r_hat_max <= R_HAT_MAX and self.ess_min >= ESS_MIN and not self.divergences
        a = self.approximation
        return mixed and (a is None or (a.settled and a.rank_correlation >= RANK_CORRELATION_MIN))

    @property
    def advice(self) -> str:
        """One sentence: what failed, on which parameter, and what to try."""
        a = self.approximation
        if a and not a.completions:
            return (
                "the mode alone is a quick look, with intervals that nothing was compared with: --method auto"
            )
        if a and not a.settled:
            return f"the mode was not found in {a.rounds} rounds: try --method hmc, or fewer --source"
        if a and a.rank_correlation < RANK_CORRELATION_MIN:
            return (
                f"the normal approximation ranks completions unlike the chains (rank correlation "
                f"{a.rank_correlation:.3f}, at least {RANK_CORRELATION_MIN}): use --method hmc"
            )
        if self.divergences:
            return (
                f"{self.divergences} divergent draws even at --target-accept {self.target_accept:g}: "
                "try 0.99, or a longer --warmup"
            )
        if self.r_hat_max > R_HAT_MAX:
            return (
                f"R-hat {self.r_hat_max:.3f} for {self.r_hat_parameter} (at most {R_HAT_MAX}): "
                "try a longer --warmup and more --max-draws"
            )
        return (
            f"effective sample size {self.ess_min:.0f} for {self.ess_parameter} "
            f"(at least {ESS_MIN}): try more --max-draws"
        )


def split_chains(draws: Draws) -> Draws:
    """Split each chain into halves: (chains, draws, …) -> (2 * chains, draws / 2, …)."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]], axis=0)


def normalise_ranks(draws: Draws) -> Draws:
    """Replace values by normal scores of their ranks over all chains (Blom's offset).

    Equal values, which a rejected proposal leaves, are ranked one after the other: sharing
    ranks would double the time and change nothing. Constant parameters become 0.
    """
    chains, n, parameters = draws.shape
    flat = np.ascontiguousarray(draws.reshape(chains * n, parameters).T)  # sorting goes along memory
    scores = ndtri((np.arange(1, chains * n + 1) - 0.375) / (chains * n + 0.25))
    ranked = np.empty_like(flat, dtype=float)
    np.put_along_axis(ranked, np.argsort(flat, axis=1), scores[None, :], axis=1)
    ranked[flat.min(axis=1) == flat.max(axis=1)] = 0
    return np.asarray(ranked.T).reshape(draws.shape)


def compute_r_hat_and_ess(draws: Draws) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute R-hat and effective sample size, (parameters,) each, of (chains, draws, parameters).

    R-hat is rank-normalised and split, the worse of bulk and folded; the sample size is the worst of bulk
    and the two 5 % tails. Constant parameters get R-hat 1.
    """
    split = split_chains(draws)
    folded = np.abs(split - np.median(split, axis=(0, 1)))
    low, high = np.quantile(split, [0.05, 0.95], axis=(0, 1))
    bulk = normalise_ranks(split)
    r_hats = np.maximum(_plain_r_hat(bulk), _plain_r_hat(normalise_ranks(folded)))
    tails = ((split <= low).astype(float), (split <= high).astype(float))
    sizes: NDArray[np.float64] = np.min([_plain_ess(part) for part in (bulk, *tails)], axis=0)
    return r_hats, sizes


def compute_e_bfmi(energy: NDArray[np.float64]) -> float:
    """Compute the smallest energy Bayesian fraction of missing information; energy is (chains, draws)."""
    steps = np.square(np.diff(energy, axis=1)).mean(axis=1)
    return float(np.min(steps / np.var(energy, axis=1)))


def _plain_r_hat(x: Draws) -> NDArray[np.float64]:
    n = x.shape[1]
    within = x.var(axis=1, ddof=1).mean(axis=0)
    between = x.mean(axis=1).var(axis=0, ddof=1)
    ratio = (n - 1) / n + np.divide(between, within, out=np.zeros_like(within), where=within > 0)
    return np.asarray(np.sqrt(ratio))


def _plain_ess(x: Draws) -> NDArray[np.float64]:
    """Apply Geyer's initial monotone sequence to the autocovariances pooled over chains."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.asarray(effective_sample_size(x), dtype=float)
    total = float(x.shape[0] * x.shape[1])
    # A constant indicator (all draws in one tail) has no variance and no autocorrelation.
    # Antithetic chains may exceed the number of draws; cap as Vehtari et al. do.
    # So antithetic that the estimate of their autocorrelation time falls below 0: the cap, too.
    sizes = np.where(np.isnan(sizes), total, np.where(sizes <= 0, np.inf, sizes))
    return np.asarray(np.minimum(sizes, total * np.log10(total)))
