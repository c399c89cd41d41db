"""Fits of more rows than chains can take: a normal approximation, compared with chains on a part."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr
from scipy.stats import spearmanr

from .diagnostics import Approximation, Diagnostics
from .fit import BLOCK, Draws, OnProgress, Posterior, Settings, cut, fit, padded, predictions
from .laplace import Globals, Normal, approximate
from .model import Arrays, model_arrays
from .observations import Observations, thinned
from .sampler import make_sampler, prepare_jax, site_shapes

AUTO = 150_000  # rows beyond which `auto` approximates
COMPARED = 4_000  # rows of the part that chains take too
LEARNT = 50_000  # rows that globals are learnt from; more tell nothing new about a dozen numbers
DRAWS = 200  # of the approximation, in mirror pairs
FEW_DRAWS = 64  # where each costs seconds


def chosen(obs: Observations, method: str) -> str:
    """The method that `auto` stands for."""
    return method if method != "auto" else "hmc" if obs.rows <= AUTO else "laplace"


def fit_by(obs: Observations, settings: Settings, on_progress: OnProgress = lambda *_: None) -> Posterior:
    """Fit by the method of the settings: hmc, laplace, map or auto."""
    method = chosen(obs, settings.method)
    if method == "hmc":
        return fit(obs, settings, on_progress)
    return _fit_normal(obs, settings, method == "map", on_progress)


def _fit_normal(obs: Observations, settings: Settings, quick: bool, on_progress: OnProgress) -> Posterior:
    """The mode and the curvature there; unless `quick`, set beside chains on a part."""
    prepare_jax(obs.rows)
    learnt = _normal(thinned(obs, LEARNT, settings.seed), settings.seed, quick, on_progress)
    whole = learnt if obs.rows <= LEARNT else _normal(obs, settings.seed, quick, known=learnt.globals)
    sites = _sites(obs, whole)
    part = thinned(obs, COMPARED, settings.seed)
    beside = _normal(part, settings.seed, quick, known=learnt.globals if quick else None)
    if quick:
        verdict = Diagnostics(
            0.0, "", 0.0, "", 0, 0.0, 0.0, 0, 0, 0, 0.0,
            Approximation(0, 0.0, 0.0, learnt.globals.settled, learnt.globals.rounds),
        )  # fmt: skip
        return Posterior(sites, _predicted(part, beside), verdict, part)
    chains = fit(part, replace(settings, method="hmc"))
    agreed = compared(part, chains.flat("e"), _sites(part, beside)["e"][0], learnt.globals)
    return Posterior(sites, chains.predicted, replace(chains.diagnostics, approximation=agreed), part)


def _normal(
    obs: Observations,
    seed: int,
    quick: bool,
    on_progress: OnProgress = lambda *_: None,
    known: Globals | None = None,
) -> Normal:
    draws = DRAWS if obs.rows <= LEARNT or quick else FEW_DRAWS
    return approximate(_data(obs), draws, seed, on_progress, known, quick)


def compared(obs: Observations, sampled: Draws, normal: Draws, found: Globals) -> Approximation:
    """Draws (draws, completions) of expressed quality by chains and by the approximation."""
    means, sds = normal.mean(axis=0), normal.std(axis=0)
    rank = float(spearmanr(sampled.mean(axis=0), means).statistic)
    # Neighbours in the table: completions of one prompt stand side by side.
    a = np.flatnonzero(obs.prompt[:-1] == obs.prompt[1:])
    chance = (sampled[:, a] > sampled[:, a + 1]).mean(axis=0)
    apart = normal[:, a] - normal[:, a + 1]
    smooth = ndtr(apart.mean(axis=0) / apart.std(axis=0))
    away = float(np.abs(chance - smooth).mean()) if len(a) and sds.all() else 0.0
    return Approximation(len(means), round(rank, 4), round(away, 4), found.settled, found.rounds)


def _data(obs: Observations) -> Arrays:
    data: Arrays = jax.tree.map(jnp.asarray, padded(model_arrays(obs)))
    return data


def _sites(obs: Observations, normal: Normal) -> dict[str, Draws]:
    """Draws of every site as one chain."""
    data = _data(obs)
    made = make_sampler(data, BLOCK).constrain(normal.draws[None], data)
    return cut(made, site_shapes(model_arrays(obs)))


def _predicted(obs: Observations, normal: Normal) -> dict[str, Draws]:
    data = _data(obs)
    return predictions(make_sampler(data, BLOCK), normal.draws[None], data, site_shapes(model_arrays(obs)))
