"""Draw from the posterior with NUTS until the diagnostics pass, or say which parameter did not.

The chains advance together in one compiled program, a few draws at a time: between two blocks the
progress bar moves and, after warm-up, the diagnostics decide whether more draws are needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpy.typing import NDArray

from . import diagnostics
from .diagnostics import Diagnostics
from .model import LOG_PROBS, Arrays, model_arrays
from .observations import Observations
from .sampler import Sampler, keep_compiled, make_sampler

BLOCK = 50  # draws between two moves of the bar
CHECK_EVERY = 250  # draws between two looks at the diagnostics
RETRIES = 2  # new beginnings with smaller steps after divergences
PREDICTED = 200  # draws kept for posterior predictive checks

OnProgress = Callable[[int, int], None]  # (done, of), in draws of each chain
Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How to draw; every count is per chain. `draws` is the least, `max_draws` the most kept."""

    seed: int = 0
    chains: int = 4
    warmup: int = 500
    draws: int = 750
    max_draws: int = 6000
    target_accept: float = 0.8


@dataclass(frozen=True)
class Posterior:
    """Draws by site, each (chains, draws, …), and the verdict on them."""

    sites: dict[str, Draws]
    predicted: dict[str, Draws]  # per signal: log-probabilities (PREDICTED, rows, categories)
    diagnostics: Diagnostics

    def flat(self, site: str) -> Draws:
        """Draws of a site with the chains laid end to end: (chains * draws, …)."""
        values = self.sites[site]
        return values.reshape(-1, *values.shape[2:])


def fit(obs: Observations, settings: Settings, on_progress: OnProgress = lambda *_: None) -> Posterior:
    """Sample the fusion model given `obs`.

    Draws `settings.draws` a chain, then as many more (up to `max_draws`) as R-hat and ESS ask for.
    Where draws diverge it begins anew with smaller steps, `RETRIES` times at most: dropping the
    divergent draws, or going on after them, would leave out the part of the posterior they could not
    enter. The same seed and input give the same draws on one machine.
    """
    keep_compiled()
    data: Arrays = jax.tree.map(jnp.asarray, model_arrays(obs))
    accept = settings.target_accept
    for retry in range(RETRIES + 1):
        posterior = _draw(data, replace(settings, target_accept=accept), on_progress)
        if not posterior.diagnostics.divergences or retry == RETRIES:
            break
        accept = (1 + accept) / 2  # 0.8, 0.9, 0.95
    return posterior


def _draw(data: Arrays, settings: Settings, on_progress: OnProgress) -> Posterior:
    """Warm up and draw once."""
    warmup = _up(settings.warmup)
    sampler = make_sampler(data, warmup, BLOCK, settings.target_accept)
    state = sampler.start(random.split(random.PRNGKey(settings.seed), settings.chains), data)
    wanted = _up(min(settings.draws, settings.max_draws))
    for done in range(BLOCK, warmup + 1, BLOCK):
        state, _ = sampler.advance(state, data)
        state.potential_energy.block_until_ready()
        on_progress(done, warmup + wanted)
    blocks: list[Any] = []
    while True:
        while len(blocks) * BLOCK < wanted:
            state, kept = sampler.advance(state, data)
            # Scanned draws come first, chains second; we keep (chains, draws, …).
            blocks.append(jax.tree.map(lambda x: np.swapaxes(np.asarray(x), 0, 1), kept))
            on_progress(warmup + len(blocks) * BLOCK, warmup + wanted)
        kept = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *blocks)
        sites = _as_float64(sampler.constrain(kept[0], data))
        verdict = _judge(sites, kept, warmup, settings.target_accept)
        if verdict.converged or verdict.divergences or wanted >= settings.max_draws:
            return Posterior(sites, _predict(sampler, kept[0], data), verdict)
        wanted = min(wanted + CHECK_EVERY, _up(settings.max_draws))


def _up(draws: int) -> int:
    """The next whole number of blocks."""
    return -(-draws // BLOCK) * BLOCK


def _predict(sampler: Sampler, position: Any, data: Arrays) -> dict[str, Draws]:
    """Log-probabilities of what was observed, at draws spread evenly over chains and time."""
    chains, draws = position["globals"].shape[:2]
    picked = np.linspace(0, draws - 1, PREDICTED // chains).astype(int)
    values = sampler.predict({part: values[:, picked] for part, values in position.items()}, data)
    return {
        name.removeprefix(LOG_PROBS): v.reshape(-1, *v.shape[2:]) for name, v in _as_float64(values).items()
    }


def _as_float64(values: dict[str, Any]) -> dict[str, Draws]:
    """Drawn in single precision (twice as fast), summarised in double."""
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def _judge(sites: dict[str, Draws], kept: Any, warmup: int, target_accept: float) -> Diagnostics:
    """Diagnostics over every element of every site."""
    _, diverging, energy, steps = kept
    names: list[str] = []
    columns: list[Draws] = []
    for name, values in sorted(sites.items()):
        flat = values.reshape(*values.shape[:2], -1)
        columns.append(flat)
        size = flat.shape[2]
        names += [name] if values.ndim == 2 else [f"{name}[{i}]" for i in range(size)]
    draws = np.concatenate(columns, axis=2)
    r_hats, sizes = diagnostics.r_hat(draws), diagnostics.ess(draws)
    worst, thinnest = int(np.argmax(r_hats)), int(np.argmin(sizes))
    return Diagnostics(
        r_hat_max=float(r_hats[worst]),
        r_hat_parameter=names[worst],
        ess_min=float(sizes[thinnest]),
        ess_parameter=names[thinnest],
        divergences=int(diverging.sum()),
        e_bfmi_min=diagnostics.e_bfmi(energy),
        tree_depth_max=int(np.ceil(np.log2(steps.max() + 1))),
        chains=int(draws.shape[0]),
        draws=int(draws.shape[1]),
        warmup=warmup,
        target_accept=target_accept,
    )
