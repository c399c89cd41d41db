"""Record the final states of a fit's chains by name, so that a fit with more signals can start there.

A parameter of one completion, prompt, annotator, learner or author is recorded with that member's name, so
that it is found again if other members were added or removed. New members start at their priors.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..likelihoods.assigned import list_logged
from ..likelihoods.likelihood import Ints
from ..likelihoods.outcomes import Outcomes
from ..likelihoods.registry import LIKELIHOODS
from ..likelihoods.tastes import TASTE
from ..observations import Observations
from .hmc import INITIAL_RADIUS, TRAJECTORY, MassMatrix, Sampler, Shapes, list_entries

Floats = NDArray[np.float64]

DIGITS = 6  # significant digits of the record
_GROUPS = {
    "author_expressed": "authors",
    "author_observed": "authors",
    TASTE: "judged",
    **{name: members for likelihood in LIKELIHOODS.values() for name, members in likelihood.groups.items()},
}  # kind of a group's members, by the group's name up to the criterion or measure
_OF_A_PART = ("prompts", "logged", "strata")  # kinds whose members are those of a part of the signals


@dataclass(frozen=True)
class Ends:
    """Final state of each chain, and the estimated covariance of the posterior.

    `rows` has site, member, ends (one per chain) and covariance, sorted by `sort_ends`.
    Of a global parameter `member` is its place (0, 1 …) and `covariance` its covariances with all
    global ones, in the order of the rows; of any other `covariance` is its variance.
    """

    rows: pl.DataFrame
    leapfrogs: float  # steps of a draw, on average


@dataclass(frozen=True)
class Start:
    """Where chains begin, with which mass matrix and step size."""

    at: Floats  # (chains, size)
    metric: MassMatrix
    step: float


def record_ends(
    obs: Observations, sampler: Sampler, shapes: Shapes, last: Floats, metric: MassMatrix
) -> pl.DataFrame:
    """Make the rows of `Ends` from the last draw of each chain, (chains, size)."""
    known = _named(obs, sampler, shapes)
    column = known["column"].to_numpy()
    few = column[column < sampler.globals]
    root = np.asarray(metric.globals, dtype=float)
    together = _short((root @ root.T)[np.ix_(few, few)])
    alone = _short(np.square(np.asarray(metric.members, dtype=float)))
    place = {c: i for i, c in enumerate(few)}
    covariance = [together[place[c]] if c in place else [alone[c - sampler.globals]] for c in column]
    ends = _short(np.asarray(last, dtype=float).T[column])
    return known.select(
        "site", "member", pl.Series("ends", ends, _NUMBERS), pl.Series("covariance", covariance, _NUMBERS)
    )


def start_from(
    ends: Ends, obs: Observations, sampler: Sampler, shapes: Shapes, chains: int, seed: int
) -> Start:
    """Start chains at the final states of an earlier fit; new members start at random, as their priors.

    With more chains than final states, some start at the same place and soon separate.
    """
    random, n = np.random.default_rng([seed, 7]), sampler.globals
    at = random.standard_normal((chains, sampler.size))
    at[:, :n] = random.uniform(-INITIAL_RADIUS, INITIAL_RADIUS, (chains, n))
    covariance, variances = np.eye(n), np.ones(sampler.size)
    rows = ends.rows.with_columns(
        place=pl.when(_of_globals()).then(_of_globals().cum_sum().cast(pl.Int64) - 1)
    )
    both = _named(obs, sampler, shapes).join(rows, on=["site", "member"], how="inner", maintain_order="left")
    if both.height:
        found = np.array(both["ends"].to_list(), dtype=float).T
        at[:, both["column"].to_numpy()] = found[np.arange(chains) % len(found)]
    few, many = both.filter(_of_globals()), both.filter(~_of_globals())
    if few.height:
        whole = np.array(few["covariance"].to_list(), dtype=float)
        column = few["column"].to_numpy()
        covariance[np.ix_(column, column)] = whole[:, few["place"].to_numpy()]
    variances[many["column"].to_numpy()] = many["covariance"].list.first().to_numpy()
    metric = MassMatrix(
        np.linalg.cholesky(covariance).astype(np.float32), np.sqrt(variances[n:]).astype(np.float32)
    )
    return Start(at, metric, TRAJECTORY / ends.leapfrogs)


_NUMBERS = pl.List(pl.Float64)


def _short(values: Floats) -> list[Any]:
    """Round each value to DIGITS significant digits."""
    size = np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values)))
    unit = 10.0 ** (DIGITS - 1 - size)
    kept: list[Any] = (np.rint(values * unit) / unit).tolist()
    return kept


def _of_globals() -> pl.Expr:
    return ~(pl.col("site").is_in(["own", "w"]) | pl.col("site").str.starts_with("z_"))


def _named(obs: Observations, sampler: Sampler, shapes: Shapes) -> pl.DataFrame:
    """List the vector's columns that are not padding: column, site, member."""
    names = {site: _members(obs, site) for site in sampler.packing}
    rows = [
        (column, site, str(place) if (known := names[site]) is None else known[place])
        for column, site, place in list_entries(sampler.packing, shapes)
    ]
    schema = {"column": pl.Int64, "site": pl.String, "member": pl.String}
    return sort_ends(pl.DataFrame(rows, schema=schema, orient="row"))


def sort_ends(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort rows by site and member, global parameters first."""
    return rows.sort(~_of_globals(), "site", "member")


def _members(obs: Observations, site: str) -> list[str] | None:
    """List whom the entries of a site belong to, in their order; None for a global parameter."""
    if site in ("own", "z_own"):
        return obs.completions["completion"].to_list()
    if site == "w":
        return obs.completions["completion"].gather(obs.tried).to_list()
    name, _, scale = site.removeprefix("z_").partition(":")
    members = _GROUPS.get(name) if site.startswith("z_") else None
    if members in _OF_A_PART:
        (part,) = (p for p in obs.parts if p.scale == scale and name in LIKELIHOODS[p.SIGNAL].groups)
        if members == "prompts":
            return _prompts(obs, part.items[0])
        if isinstance(part, Outcomes):
            logged = list_logged(part.item, part.drawn)
            strata = list(part.strata)
            return obs.completions["completion"].gather(logged).to_list() if members == "logged" else strata
    if members == "judged":
        return obs.completions["completion"].gather(obs.judged).to_list()
    people: dict[str, Iterable[str]] = {
        "annotators": obs.annotators["annotator"],
        "learners": obs.learners,
        "authors": obs.authors,
    }
    return list(people[members]) if members else None


def _prompts(obs: Observations, items: Ints) -> list[str]:
    keys = obs.completions["prompt"].unique().sort()
    return keys.gather(np.unique(obs.prompt[items])).to_list()
