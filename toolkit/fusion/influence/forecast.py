"""Say at once what leaving people out changes: pairs of the newest fit, and datasets built from it."""

from collections.abc import Sequence

import numpy as np

from ....schemas.errors import FusionError
from ...store.connection import Store, query
from ...store.folders import locate_folder, shorten_path
from ..inputs.signals import WITHIN
from ..likelihoods.likelihood import Counts
from ..observations import Observations
from .influence import MOVED, needs_refit, read_fit, summarise_changes, weigh_without
from .units import take_member


def forecast_change(con: Store, people: Sequence[str]) -> list[str]:
    """Forecast, in a few lines, what the newest fit would say without these pseudonyms' signals.

    Weights the fit's draws, so it takes seconds; nothing is fitted. Empty if there is no fit.
    """
    newest = query(
        con, "SELECT key, config FROM fits WHERE converged ORDER BY fitted_at DESC, key LIMIT 1"
    ).to_dicts()
    if not newest or not people:
        return []
    sources = query(
        con, "SELECT (config->'$.sources')::VARCHAR[] AS s FROM fits WHERE key = ?", [newest[0]["key"]]
    )
    try:
        stored = read_fit(con, sources["s"][0].to_list())
    except FusionError as error:
        return [f"which pairs change is not known: {error}", *_list_builds(con, newest[0]["key"])]
    unit = _choose(stored.kept.obs, people)
    if not unit:
        return [f"fit {stored.key[:8]} does not use their signals: no pair changes"]
    found = weigh_without(stored, unit)
    said = summarise_changes(found)
    rough = needs_refit(found)
    return [
        f"fit {stored.key[:8]}: of {found.height:,} pairs {said['flips']:,} would flip and "
        f"{said['moved']:,} move by more than {MOVED} (largest change of p {said['largest']:.2f})"
        f"{'; a rough estimate, which preceptor fuse replaces' if rough else ''}",
        *_list_builds(con, stored.key),
    ]


def _choose(obs: Observations, people: Sequence[str]) -> dict[str, Counts]:
    """Choose all signals of people, as annotators and as learners."""
    annotators = [
        i for i, name in enumerate(obs.annotators["pseudonym"]) if name.partition(WITHIN)[0] in people
    ]
    learners = [i for i, name in enumerate(obs.learners) if name.rpartition(":")[2] in people]
    units = (take_member(obs, "annotator", annotators), take_member(obs, "learner", learners))
    return {site: counts for unit in units for site, counts in unit.items() if np.any(counts)}


def _list_builds(con: Store, fit: str) -> list[str]:
    """Name the datasets that stand and were built from a fit."""
    outs = query(
        con, "SELECT DISTINCT out FROM builds WHERE fit = ? AND replaced_at IS NULL ORDER BY 1", [fit]
    )
    return [
        f"{shorten_path(locate_folder(con, out))} was built from fit {fit[:8]}: after preceptor fuse build "
        "it again; preceptor diff compares the two"
        for out in outs["out"]
    ]
