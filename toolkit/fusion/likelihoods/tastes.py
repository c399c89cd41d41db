"""The taste that models share: what they like in a completion beyond what people do.

    a model sees e + m in place of e;  m = tau z, tau ~ HalfNormal(1), one z a completion that models judged
    and e + m + s of a completion that it wrote itself;  s ~ Normal(0, 0.7), the same for all models
    and judges with a slope of the models' own, since they are steadier than people

Models learnt from much the same texts, so they err alike: agreeing with each other, they would pass for
reliable. m is common to all of them, so a second model's vote tells less than the first one's, and
copies of one model tell hardly more than one. Only people tell e and m apart: where nobody but models
judged, e stays as wide as tau allows.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from numpy.typing import NDArray

from .likelihood import NOBODY, Arrays, Ints, Part
from .priors import sample_group, sample_half_normal

TASTE = "model_taste"  # name of the group of sites
# Of the prior, in standard deviations of quality. A half-Cauchy prior says the same where people judged too;
# where only models did, its tail makes chains diverge.
TASTE_SCALE = 1.0
SELF_PREFERENCE = "self_preference"  # name of the site
_SELF_SCALE = 0.7


def find_rows_of_models(part: Part, models: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the rows (rows,) that a model gave; `models` is (annotators,).

    None of a part without annotators.
    """
    who = part.annotators
    if who is None or not models.any():
        return np.zeros(part.rows, dtype=bool)
    by: NDArray[np.bool_] = (who != NOBODY) & models[who]
    return by


def find_judged(parts: Sequence[Part], models: NDArray[np.bool_]) -> Ints:
    """Find the sorted indices (n,) of the completions that any model judged."""
    items = [index[find_rows_of_models(part, models)] for part in parts for index in part.items]
    return np.unique(np.concatenate(items)) if items else np.zeros(0, dtype=np.int64)


def make_taste_arrays(judged: Ints, items: int) -> Arrays:
    """Make the model's arrays of the taste for `judged` completions, (n,); {} where no model judged.

    judged: zeros, one a completion that models judged; judged_as (items,): each one's place among these, 0
    for the others, which no model's row names.
    """
    if not len(judged):
        return {}
    place = np.zeros(items, dtype=np.int64)
    place[judged] = np.arange(len(judged))
    return {"judged": np.zeros(len(judged)), "judged_as": place}


def mark_models(part: Part, models: NDArray[np.bool_]) -> Arrays:
    """Make the array that marks a part's rows of models, (rows,): 1 or 0; {} where it has none."""
    by_model = find_rows_of_models(part, models)
    return {"by_model": by_model.astype(float)} if by_model.any() else {}


def mark_own(part: Part, author: Ints, wrote: Ints) -> Arrays:
    """Make arrays that mark what a row's model wrote itself, (rows,) 1 or 0, one a column of completions.

    `author` (items,) is of each completion, `wrote` (annotators,) the author that an annotator is; NOBODY
    where not known. {} where no model judged its own.
    """
    who = part.annotators
    if who is None or not (wrote != NOBODY).any():
        return {}
    mine = np.where(who != NOBODY, wrote[who], NOBODY)
    own = {
        f"own_{name}": ((mine != NOBODY) & (author[index] == mine)).astype(float)
        for name, index in zip(part.ITEMS, part.items, strict=True)
    }
    return own if any(marks.any() for marks in own.values()) else {}


def add_taste(data: Arrays) -> Arrays:
    """Sample what models share, and add it: `taste` (judged,), and `own` where a model judged its own.

    Where no model judged, the same arrays.
    """
    if "judged" not in data:
        return data
    shared = {"taste": sample_group(TASTE, data["judged"].shape[0], TASTE_SCALE)}
    parts = [part for part in data.values() if isinstance(part, dict)]
    if any(name.startswith("own_") for part in parts for name in part):
        shared["own"] = numpyro.sample(SELF_PREFERENCE, dist.Normal(0, _SELF_SCALE))
    return data | shared


def see(data: Arrays, rows: Arrays, quality: Array, column: str = "item") -> Array:
    """Return the quality of the completions in a part's column as each row's annotator sees it: (rows,)."""
    item = rows[column]
    if "by_model" not in rows:
        return quality[item]
    seen: Array = quality[item] + rows["by_model"] * data["taste"][data["judged_as"][item]]
    own = rows.get(f"own_{column}")
    return seen if own is None else seen + own * data["own"]


def sample_slope(rows: Arrays, name: str, scale: float) -> Array:
    """Sample the slope of a part's rows: a scalar, or (rows,) where models have their own, `model_NAME`."""
    slope = sample_half_normal(name, scale)
    if "by_model" not in rows:
        return slope
    of_models = sample_half_normal(f"model_{name}", scale)
    return jnp.where(rows["by_model"] > 0, of_models, slope)
