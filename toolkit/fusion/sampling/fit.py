"""Draw from the posterior until the diagnostics pass, or say which parameter did not.

The chains advance together in one compiled program, a few draws at a time: between two blocks the
progress bar moves and, after warm-up, the diagnostics decide whether more draws are needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..likelihoods.likelihood import Arrays
from ..likelihoods.priors import LOG_PROBS, SCORE
from ..model import make_arrays
from ..observations import Observations
from . import diagnostics
from .diagnostics import Diagnostics
from .hmc import (
    INITIAL_RADIUS,
    Block,
    MassMatrix,
    Sampler,
    Shapes,
    State,
    learn_mass_matrix,
    list_entries,
    make_sampler,
    make_unit_mass_matrix,
    prepare_jax,
    start_adaptation,
    start_chains,
    trace_shapes,
)
from .kept_draws import record_draws
from .laplace import approximate
from .warm_start import Ends, record_ends, start_from

BLOCK = 50  # draws between two moves of the bar
CHECK_EVERY = 250  # draws between two looks at the diagnostics
EARLY = 2  # block after which the mass matrix is estimated first
MANY = 5_000  # rows from which the chains start at the normal approximation
SHAPED_BY = 100  # draws of it that show the covariance
SHAPED_IN = 5  # rounds: near is enough
WARM = 100  # draws of a warm start, for the step size
RETRIES = 2  # after divergences, each with smaller steps
PREDICTED = 200  # number of draws for posterior predictive checks

OnProgress = Callable[[int, int], None]  # (done, of), in draws of each chain
Draws = NDArray[np.float64]


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of the sampler; every count is per chain. Between `draws` and `max_draws` draws are kept."""

    seed: int = 0
    chains: int = 4
    warmup: int = 400
    draws: int = 1000
    max_draws: int = 6000
    target_accept: float = 0.8
    method: str = "auto"  # hmc, laplace, map, or auto: hmc up to AUTO rows and laplace beyond


@dataclass(frozen=True)
class Posterior:
    """Draws by site, each (chains, draws, …), and the verdict on them."""

    sites: dict[str, Draws]
    predicted: dict[str, Draws]  # per signal: log-probabilities (PREDICTED, rows, categories)
    diagnostics: Diagnostics
    checked: Observations | None = None  # the rows of `predicted`, if not all
    ends: pl.DataFrame | None = None  # final states of the chains, columns as in `Ends`
    kept: pl.DataFrame | None = None  # some draws, columns as `record_draws` makes

    @property
    def approximate(self) -> bool:
        """True for draws of a normal approximation: few, in mirror pairs."""
        return self.diagnostics is not None and self.diagnostics.approximation is not None

    def flatten(self, site: str) -> Draws:
        """Concatenate the chains of a site: (chains, draws, …) -> (chains * draws, …)."""
        values = self.sites[site]
        return values.reshape(-1, *values.shape[2:])


def fit(
    obs: Observations,
    settings: SamplerSettings,
    on_progress: OnProgress = lambda *_: None,
    ends: Ends | None = None,
) -> Posterior:
    """Sample the fusion model given `obs`, warm-started from an earlier fit's final states if given.

    Draws `settings.draws` a chain, then as many more (up to `max_draws`) as R-hat and ESS ask for.
    If draws diverge, it restarts with smaller steps, at most `RETRIES` times: dropping divergent draws, or
    continuing after them, would leave out the part of the posterior that they could not enter. The same
    seed and input give the same draws on one machine.
    """
    data, shapes = prepare(obs)
    sampler = make_sampler(data, BLOCK)
    accept = settings.target_accept
    for retry in range(RETRIES + 1):
        task = Task(obs, data, shapes, replace(settings, target_accept=accept), ends)
        posterior = _draw(sampler, task, on_progress, retry < RETRIES)
        if not posterior.diagnostics.divergences or retry == RETRIES:
            break
        accept = (1 + accept) / 2  # 0.8, 0.9, 0.95
    return posterior


def prepare(obs: Observations) -> tuple[Arrays, Shapes]:
    """Make the model's arrays, padded, and the shapes of its sites without the padding."""
    arrays = make_arrays(obs)
    prepare_jax(sum(len(x) for x in jax.tree.leaves(arrays)))
    shapes = trace_shapes(arrays)
    data: Arrays = jax.tree.map(_single, pad_arrays(arrays))
    return data, shapes


def _single(x: NDArray[Any]) -> Any:
    """Move an array to the device in single precision; jax would compile a program for each conversion."""
    return jax.device_put(x.astype(np.float32 if x.dtype.kind == "f" else np.int32))


def pad_arrays(arrays: Arrays) -> Arrays:
    """Pad arrays along their first axis, so that inputs of nearly one size share a compiled program.

    Added rows have counts of zero, and added members of groups keep their priors.
    """

    def pad(x: NDArray[Any]) -> NDArray[Any]:
        return np.pad(x, [(0, round_up(len(x)) - len(x))] + [(0, 0)] * (x.ndim - 1))

    grown: Arrays = jax.tree.map(pad, arrays)
    return grown


def round_up(n: int) -> int:
    """Round up to 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 …: at most a quarter more."""
    step = 1 << max(1, (max(n, 8) - 1).bit_length() - 3)
    return max(8, -(-n // step) * step)


@dataclass(frozen=True)
class Task:
    """The posterior to draw from, and the settings."""

    obs: Observations
    data: Arrays  # padded
    shapes: Shapes  # of every site, without the padding
    settings: SamplerSettings
    ends: Ends | None = None


def _begin(sampler: Sampler, task: Task) -> tuple[State, MassMatrix]:
    """Choose where chains start, and their first mass matrix.

    With few rows: random positions and the unit mass matrix. With many, warm-up from there would cost more
    than the draws, so chains start at draws of the normal approximation, with its covariance.
    """
    chains = task.settings.chains
    if task.ends:
        warm = start_from(task.ends, task.obs, sampler, task.shapes, chains, task.settings.seed)
        return start_chains(warm.at, warm.step), warm.metric
    if task.obs.rows < MANY:
        random = np.random.default_rng(task.settings.seed)
        at = random.uniform(-INITIAL_RADIUS, INITIAL_RADIUS, (chains, sampler.size))
        return start_chains(at), make_unit_mass_matrix(sampler)
    draws = approximate(task.data, SHAPED_BY, task.settings.seed, rounds=SHAPED_IN).draws
    return start_chains(draws[:: len(draws) // chains][:chains]), learn_mass_matrix(draws, sampler.globals)


def _draw(sampler: Sampler, task: Task, on_progress: OnProgress, hasty: bool) -> Posterior:
    """Warm up and draw once; if `hasty`, no further than the first draws that diverge."""
    data, shapes, settings = task.data, task.shapes, task.settings
    warmup = WARM if task.ends else _up(settings.warmup)
    wanted = _up(min(settings.draws, settings.max_draws))
    seed, accept = np.int32(settings.seed), np.float32(settings.target_accept)
    state, metric = _begin(sampler, task)
    seen: list[NDArray[np.float32]] = []
    for block in range(1, warmup // BLOCK + 1):
        state, made = sampler.advance(state, metric, seed, np.int32(block), accept, np.True_, data)
        seen.append(np.asarray(made.position))
        if not task.ends and block in _learning(warmup // BLOCK):
            early = block == EARLY and task.obs.rows < MANY
            metric = learn_mass_matrix(np.concatenate(seen), sampler.globals, early)
            state, seen = state._replace(steps=start_adaptation(math.exp(state.steps.log_mean))), []
        on_progress(block * BLOCK, warmup + wanted)
    real = {
        column: site.removeprefix(SCORE) + (f"[{place}]" if shapes[site] else "")
        for column, site, place in list_entries(sampler.packing, shapes)
    }
    blocks: list[Block] = []
    while True:
        while len(blocks) * BLOCK < wanted:
            turn = np.int32(warmup + len(blocks))
            state, made = sampler.advance(state, metric, seed, turn, accept, np.False_, data)
            # Scanned draws come first, chains second; we keep (chains, draws, …).
            blocks.append(Block(*(np.swapaxes(np.asarray(x), 0, 1) for x in made)))
            on_progress(warmup + len(blocks) * BLOCK, warmup + wanted)
            if hasty and blocks[-1].divergent.any():
                break
        kept = Block(*(np.concatenate(x, axis=1) for x in zip(*blocks, strict=True)))
        verdict = _judge(kept, real, sampler.globals, warmup, settings.target_accept)
        if verdict.converged or verdict.divergences or wanted >= settings.max_draws:
            sites = cut_padding(sampler.constrain(kept.position, data), shapes)
            predicted = predict(sampler, kept.position, data, shapes)
            ends = record_ends(task.obs, sampler, shapes, kept.position[:, -1], metric)
            few = record_draws(sampler, shapes, kept.position)
            return Posterior(sites, predicted, verdict, ends=ends, kept=few)
        wanted = min(wanted + CHECK_EVERY, _up(settings.max_draws))


def _learning(blocks: int) -> set[int]:
    """Choose the blocks of the warm-up after which the mass matrix is estimated anew.

    Each estimate uses the blocks since the last one: after the second, the fourth, the eighth and so on,
    and before a last block for the step size alone.
    """
    doubling = {1 << k for k in range(1, max(blocks, 1).bit_length()) if 1 << k < blocks - 2}
    return {n for n in doubling | {blocks - 1} if n > 0}


def _up(draws: int) -> int:
    """Round draws up to a whole number of blocks."""
    return -(-draws // BLOCK) * BLOCK


def cut_padding(values: dict[str, Any], shapes: Shapes) -> dict[str, Draws]:
    """Cut the padding off every site: (…, *padded) -> (…, *shapes[site]), in double precision."""

    def within(value: Any, shape: tuple[int, ...]) -> Draws:
        kept: tuple[Any, ...] = (..., *(slice(n) for n in shape))
        part: Draws = np.asarray(value, dtype=np.float64)[kept]
        return part

    return {name: within(value, shapes[name]) for name, value in values.items()}


def predict(sampler: Sampler, position: Any, data: Arrays, shapes: Shapes) -> dict[str, Draws]:
    """Compute log-probabilities of what was observed, at PREDICTED draws spread evenly over chains and time.

    `position` is (chains, draws, size); the result by part of the signals is (PREDICTED, rows, categories).
    """
    chains, draws = position.shape[:2]
    picked = np.linspace(0, draws - 1, PREDICTED // chains).astype(int)
    values = cut_padding(sampler.predict(position[:, picked], data), shapes)
    return {name.removeprefix(LOG_PROBS): v.reshape(-1, *v.shape[2:]) for name, v in values.items()}


def _judge(
    kept: Block, real: dict[int, str], n_globals: int, warmup: int, target_accept: float
) -> Diagnostics:
    """Compute diagnostics of every parameter, on the scale it was drawn on: ranks are the same on any other.

    The few globals come first: while they fail, the thousands of others are not checked.
    """
    columns, names = np.array(list(real)), list(real.values())
    few = columns[columns < n_globals]
    for chosen in (few, columns):
        r_hats, sizes = diagnostics.compute_r_hat_and_ess(kept.position[:, :, chosen])
        worst, thinnest = int(np.argmax(r_hats)), int(np.argmin(sizes))
        if r_hats[worst] > diagnostics.R_HAT_MAX or sizes[thinnest] < diagnostics.ESS_MIN:
            break
    return Diagnostics(
        r_hat_max=float(r_hats[worst]),
        r_hat_parameter=names[worst],
        ess_min=float(sizes[thinnest]),
        ess_parameter=names[thinnest],
        divergences=int(kept.divergent.sum()),
        e_bfmi_min=diagnostics.compute_e_bfmi(kept.energy.astype(np.float64)),
        leapfrogs=float(kept.leapfrogs.mean()),
        chains=int(kept.position.shape[0]),
        draws=int(kept.position.shape[1]),
        warmup=warmup,
        target_accept=target_accept,
    )
