"""Read the texts of a fit's completions: the groups of features that its prior knows, and their length."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....schemas.keys import hash_key
from ...store.connection import Store
from ..likelihoods.own import LENGTH
from ..observations import Observations
from .cheap import CHEAP, Features, count_words, measure_cheaply
from .features import COMPONENTS, centre, scale_group, standardise, take_out, whiten
from .states import Encoder, OnRead, read_states

CHEAPLY = "cheap"


@dataclass(frozen=True)
class Texts:
    """What is known of the texts of a fit's completions, in the order of its items."""

    length: Features  # (items,) words in doublings, less the mean of their prompt
    groups: Mapping[str, Features] = field(default_factory=dict)  # (items, columns) each, for the prior


def describe_text(text: str | Encoder | None) -> dict[str, Any]:
    """Describe in the fit's config how texts are read: features, their number, the model with its digest."""
    if text is None:
        return {}
    if isinstance(text, Encoder):
        return {"features": "states", "model": text.name, "components": COMPONENTS}
    return {"features": text, "digest": hash_key(CHEAP)}


def read_texts(
    con: Store,
    obs: Observations,
    text: str | Encoder | None = None,
    length_controlled: bool = False,
    on_read: OnRead = lambda *_: None,
) -> Texts:
    """Read the texts of the completions of `obs` and make the groups of features asked for.

    `text` is CHEAPLY, a model that reads them, or None for no features. If `length_controlled`, length is a
    group of its own, and the other features are without what length explains of them: so its weight is all
    that length is worth, and not what is left of it beside features that contain it.
    """
    keys = obs.completions["completion"]
    doublings = centre(np.log2(count_words(con, keys))[:, None], obs.prompt)
    if isinstance(text, Encoder):
        name, features = "states", standardise(centre(read_states(con, keys, text, on_read), obs.prompt))
    elif text is not None:
        name, features = text, standardise(centre(measure_cheaply(con, keys), obs.prompt))
    groups: dict[str, Features] = {}
    if text is not None:
        features = take_out(features, doublings) if length_controlled else features
        groups[name] = scale_group(whiten(features) if isinstance(text, Encoder) else features)
    if length_controlled:
        groups[LENGTH] = scale_group(doublings)
    return Texts(doublings[:, 0], groups)
