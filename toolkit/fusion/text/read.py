"""Read the texts of a fit's completions: the groups of features that its prior knows, and their length."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....schemas.errors import FusionError
from ....schemas.keys import hash_key
from ...store.connection import Store
from ..likelihoods.own import LENGTH
from ..observations import Observations
from .cheap import CHEAP, Floats, count_words, measure_cheaply
from .features import COMPONENTS, make_components, scale_group, standardise, subtract_means, take_out
from .states import OnRead, TextEncoder, read_states

CHEAPLY = "cheap"


@dataclass(frozen=True)
class Texts:
    """What is known of the texts of a fit's completions, in the order of its items."""

    length: Floats  # (items,) words in doublings, less the mean of their prompt
    groups: Mapping[str, Floats] = field(default_factory=dict)  # (items, columns) each, for the prior


def describe_text(text: str | TextEncoder | None) -> dict[str, Any]:
    """Describe in the fit's config how texts are read: features, their number, the model with its digest."""
    if text is None:
        return {}
    if isinstance(text, TextEncoder):
        return {"features": "states", "model": text.name, "components": COMPONENTS}
    return {"features": text, "digest": hash_key(CHEAP)}


def restore_text(said: Mapping[str, Any] | None) -> str | TextEncoder | None:
    """Restore how texts were read from what `describe_text` said of it.

    A model restored so reads no text anew: it raises FusionError where the store lacks a state.
    """
    if not said:
        return None
    if said["features"] != "states":
        return str(said["features"])

    def refuse(_: object) -> list[list[float]]:
        raise FusionError(
            f"the store lacks texts as {said['model']} reads them: run preceptor fuse --text again"
        )

    return TextEncoder(said["model"], refuse)


def read_texts(
    con: Store,
    obs: Observations,
    text: str | TextEncoder | None = None,
    length_controlled: bool = False,
    on_read: OnRead = lambda *_: None,
) -> Texts:
    """Read the texts of the completions of `obs` and make the groups of features asked for.

    `text` is CHEAPLY, a model that reads them, or None for no features. If `length_controlled`, length is a
    group of its own, and the other features are without what length explains of them: so its weight is all
    that length is worth, and not what is left of it beside features that contain it.
    """
    keys = obs.completions["completion"]
    doublings = subtract_means(np.log2(count_words(con, keys))[:, None], obs.prompt)
    if isinstance(text, TextEncoder):
        name, features = (
            "states",
            standardise(subtract_means(read_states(con, keys, text, on_read), obs.prompt)),
        )
    elif text is not None:
        name, features = text, standardise(subtract_means(measure_cheaply(con, keys), obs.prompt))
    groups: dict[str, Floats] = {}
    if text is not None:
        features = take_out(features, doublings) if length_controlled else features
        groups[name] = scale_group(make_components(features) if isinstance(text, TextEncoder) else features)
    if length_controlled:
        groups[LENGTH] = scale_group(doublings)
    return Texts(doublings[:, 0], groups)
