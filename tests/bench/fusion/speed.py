"""How long fits take, each in a process of its own: the whole process, imports and all.

python -m preceptor.tests.bench.fusion.speed CASE     one case, as JSON
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from preceptor.toolkit.cli.options import open_stderr

from ..__main__ import figure
from ..inputs import SMART, STORE, ingesting
from .part import Found, Line
from .simulate import Size

VOTES_5 = Size(1_000, 5, votes=100_000)
NAMED_5 = Size(1_000, 5, annotators=200, votes=100_000)
VOTES_7 = Size(10_000, 10, votes=10_000_000)
LIMIT_S = 1800
SMART_SEEDS = 5


def run_case(case: str) -> dict[str, Any]:
    """One fit: its verdict and the means of expressed quality, saved beside the store."""
    from preceptor.toolkit.fusion.inputs.signals import read_signals
    from preceptor.toolkit.fusion.methods import fit_by
    from preceptor.toolkit.fusion.observations import encode
    from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
    from preceptor.toolkit.store.connection import open_store

    from .simulate import crowd, ordinary, simulate

    name, _, method = case.partition(":")
    if name == "smart":
        with open_store(Path(STORE), read_only=True) as con:
            obs = encode(read_signals(con, []))
    else:
        size = SIZES[name]
        make = simulate if size.annotators else crowd
        made = make(np.random.default_rng(0), size, ordinary())
        obs = made.obs
        np.save(f"truth-{name}.npy", made.truth["e"])
    if method == "ilsr":
        began = time.process_time()
        means = _ilsr(obs)
        return _saved(case, means, time.process_time() - began, {"rows": obs.rows})
    if method == "warm":
        return _warm(obs, SMART_SEEDS if name == "smart" else 1)
    began = time.process_time()
    posterior = fit_by(obs, SamplerSettings(method=method))
    cpu = time.process_time() - began
    d = posterior.diagnostics
    verdict = {"converged": d.converged, "ess": d.ess_min, "r_hat": d.r_hat_max, "rows": obs.rows}
    return _saved(case, posterior.flatten("e").mean(axis=0), cpu, verdict)


def _warm(obs: Any, seeds: int) -> dict[str, Any]:
    """After 5 % new votes: cold, and from where the chains of a fit without them ended.

    All is compiled and traced before. Medians over seeds, which draw the new votes, too.
    """
    from preceptor.toolkit.fusion.likelihoods.votes import Votes
    from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit
    from preceptor.toolkit.fusion.sampling.warm_start import Ends

    v = obs.votes
    taken: list[list[float]] = []
    worst: list[float] = []
    for seed in range(seeds):
        n = len(v.first)
        old = np.sort(np.random.default_rng(seed).permutation(n)[: n - n // 20])
        few = Votes(*(getattr(v, field.name)[old] for field in fields(v)))
        part = replace(obs, parts=(few, *(part for part in obs.parts if part is not v)))
        before = fit(part, SamplerSettings(seed=seed))
        if before.ends is None:
            raise ValueError("chains leave their ends")
        ends = Ends(before.ends, before.diagnostics.leapfrogs)
        if not seed:
            fit(obs, SamplerSettings(seed=seed))  # compiles, where the sizes are others
        times = []
        for start in (None, ends):
            began = time.process_time()
            verdict = fit(obs, SamplerSettings(seed=seed), ends=start).diagnostics
            times.append(time.process_time() - began)
        worst.append(verdict.ess_min if verdict.converged else 0)
        taken.append(times)
    cold, warm = np.median(taken, axis=0)
    return {
        "fit_cpu": warm,
        "cpu": time.process_time(),
        "rows": obs.rows,
        "ess": min(worst),
        "seeds": seeds,
        "cold": cold,
        "times": float(np.median([c / w for c, w in taken])),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _ilsr(obs: Any) -> NDArray[np.float64]:
    """Iterative Luce spectral ranking (choix) of decisive votes, tied votes left out."""
    import choix

    v = obs.votes
    wins = [(v.first, v.second, v.counts[:, 0]), (v.second, v.first, v.counts[:, 1])]
    data = [
        pair
        for a, b, n in wins
        for pair in zip(np.repeat(a, n.astype(int)), np.repeat(b, n.astype(int)), strict=True)
    ]
    means: NDArray[np.float64] = choix.ilsr_pairwise(len(obs.prompt), data, alpha=0.01)
    return means


def _saved(case: str, means: NDArray[np.float64], cpu: float, verdict: dict[str, Any]) -> dict[str, Any]:
    np.save(f"means-{case.replace(':', '-')}.npy", means)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"fit_cpu": cpu, "cpu": time.process_time(), "peak_mb": peak, **verdict}


SIZES = {"votes5": VOTES_5, "named5": NAMED_5, "votes7": VOTES_7}


def measured(case: str, folder: Path, cache: Path) -> dict[str, Any]:
    """Run a case in a process of its own; adds its wall time. {} where it does not end in time."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "preceptor.tests.bench.fusion.speed", case],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        )
    except subprocess.TimeoutExpired:
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) | {"wall": time.monotonic() - began}
    open_stderr().print(f"{case}: {found}")
    return found


def speed(quick: bool) -> Found:
    """SMART cold and compiled; 10^5 and 10^7 votes; the mode beside choix."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if SMART.is_dir():
            ingesting(folder / STORE, "smart", SMART)()
        lines: list[Line] = []

        def add(what: str, found: dict[str, Any], bar: str) -> None:
            lines.append((what, *_said(found), bar))

        caches = folder / "a", folder / "b"
        if SMART.is_dir():
            add("SMART, first fit on a machine", measured("smart:hmc", folder, caches[0]), "20 s")
            add("SMART, compiled before", measured("smart:hmc", folder, caches[0]), "8 CPU s")
            lines.append(_said_warm("SMART", measured("smart:warm", folder, caches[0])))
        if not quick:
            add("10⁵ votes of a crowd, chains", measured("votes5:hmc", folder, caches[1]), "5 min")
            lines.append(_said_warm("10⁵ votes", measured("votes5:warm", folder, caches[1])))
            add("10⁵ votes, normal approximation", measured("votes5:laplace", folder, caches[1]), "")
            measured("votes5:map", folder, caches[1])  # compiles
            add("10⁵ votes, mode", measured("votes5:map", folder, caches[1]), "ilsr")
            add("10⁵ votes, choix ilsr", measured("votes5:ilsr", folder, caches[1]), "")
            add(
                "10⁷ votes, 10⁵ completions, normal approximation",
                measured("votes7:laplace", folder, caches[1]),
                "10 min, 4 GB",
            )
            add(
                "10⁵ votes of 200 named annotators, chains",
                measured("named5:hmc", folder, caches[1]),
                "5 min",
            )
            lines += _alike(folder)
    return Found(
        title="speed: whole processes",
        setting="Whole processes from start to end, one run each, seed 0; in brackets the fit alone.",
        columns=("speed", "wall s", "CPU s (fit)", "peak MB", "found", "bar"),
        lines=lines,
    )


def _said(f: dict[str, Any]) -> Line:
    if not f:
        return (f"more than {LIMIT_S}", "", "", "not ended")
    verdict = f"{f['rows']:,} rows"
    if f.get("ess"):
        verdict += f"; R-hat {f['r_hat']:.4f}, ESS {f['ess']:.0f}"
    return figure(f["wall"]), f"{figure(f['cpu'])} ({figure(f['fit_cpu'])})", figure(f["peak_mb"]), verdict


def _said_warm(what: str, f: dict[str, Any]) -> Line:
    name = f"{what}, 5 % of them new, warm start (all compiled)"
    if not f:
        return name, f"more than {LIMIT_S}", "", "", "not ended", ""
    found = (
        f"{f['times']:.2f} times as fast as cold ({figure(f['cold'])} CPU s), median of {f['seeds']} seeds; "
        f"least ESS {f['ess']:.0f}"
    )
    return name, "", f"({figure(f['fit_cpu'])})", figure(f["peak_mb"]), found, "3 times"


def _alike(folder: Path) -> list[Line]:
    """Rank correlations of the qualities found for the same votes."""
    from scipy.stats import spearmanr

    def means(name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.load(folder / f"{name}.npy")
        return found

    pairs = [
        ("normal approximation and chains, 10⁵ votes", "means-votes5-laplace", "means-votes5-hmc", "0.99"),
        ("mode and chains, 10⁵ votes", "means-votes5-map", "means-votes5-hmc", ""),
        ("mode and ilsr, 10⁵ votes", "means-votes5-map", "means-votes5-ilsr", "the same ranking"),
        ("chains and truth, 10⁵ votes", "means-votes5-hmc", "truth-votes5", ""),
        ("ilsr and truth, 10⁵ votes", "means-votes5-ilsr", "truth-votes5", ""),
        ("normal approximation and truth, 10⁷ votes", "means-votes7-laplace", "truth-votes7", ""),
    ]
    return [
        (f"rank correlation: {what}", "", "", "", f"{spearmanr(means(a), means(b)).statistic:.4f}", bar)
        for what, a, b, bar in pairs
    ]


if __name__ == "__main__":
    click.echo(json.dumps(run_case(sys.argv[1])))
