"""Do intervals mean what they say? Fits of signals whose truth is known.

Simulation-based calibration (Talts et al. 2018): with globals drawn from their priors the rank of the
truth among the draws is uniform. Coverage: with an ordinary crowd, of whom 10 % vote by chance and 5 %
against what they see, 90 % intervals hold the truth in 90 % of the cases, and of the pairs with
P(a better) near p a share of p is better. The model does not know of such a crowd: reliabilities are
normal to it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, chisquare, rankdata

from preceptor.toolkit.fusion.findings.posterior import draw_qualities, summarise_pairs
from preceptor.toolkit.fusion.methods import fit_by
from preceptor.toolkit.fusion.sampling.fit import Posterior, SamplerSettings

from .keep import each
from .part import Found, Line
from .simulate import Simulated, Size, from_priors, ordinary, simulate

Floats = NDArray[np.float64]

SETS = 200
BIG_SETS = 8
RANKS = 20  # bins of the rank histograms
CROWD = {"careless": 0.10, "adversarial": 0.05}
SMALL = Size(20, 3, annotators=45, votes=45 * 30, ratings=200, outcomes=200, learners=40, **CROWD)
TINY = Size(8, 3, annotators=12, votes=240, ratings=60, outcomes=60, learners=10)
BIG = Size(600, 4, annotators=2000, votes=2000 * 10, ratings=4000, outcomes=4000, learners=400, **CROWD)
BINS = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Seen:
    """What one fit says beside the truth."""

    converged: bool
    inside: dict[str, tuple[int, int]]  # per quantity: truths inside their 90 % interval, and all
    p: Floats  # P(a better) of every pair
    better: NDArray[np.bool_]  # whether a is better
    auc: float  # of reliability, adversarial annotators against all others
    ranks: dict[str, float]  # per parameter: share of draws below the truth


def look(made: Simulated, seed: int, method: str) -> Seen:
    """Fit and compare; the target is the mean of expressed and observed."""
    posterior = fit_by(made.obs, SamplerSettings(seed=seed, method=method))
    e, o = draw_qualities(made.obs, posterior, seed)
    truth, t = made.truth, (e + o) / 2
    true_t = (truth["e"] + truth["o"]) / 2
    pairs = summarise_pairs(made.obs, posterior, e, o, 0.5)
    keys = made.obs.completions["completion"]
    place = dict(zip(keys, range(len(keys)), strict=True))
    a, b = (pairs[side].replace_strict(place).to_numpy() for side in ("completion_a", "completion_b"))
    drawn: dict[str, tuple[Floats, Any]] = {"target": (t, true_t), "expressed": (e, truth["e"])}
    drawn["rho"] = posterior.flatten("rho")[:, None], np.array([truth["rho"]])
    auc = float("nan")
    if "annotator_reliability" in posterior.sites:
        reliability = posterior.flatten("annotator_reliability")
        drawn["reliability"] = reliability, truth["annotator_reliability"]
        auc = auc_of(-reliability.mean(axis=0), truth["kind"] == 2)
    return Seen(
        posterior.diagnostics.converged,
        {name: covered(*both) for name, both in drawn.items()},
        pairs["p"].to_numpy(),
        true_t[a] > true_t[b],
        auc,
        ranks(posterior, truth, e, o),
    )


def covered(draws: Floats, truth: Floats) -> tuple[int, int]:
    """How many truths lie inside their 90 % interval, and how many there are."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return int(((low <= truth) & (truth <= high)).sum()), len(truth)


def auc_of(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive has the higher score (Mann-Whitney)."""
    n = int(positive.sum())
    if not 0 < n < len(score):
        return float("nan")
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def ranks(posterior: Posterior, truth: dict[str, Any], e: Floats, o: Floats) -> dict[str, float]:
    """Share of draws below the truth, of globals and of the first completion and annotator."""
    found = {"e[0]": (e[:, 0] < truth["e"][0]), "o[0]": (o[:, 0] < truth["o"][0])}
    names = {
        "rho": "rho",
        "vote_slope": "vote_slope",
        "vote_tie": "vote_tie",
        "rating_slope:quality": "rating_slope",
        "outcome_slope:turns": "outcome_slope",
        "outcome_level:turns": "outcome_level",
        "tau_reliability": "tau_reliability",
        "tau_rating_prompt:quality": "tau_rating_prompt",
        "tau_ability:turns": "tau_ability",
    }
    found |= {
        site: posterior.flatten(site) < truth[name] for site, name in names.items() if site in posterior.sites
    }
    if "annotator_reliability" in posterior.sites:
        found["reliability[0]"] = (
            posterior.flatten("annotator_reliability")[:, 0] < truth["annotator_reliability"][0]
        )
    return {name: float(below.mean()) for name, below in found.items()}


def runs(sets: int, size: Size, method: str, priors: bool, keep: bool = True) -> list[Seen]:
    """One fit after another, seeds from 0."""

    def find(seed: int) -> Seen:
        rng = np.random.default_rng([seed, size.annotators])
        return look(simulate(rng, size, from_priors(rng) if priors else ordinary()), seed, method)

    return list(each(f"calibration {size} {method} {priors}", range(sets), find, keep))


def uniform(found: list[Seen]) -> list[tuple[str, float]]:
    """Per parameter the p-value of a chi-square test of its rank histogram."""
    rows = []
    for name in found[0].ranks:
        counts = np.histogram([seen.ranks[name] for seen in found], bins=RANKS, range=(0, 1))[0]
        rows.append((name, float(chisquare(counts).pvalue)))
    return rows


def rank_lines(found: list[Seen]) -> list[Line]:
    """Whether ranks of the truth are uniform."""
    tests = uniform(found)
    name, least = min(tests, key=lambda row: row[1])
    return [
        (
            "ranks: least p-value of a chi-square test",
            f"{least:.4f} ({name}; of {len(tests)} parameters)",
            f"{0.05 / len(tests):.4f}",
        ),
        ("ranks: parameters with p < 0.05", f"{sum(p < 0.05 for _, p in tests)} of {len(tests)}", ""),
        ("ranks: converged", f"{sum(seen.converged for seen in found)} of {len(found)}", "all"),
    ]


def coverage_lines(what: str, found: list[Seen]) -> list[Line]:
    """Coverage, the reliability curve and the adversaries, with intervals over data sets."""
    lines: list[Line] = []
    for name in found[0].inside:
        shares = np.array([seen.inside[name][0] / seen.inside[name][1] for seen in found])
        lines.append((f"{what}: 90 % intervals of {name}", _mean(shares), "88–92 %"))
    p = np.concatenate([seen.p for seen in found])
    better = np.concatenate([seen.better for seen in found])
    away, where = off_curve(p, better)
    lines.append((f"{what}: largest distance of P(a better) from the share", f"{away:.3f} ({where})", "0.03"))
    aucs = np.array([seen.auc for seen in found])
    aucs = aucs[~np.isnan(aucs)]
    if len(aucs):
        lines.append((f"{what}: AUC of adversaries", _mean(aucs, percent=False), "0.95"))
    lines.append((f"{what}: converged", f"{sum(seen.converged for seen in found)} of {len(found)}", "all"))
    return lines


def off_curve(p: Floats, better: NDArray[np.bool_]) -> tuple[float, str]:
    """The largest distance between mean p and share better over ten bins, and where it is."""
    place = np.clip(np.digitize(p, BINS) - 1, 0, 9)
    rows = []
    for i in np.unique(place):
        chosen = place == i
        n, share = int(chosen.sum()), float(better[chosen].mean())
        ci = binomtest(int(better[chosen].sum()), n).proportion_ci(0.9, "wilson")
        where = (
            f"p {BINS[i]:.1f}–{BINS[i + 1]:.1f}, n {n:,}, share {share:.3f}, 90 % {ci.low:.3f}–{ci.high:.3f}"
        )
        rows.append((abs(float(p[chosen].mean()) - share), where))
    return max(rows)


def _mean(values: Floats, percent: bool = True) -> str:
    """Mean over data sets with its 90 % interval."""
    half = 1.645 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    low, mean, high = values.mean() - half, values.mean(), min(values.mean() + half, 1.0)
    if percent:
        return f"{mean:.1%} ({low:.1%}–{high:.1%})"
    return f"{mean:.3f} ({low:.3f}–{high:.3f})"


def calibration(quick: bool) -> Found:
    """Rank histograms, coverage and the reliability curve."""
    sets, big = (4, 1) if quick else (SETS, BIG_SETS)
    keep = not quick
    lines = rank_lines(runs(sets, TINY, "hmc", True, keep))
    lines += coverage_lines("45 annotators", runs(sets, SMALL, "hmc", False, keep))
    lines += coverage_lines("2,000 annotators", runs(big, BIG, "hmc", False, keep))
    return Found(
        title="calibration: intervals and probabilities against the truth",
        setting=f"Simulated data sets, seeds from 0: {sets} with globals from their priors "
        f"({TINY.annotators} annotators, {TINY.votes} votes, {TINY.items} completions) and {sets} of an "
        f"ordinary crowd ({SMALL.annotators} annotators with 30 votes each, {SMALL.items} completions), by "
        f"chains; {big} with {BIG.annotators:,} annotators of 10 votes each and {BIG.items:,} completions, "
        f"by chains too. 90 % intervals over data sets.",
        columns=("calibration", "found", "bar"),
        lines=lines,
    )
