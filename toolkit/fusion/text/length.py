"""What a doubling of length is worth to annotators, and the part of quality that length explains.

A fit that does not know length shrinks what length is worth towards 0. But its prior of z is N(0, I): had
it been N(c x, I), x the length of completions in doublings less the mean of their prompt, the likelihood of
c would be the mean of exp(c s - c^2 x.x / 2) over the draws, s = x . z. With s nearly normal that is a
normal in c with precision x.x - var(s) and mean E(s) / (x.x - var(s)). So no second fit is needed; the
bench's part `text` sets the two side by side.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ....schemas.tables import EXPRESSED
from ..findings.posterior import summarise_draws
from ..findings.summary import COIN_FLIP
from ..likelihoods.own import LENGTH
from ..sampling.fit import Posterior
from .read import Texts

Draws = NDArray[np.float64]

_FLAT = 1e-9  # sum of squares of lengths that do not differ


def draw_worth(posterior: Posterior, texts: Texts, seed: int) -> Draws | None:
    """Draw what a doubling of length adds to expressed quality: (draws,), in log-odds of quality.

    None if the completions of no prompt differ in length.
    """
    x = texts.length
    size = float(x @ x)
    if size < _FLAT:
        return None
    if LENGTH in texts.groups:
        unit = float(texts.groups[LENGTH][:, 0] @ x) / size  # of the group's column, in a doubling
        return posterior.flatten(f"text_weight:{LENGTH}")[:, 0] * unit
    beside = []  # what z goes with: a steep slope with small differences, text that says it with less of z
    if "vote_slope" in posterior.sites:
        beside.append(np.log(posterior.flatten("vote_slope")))
    spread, z, of_text = np.ones(1), posterior.flatten("own"), np.zeros(1)
    if "z_own" in posterior.sites:
        spread = 1 / np.sqrt(1 - posterior.flatten("text_share"))
        z, of_text = posterior.flatten("z_own"), posterior.flatten("text_mean") @ x / size
        beside += [of_text, np.log(spread)]
    along = z @ x
    middle = _predict(along, beside)
    prior = float(np.square(x).mean())  # of c: a standard deviation of length is worth N(0, 1)
    precision = max(size - float(np.var(along - middle)), 0.0) + prior
    noise = np.random.default_rng([seed, 8]).standard_normal(len(z))
    worth: Draws = of_text + (middle / precision + noise / np.sqrt(precision)) / spread
    return worth


def summarise_length(posterior: Posterior, texts: Texts, pairs: pl.DataFrame, seed: int) -> dict[str, Any]:
    """Summarise what a doubling is worth, as `length` among the findings.

    expressed: in expressed quality; votes: in log-odds of a vote, if there are any; means with 90 %
    intervals. spread: the standard deviation of length within a prompt, in doublings. Where length is
    controlled, turned: how many of the `pairs` that were decided it puts the other way round. Nothing where
    nobody said what they prefer, or no prompt has completions that differ in length.
    """
    said = {part.partition(":")[0] for part in posterior.predicted} & {signal.name for signal in EXPRESSED}
    worth = draw_worth(posterior, texts, seed) if said else None
    if worth is None:
        return {}
    found: dict[str, Any] = {"expressed": summarise_draws(worth)}
    if "vote_slope" in posterior.sites:
        found["votes"] = summarise_draws(worth * posterior.flatten("vote_slope"))
    found |= {"spread": round(float(texts.length.std()), 4), "controlled": LENGTH in texts.groups}
    if LENGTH in texts.groups:
        decided = pairs.filter((pl.col("p_with_length") - 0.5).abs() > COIN_FLIP - 0.5)
        turned = decided.filter((pl.col("p") > 0.5) != (pl.col("p_with_length") > 0.5))
        found |= {"decided": decided.height, "turned": turned.height}
    return {"length": found}


def draw_length_part(posterior: Posterior, texts: Texts) -> Draws | float:
    """Draw the part of expressed quality that length explains, (draws, items); 0 unless it is controlled."""
    if LENGTH not in texts.groups:
        return 0.0
    part: Draws = posterior.flatten(f"text_weight:{LENGTH}") @ texts.groups[LENGTH].T
    return part


def _predict(values: Draws, beside: list[Draws]) -> Draws:
    """Predict values (draws,) by least squares from others, (draws,) each: what is left is nearly normal."""
    columns = np.stack([np.ones(len(values)), *beside], axis=1)
    predicted: Draws = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    return predicted
