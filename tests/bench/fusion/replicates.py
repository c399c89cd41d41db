"""Does a fit say the same again? The same signals (SMART's), fitted with one seed after another.

What must hold of every seed is what a fit is judged by; what must hold between them is that p and the
labels that follow from it do not depend on the seed.
"""

import tempfile
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from preceptor.toolkit.cli.options import open_stderr

from ..__main__ import figure
from ..inputs import SMART, STORE, ingesting
from .part import Found

SEEDS = 20
COIN_FLIP = (0.4, 0.6)
CLOSE = 0.03  # how far p may move between seeds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Replicate:
    """One seed's fit: its verdict, what it cost, and p of every pair, in one order for all seeds."""

    seed: int
    r_hat: float
    ess: float
    divergences: int
    draws: int
    cpu_s: float
    p: Floats


@dataclass(frozen=True)
class Agreement:
    """What does not depend on the seed, over all pairs of seeds and of completions."""

    pairs: int
    decided: int  # outside COIN_FLIP on average over the seeds
    same_label: float  # share of the decided with one label in every seed
    labels_alike: float  # share of (pair of seeds, decided pair) with one label
    close: float  # share of pairs whose p stays within CLOSE of its mean in every seed
    spread: float  # largest distance of a p from its mean
    sd: float  # median over the pairs of the standard deviation of p between seeds


def replicate(store: Path, seed: int) -> Replicate:
    """Fit the store's signals with a seed, and take p of its pairs."""
    from preceptor.toolkit.fusion.findings.posterior import draw_qualities, summarise_pairs
    from preceptor.toolkit.fusion.inputs.signals import read_signals
    from preceptor.toolkit.fusion.observations import encode
    from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit
    from preceptor.toolkit.store.connection import open_store

    with open_store(store, read_only=True) as con:
        obs = encode(read_signals(con, []))
    began = time.process_time()
    posterior = fit(obs, SamplerSettings(seed=seed))
    cpu = time.process_time() - began
    e, o = draw_qualities(obs, posterior, seed)
    p = summarise_pairs(obs, posterior, e, o, 0.5)["p"].to_numpy()
    d = posterior.diagnostics
    return Replicate(seed, d.r_hat_max, d.ess_min, d.divergences, d.draws, cpu, p)


def agreement(p: Floats) -> Agreement:
    """`p` is (seeds, pairs)."""
    mean = p.mean(axis=0)
    decided = (mean < COIN_FLIP[0]) | (mean > COIN_FLIP[1])
    label = p[:, decided] > 0.5
    alike = [float((label[a] == label[b]).mean()) for a, b in combinations(range(len(p)), 2)]
    away = np.abs(p - mean)
    return Agreement(
        pairs=p.shape[1],
        decided=int(decided.sum()),
        same_label=float((label == label[0]).all(axis=0).mean()),
        labels_alike=float(np.mean(alike)),
        close=float((away <= CLOSE).all(axis=0).mean()),
        spread=float(away.max()),
        sd=float(np.median(p.std(axis=0, ddof=1))),
    )


def lines(found: list[Replicate]) -> list[tuple[str, str, str]]:
    """What was asked, what was found, and the bar."""
    a = agreement(np.stack([r.p for r in found]))
    passed = sum(r.r_hat <= 1.01 and r.ess >= 400 and r.divergences == 0 for r in found)
    interval = binomtest(round(a.same_label * a.decided), a.decided).proportion_ci(0.9, "wilson")
    cpu = sorted(r.cpu_s for r in found)
    return [
        ("converged", f"{passed} of {len(found)} seeds", "all"),
        ("R-hat, worst seed", f"{max(r.r_hat for r in found):.4f}", "1.01"),
        ("ESS, worst seed and parameter", f"{min(r.ess for r in found):.0f}", "400"),
        ("divergences", f"{sum(r.divergences for r in found)}", "0"),
        (
            "same label in every seed",
            f"{a.same_label:.1%} of {a.decided} pairs outside 0.4–0.6 "
            f"(90 % interval {interval.low:.1%}–{interval.high:.1%})",
            "99 %",
        ),
        ("same label in two seeds", f"{a.labels_alike:.1%}", ""),
        ("p within ±0.03 of its mean in every seed", f"{a.close:.1%} of {a.pairs} pairs", "100 %"),
        ("largest distance of a p from its mean", f"{a.spread:.3f}", "0.03"),
        ("sd of p between seeds, median pair", f"{a.sd:.4f}", ""),
        (
            "CPU seconds a fit: first, median of the rest",
            f"{figure(found[0].cpu_s)}, {figure(cpu[len(cpu) // 2])}",
            "",
        ),
        ("draws a chain", f"{min(r.draws for r in found)} to {max(r.draws for r in found)}", ""),
    ]


def replicates(quick: bool) -> Found:
    """Fit SMART's signals with one seed after another and compare what the fits say."""
    if not SMART.is_dir():
        raise click.ClickException("needs SMART's signals in ../shared/data")
    seeds = 2 if quick else SEEDS
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE
        size = f"SMART: {ingesting(store, 'smart', SMART)()}"
        found = []
        for seed in range(seeds):
            found.append(replicate(store, seed))
            r = found[-1]
            open_stderr().print(f"seed {seed}: R-hat {r.r_hat:.4f}, ESS {r.ess:.0f}, {figure(r.cpu_s)} CPU s")
    return Found(
        title="replicates: one seed after another",
        setting=f"{size}; seeds 0 to {seeds - 1}, four chains each.",
        columns=("replicates", "found", "bar"),
        lines=lines(found),
    )
