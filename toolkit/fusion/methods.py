"""Fit many rows by a normal approximation, compared with chains on a part of the data."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from .findings.posterior import compute_normal_chance, compute_share_above
from .likelihoods.likelihood import Arrays
from .observations import Observations, thin
from .sampling.diagnostics import Approximation, Diagnostics
from .sampling.fit import (
    BLOCK,
    Draws,
    OnProgress,
    Posterior,
    SamplerSettings,
    cut_padding,
    fit,
    predict,
    prepare,
)
from .sampling.hmc import Shapes, make_sampler
from .sampling.laplace import Globals, Normal, approximate
from .sampling.warm_start import Ends

AUTO = 150_000  # rows beyond which `auto` approximates
COMPARED = 4_000  # rows of the part that is also sampled by chains
LEARNT = 50_000  # rows that globals are learnt from; more do not improve a dozen numbers
DRAWS = 200  # of the approximation, in mirror pairs
FEW_DRAWS = 64  # where each costs seconds


def choose_method(obs: Observations, method: str) -> str:
    """Choose the method for `auto`; return any other method unchanged."""
    return method if method != "auto" else "hmc" if obs.rows <= AUTO else "laplace"


def fit_by(
    obs: Observations,
    settings: SamplerSettings,
    on_progress: OnProgress = lambda *_: None,
    ends: Ends | None = None,
) -> Posterior:
    """Fit by the method of the settings: hmc (from `ends` where they are given), laplace, map or auto."""
    method = choose_method(obs, settings.method)
    if method == "hmc":
        return fit(obs, settings, on_progress, ends)
    return _fit_normal(obs, settings, method == "map", on_progress)


def _fit_normal(
    obs: Observations, settings: SamplerSettings, quick: bool, on_progress: OnProgress
) -> Posterior:
    """Fit the normal approximation; unless `quick`, compare it with chains on a part."""
    learnt = _normal(thin(obs, LEARNT, settings.seed), settings.seed, quick, on_progress)
    found = learnt.normal.globals
    whole = learnt if obs.rows <= LEARNT else _normal(obs, settings.seed, quick, known=found)
    part = thin(obs, COMPARED, settings.seed)
    beside = whole if part is obs else _normal(part, settings.seed, quick, known=found if quick else None)
    if quick:
        verdict = Diagnostics(
            0.0,
            "",
            0.0,
            "",
            0,
            0.0,
            0.0,
            0,
            0,
            0,
            0.0,
            Approximation(0, 0.0, 0.0, found.settled, found.rounds),
        )
        return Posterior(_sites(whole), _predicted(beside), verdict, part)
    chains = fit(part, replace(settings, method="hmc"))
    agreed = compare_with_chains(part, chains.flatten("e"), _sites(beside)["e"][0], found)
    return Posterior(_sites(whole), chains.predicted, replace(chains.diagnostics, approximation=agreed), part)


@dataclass(frozen=True)
class _Fitted:
    """A normal approximation with its inputs."""

    normal: Normal
    data: Arrays
    shapes: Shapes


def _normal(
    obs: Observations,
    seed: int,
    quick: bool,
    on_progress: OnProgress = lambda *_: None,
    known: Globals | None = None,
) -> _Fitted:
    draws = DRAWS if obs.rows <= LEARNT or quick else FEW_DRAWS
    data, shapes = prepare(obs)
    return _Fitted(approximate(data, draws, seed, on_progress, known, quick), data, shapes)


def compare_with_chains(obs: Observations, sampled: Draws, normal: Draws, found: Globals) -> Approximation:
    """Compare expressed quality from chains and from the approximation; both (draws, completions)."""
    rank = float(spearmanr(sampled.mean(axis=0), normal.mean(axis=0)).statistic)
    # Neighbours in the table: completions of one prompt are adjacent.
    a = np.flatnonzero(obs.prompt[:-1] == obs.prompt[1:])
    drawn, said = (
        compute_share_above(sampled[:, a] - sampled[:, a + 1]),
        compute_normal_chance(normal[:, a] - normal[:, a + 1]),
    )
    away = float(np.abs(drawn - said).mean()) if len(a) else 0.0
    return Approximation(len(obs.prompt), round(rank, 4), round(away, 4), found.settled, found.rounds)


def _sites(fitted: _Fitted) -> dict[str, Draws]:
    """Return the draws of every site as one chain."""
    made = make_sampler(fitted.data, BLOCK).constrain(fitted.normal.draws[None], fitted.data)
    return cut_padding(made, fitted.shapes)


def _predicted(fitted: _Fitted) -> dict[str, Draws]:
    return predict(make_sampler(fitted.data, BLOCK), fitted.normal.draws[None], fitted.data, fitted.shapes)
