"""Do intervals hold where texts say nothing, mislead, or say half? Fits of signals whose truth is known."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit
from preceptor.toolkit.fusion.text.features import scale_group, standardise

from ..keep import each
from ..simulate import Simulated, Size, ordinary, simulate

Floats = NDArray[np.float64]

SIZE = Size(150, 2, annotators=20, votes=600, ratings=150)
COLUMNS = 28
WAYS = ("no text", "irrelevant", "misleading", "relevant")


@dataclass(frozen=True)
class Held:
    """What one fit says beside the truth: shares of truths inside 90 % intervals, and losses."""

    e: float  # of expressed qualities
    difference: float  # of differences between the two completions of a prompt
    rmse: float
    loss: float  # log-loss of P(a is preferred to b), p clipped to 0.001
    share: float  # of expressed quality that the fit says texts explain
    r_hat: float


def make_features(made: Simulated, way: str, seed: int) -> dict[str, Floats]:
    """COLUMNS random columns; the first is e and as much noise (relevant), or that in half of the prompts
    and its opposite in the others (misleading): what it says of one prompt is wrong of another.
    """
    if way == "no text":
        return {}
    rng = np.random.default_rng([seed, 78])
    columns = rng.normal(size=(SIZE.items, COLUMNS))
    if way != "irrelevant":
        sign = np.where((made.obs.prompt % 2 == 1) & (way == "misleading"), -1.0, 1.0)
        columns[:, 0] = sign * made.truth["e"] + rng.normal(size=SIZE.items)
    return {"made": scale_group(standardise(columns - columns.mean(axis=0)))}


def look(seed: int, way: str, draws: int) -> Held:
    """Simulate signals and features, fit, and compare with the truth."""
    made = simulate(np.random.default_rng([seed, 77]), SIZE, ordinary())
    obs = replace(made.obs, text=make_features(made, way, seed))
    posterior = fit(obs, SamplerSettings(seed=seed, warmup=300, draws=draws, max_draws=draws))
    e, truth = posterior.flatten("e"), made.truth["e"]
    a, b = np.arange(0, SIZE.items, 2), np.arange(1, SIZE.items, 2)
    p = np.where(truth[a] > truth[b], 1, -1) * ((e[:, a] > e[:, b]).mean(axis=0) - 0.5) + 0.5
    return Held(
        _covered(e, truth),
        _covered(e[:, a] - e[:, b], truth[a] - truth[b]),
        float(np.sqrt(np.square(e.mean(axis=0) - truth).mean())),
        float(-np.log(np.maximum(p, 1e-3)).mean()),
        float(posterior.flatten("text_share").mean()) if obs.text else 0.0,
        posterior.diagnostics.r_hat_max,
    )


def _covered(draws: Floats, truth: Floats) -> float:
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return float(((low <= truth) & (truth <= high)).mean())


def measure(sets: int, draws: int, keep: bool = True) -> Iterator[tuple[str, list[Held]]]:
    """For each way to make features, what was found in each simulated set."""
    for way in WAYS:
        found = each(
            f"text coverage {way} {SIZE} {draws}", range(sets), partial(look, way=way, draws=draws), keep
        )
        yield way, list(found)
