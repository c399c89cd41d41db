"""The published SMART model beside ours: does it say the same again, and what does a draw cost?

The replicates are drawn by our own fast implementation of the published model, so that there can be many
of them. The cost is measured with PyMC, as its authors ran it, in an environment of its own.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray

from preceptor.toolkit.cli.options import open_stderr
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.observations import Observations, encode
from preceptor.toolkit.store.connection import open_store

from ...__main__ import figure
from ...inputs import SMART, STORE, ingesting
from ...measure import cpu_seconds
from ..part import Found
from .smart_model import (
    CHAINS,
    DRAWS,
    Sites,
    published_arrays,
    published_labels,
    published_sampler,
    worst,
)

SEEDS = 20
COSTS = 3  # seeds for which the costs are measured
QUICK = 100  # draws of a chain, and as many of warm-up
TIMES = 20  # the bar: how many times the peer's ESS per CPU second ours is to be
PYMC = "PRECEPTOR_BENCH_PYMC"  # the Python of an environment with PyMC; the Makefile makes it and says so

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Row = tuple[str, str, str]


@dataclass(frozen=True)
class Published:
    """One seed's five chains of the published model."""

    label: NDArray[np.bool_]  # (pairs,)
    by_chain: NDArray[np.bool_]  # (chains, pairs)
    p: Floats  # (pairs,): share of draws, of all chains, in which the first is better
    negative: int  # chains in which the slope of votes is negative
    r_hat: float
    ess: float
    divergences: int
    cpu_s: float


@dataclass(frozen=True)
class Cost:
    """What the worst parameter's effective draws cost. CPU seconds of all threads and children."""

    ess: float  # over all chains together
    ess_alone: float  # the sum over chains of each one's own, as if it did not matter that they differ
    cpu_s: float  # without compiling
    cpu_compile_s: float  # compiling alone

    @property
    def per_second(self) -> float:
        """Effective draws of the worst parameter per CPU second, compiled already."""
        return self.ess / self.cpu_s

    @property
    def per_second_cold(self) -> float:
        """The same with compiling."""
        return self.ess / (self.cpu_s + self.cpu_compile_s)

    @property
    def alone_per_second(self) -> float:
        """The same per chain, compiled already."""
        return self.ess_alone / self.cpu_s


def pairs_of(obs: Observations) -> tuple[Ints, Ints]:
    """Item indices of all pairs of completions of one prompt."""
    same = obs.prompt[:, None] == obs.prompt[None, :]
    first, second = np.nonzero(np.triu(same, 1))
    return first, second


def summarise(sites: Sites, divergences: int, cpu_s: float, pairs: tuple[Ints, Ints]) -> Published:
    """What a seed's chains say of the pairs."""
    first, second = pairs
    x = sites["x"]
    means = x.mean(axis=1)
    r_hat, ess = worst(sites)
    return Published(
        label=published_labels(x, first, second),
        by_chain=means[:, first] > means[:, second],
        p=(x[..., first] > x[..., second]).mean(axis=(0, 1)),
        negative=int((sites["vote_slope"].mean(axis=1) < 0).sum()),
        r_hat=r_hat,
        ess=ess,
        divergences=divergences,
        cpu_s=cpu_s,
    )


def alike(labels: NDArray[np.bool_]) -> list[float]:
    """For each two rows of `labels` (runs, pairs), the share of pairs with one label."""
    return [float((labels[a] == labels[b]).mean()) for a, b in combinations(range(len(labels)), 2)]


def replicate_lines(found: list[Published]) -> list[Row]:
    """What the published model says again, and what it does not."""
    labels = np.stack([r.label for r in found])
    two, same = alike(labels), (labels == labels[0]).all(axis=0).mean()
    within = [float(np.mean(alike(r.by_chain))) for r in found]
    p = np.stack([r.p for r in found])
    chains = len(found[0].by_chain)
    return [
        (
            "chains with a negative slope of votes",
            f"{sum(r.negative for r in found)} of "
            f"{len(found) * chains}; mixed within {sum(0 < r.negative < chains for r in found)} of "
            f"{len(found)} seeds",
            "",
        ),
        ("same label in two chains of a seed", _spread(within, ".1%"), ""),
        ("same label in two seeds", _spread(two, ".1%"), "99 %"),
        ("same label in every seed", f"{same:.1%} of {labels.shape[1]} pairs", ""),
        ("R-hat, worst parameter", _spread([r.r_hat for r in found], ".2f"), "1.01"),
        ("ESS, worst parameter", _spread([r.ess for r in found], ".1f"), "400"),
        ("divergences", str(sum(r.divergences for r in found)), "0"),
        ("labels from 0.4 < p < 0.6", f"{((p > 0.4) & (p < 0.6)).mean():.1%}", ""),
        ("CPU seconds a seed, drawn by us", _spread([r.cpu_s for r in found[1:] or found], ".3g"), ""),
    ]


def _spread(values: list[float], form: str) -> str:
    """Median, and the range where there are several."""
    middle, low, high = (format(float(f(values)), form) for f in (np.median, np.min, np.max))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def cost_of_ours(store: str, seeds: int) -> list[Cost]:
    """Fit in this process with one seed after another; compiling is what the first took longer.

    Meant for a fresh process with an empty compilation cache; the first seed is fitted twice.
    """
    from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit

    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        obs = encode(_signals(Path(store)))
        taken, posteriors = [], []
        for seed in (0, *range(seeds)):
            began = cpu_seconds()
            posteriors.append(fit(obs, SamplerSettings(seed=seed)))
            taken.append(cpu_seconds() - began)
    compiling = max(0.0, taken[0] - taken[1])
    return [
        Cost(worst(p.sites)[1], _alone(p.sites), cpu, compiling)
        for p, cpu in zip(posteriors[1:], taken[1:], strict=True)
    ]


def cost_of_pymc(python: str, data: dict[str, Floats], seed: int, chains: int, draws: int) -> Cost:
    """Run pymc_side.py once."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        arrays: dict[str, Any] = data | {
            "seed": np.array([seed]),
            "chains": np.array([chains]),
            "draws": np.array([draws]),
        }
        np.savez(source, **arrays)
        # An empty cache of compiled code: what is compiled is counted, and counted apart.
        flags = f"{os.environ.get('PYTENSOR_FLAGS', '')},base_compiledir={folder}".lstrip(",")
        script = Path(__file__).with_name("pymc_side.py")
        ended = subprocess.run(
            [python, str(script), str(source), str(target)],
            env=os.environ | {"PYTENSOR_FLAGS": flags},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise click.ClickException(f"PyMC's side failed: {ended.stderr.strip().splitlines()[-1]}")
        found = dict(np.load(target))
    sites = {"all": found["draws"]}
    return Cost(worst(sites)[1], _alone(sites), float(found["cpu_s"]), float(found["cpu_compile_s"]))


def _alone(sites: Sites) -> float:
    """The sum over chains of the worst parameter's effective draws in that chain."""
    chains = next(iter(sites.values())).shape[0]
    return sum(worst({name: v[c : c + 1] for name, v in sites.items()})[1] for c in range(chains))


def pymc_data(obs: Observations, turns: tuple[Ints, Ints]) -> dict[str, Floats]:
    """The arrays that pymc_side.py reads; `turns` are items and failed tries, one per learner."""
    data = published_arrays(obs)
    votes = data["votes"]
    (ratings,) = (value for name, value in data.items() if name.startswith("ratings:"))
    return {
        "items": np.array([len(obs.prompt)]),
        "vote_first": votes["first"],
        "vote_second": votes["second"],
        "vote_counts": votes["counts"].astype(int),
        "rating_item": ratings["item"],
        "rating_totals": ratings["counts"].astype(int),
        "turns_item": turns[0],
        "turns": turns[1],
    }


def _signals(store: Path) -> dict[str, pl.DataFrame]:
    with open_store(store, read_only=True) as con:
        return read_signals(con, [])


def turns_of(obs: Observations, outcomes: pl.DataFrame) -> tuple[Ints, Ints]:
    """Item and failed tries of every learner; none of SMART's gave up."""
    items = obs.completions.select("completion").with_row_index("item")
    rows = outcomes.join(items, on="completion", maintain_order="left")
    return rows["item"].to_numpy().astype(np.int64), rows["value"].to_numpy().astype(np.int64)


def replicated(obs: Observations, seeds: int, draws: int) -> list[Published]:
    """The published model's chains, one seed after another."""
    data = published_arrays(obs)
    sampler = published_sampler(data, draws=draws)
    found = []
    for seed in range(seeds):
        began = time.process_time()
        sites, divergences = sampler(data, seed)
        taken = time.process_time() - began
        found.append(summarise(sites, divergences, taken, pairs_of(obs)))
        r = found[-1]
        open_stderr().print(
            f"seed {seed}: {r.negative} of {CHAINS} chains negative, R-hat {r.r_hat:.2f}, "
            f"ESS {r.ess:.1f}, {figure(taken)} CPU s"
        )
    return found


def cost_lines(ours: list[Cost], theirs: list[Cost]) -> Iterator[Row]:
    """Effective draws of the worst parameter per CPU second, and how many times theirs ours is."""
    yield "CPU seconds a fit, and of compiling: ours", _costs(ours), ""
    yield "CPU seconds a fit, and of compiling: PyMC", _costs(theirs), ""
    for name, rate in (
        ("compiled", "per_second"),
        ("with compiling", "per_second_cold"),
        ("compiled, each chain by itself", "alone_per_second"),
    ):
        a, b = ([float(getattr(cost, rate)) for cost in side] for side in (ours, theirs))
        times = [mine / peer for mine, peer in zip(a, b, strict=True)]
        yield (
            f"worst ESS a CPU second, {name}: ours against PyMC",
            f"{_spread(a, '.3g')} against {_spread(b, '.3g')}: {_spread(times, '.0f')} times",
            f"{TIMES} times",
        )


def _costs(costs: list[Cost]) -> str:
    return f"{_spread([c.cpu_s for c in costs], '.3g')}; {_spread([c.cpu_compile_s for c in costs], '.3g')}"


def costs(store: Path, quick: bool) -> list[Row]:
    """Ours and PyMC's, in turn of sides, each in processes of its own."""
    python = os.environ.get(PYMC)
    if not python:
        return [
            ("cost beside PyMC", f"not measured: {PYMC} names no Python; make bench-fusion sets it up", "")
        ]
    seeds = 1 if quick else COSTS
    signals = _signals(store)
    obs = encode(signals)
    data = pymc_data(obs, turns_of(obs, signals["outcomes"]))
    draws = QUICK if quick else DRAWS
    theirs = [cost_of_pymc(python, data, seed, CHAINS, draws) for seed in range(seeds)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        ours = apart.submit(cost_of_ours, str(store), seeds).result()
    return list(cost_lines(ours, theirs))


def published(quick: bool) -> Found:
    """The published model on SMART's signals: replicates, and costs beside ours."""
    if not SMART.is_dir():
        raise click.ClickException("needs SMART's signals in ../shared/data")
    seeds, draws = (2, QUICK) if quick else (SEEDS, DRAWS)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE
        size = f"SMART: {ingesting(store, 'smart', SMART)()}"
        lines = replicate_lines(replicated(encode(_signals(store)), seeds, draws)) + costs(store, quick)
    return Found(
        title="the published model: one seed after another, and what a draw costs",
        setting=(
            f"{size}; the model published with SMART, {CHAINS} chains of {draws} draws after {draws} of "
            f"warm-up. Replicates: seeds 0 to {seeds - 1}, our implementation of it. Costs: "
            f"{1 if quick else COSTS} seeds each, PyMC's default NUTS in its own environment on one core "
            "against our fit; CPU seconds of all threads and children. Medians with ranges over seeds."
        ),
        columns=("published", "found", "bar"),
        lines=lines,
    )
