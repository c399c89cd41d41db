"""Units that are left out of a fit: all signals of an annotator, learner, source or campaign.

list_units(con, obs, "annotator")       # {"5f0c2ab1d94e77a3": {"votes": counts (rows, 3), …}, …}
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields

import numpy as np
import polars as pl

from ....schemas.tables import SIGNALS, SignalType
from ...store.connection import Store, query
from ...store.where import match_sources
from ..likelihoods.likelihood import NOBODY, Counts, Ints, Part
from ..likelihoods.registry import LIKELIHOODS
from ..observations import Observations

UNITS = {"annotator": "annotators", "learner": "learners", "source": "sources", "campaign": "campaigns"}
_COUNTED = (
    "counts",
    "successes",
    "failures",
    "offset",
    "offset_sd",
    "stratum",
)  # fields of parts that count; the others say what


def list_units(
    con: Store, obs: Observations, by: str, sources: Sequence[str] = ()
) -> dict[str, dict[str, Counts]]:
    """List the units of a kind by name, each with its counts (rows, categories) by part of the signals.

    `sources` are those of the fit. Units without signals are left out.
    """
    if by == "annotator":
        found = take_members(obs, "annotator", obs.annotators["pseudonym"].to_list())
    elif by == "learner":
        found = take_members(obs, "learner", obs.learners)
    else:
        found = dict(_of_sources(con, obs, by == "campaign", sources))
    return {name: unit for name, unit in found.items() if unit}


def take_members(obs: Observations, column: str, names: Sequence[str]) -> dict[str, dict[str, Counts]]:
    """Make a unit of each member whose index `column` holds; `names` in the order of the indices."""
    return {name: take_member(obs, column, [i]) for i, name in enumerate(names)}


def take_member(obs: Observations, column: str, members: Sequence[int]) -> dict[str, Counts]:
    """Make one unit of all members with these indices."""
    found = {}
    for part in obs.parts:
        who: Ints | None = getattr(part, column, None)
        if who is not None and (mine := np.isin(who, members) & (who != NOBODY)).any():
            found[part.site] = np.where(mine[:, None], part.table, 0.0)
    return found


def _of_sources(
    con: Store, obs: Observations, campaigns: bool, sources: Sequence[str]
) -> Iterator[tuple[str, dict[str, Counts]]]:
    """Make a unit of each source of signals, or of each that is a campaign."""
    said = " UNION ".join(f"SELECT source FROM {signal.name}" for signal in SIGNALS)
    asked = " AND source IN (SELECT source FROM questions)" if campaigns else ""
    for name in query(con, f"SELECT DISTINCT source FROM ({said}) WHERE true{asked} ORDER BY 1")["source"]:
        found: dict[str, Counts] = {}
        for signal in SIGNALS:
            rows = _read_of_source(con, signal, name, sources)
            if rows.height:
                known = {part.site: part for part in obs.list_parts(signal.name)}
                encode: Callable[..., tuple[Part, ...]] = LIKELIHOODS[signal.name].encode
                parts = encode(rows, obs.members)
                found |= {
                    part.site: _count_in(known[part.site], part) for part in parts if part.site in known
                }
        yield name, {site: counts for site, counts in found.items() if counts.any()}


def _read_of_source(con: Store, signal: SignalType, source: str, sources: Sequence[str]) -> pl.DataFrame:
    """Read the signals of one source as a fit of `sources` does, without those of excluded annotators."""
    mine = f"SELECT key FROM completions WHERE {match_sources()}"
    counted = (
        f" AND ({signal.annotator} IS NULL OR {signal.annotator} NOT IN"
        " (SELECT key FROM annotators WHERE excluded_at IS NOT NULL))"
        if signal.annotator
        else ""
    )
    select = LIKELIHOODS[signal.name].read.format(mine=mine)
    here = f"SELECT * FROM main.{signal.name} WHERE source = $source{counted}"
    sql = f"WITH {signal.name} AS ({here}) SELECT * FROM ({select})"
    rows = query(con, sql, {"sources": list(sources), "source": source})
    return rows if "n" in rows.columns else rows.with_columns(n=pl.lit(1))


def _count_in(whole: Part, some: Part) -> Counts:
    """Counts of `some` at the rows of `whole` that say the same: (rows, categories)."""
    place = _describe(whole).with_row_index("row")
    at = _describe(some).join(place, on=list(_names(whole)), how="left", maintain_order="left")["row"]
    counts = np.zeros_like(whole.table)
    known = at.is_not_null().to_numpy()
    counts[at.drop_nulls().to_numpy()] = some.table[known]
    return counts


def _names(part: Part) -> list[str]:
    """Names of the arrays that say what a row is about."""
    values: Mapping[str, object] = {f.name: getattr(part, f.name) for f in fields(part)}
    return [name for name, value in values.items() if isinstance(value, np.ndarray) and name not in _COUNTED]


def _describe(part: Part) -> pl.DataFrame:
    return pl.DataFrame({name: getattr(part, name) for name in _names(part)})
