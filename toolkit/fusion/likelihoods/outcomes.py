"""Outcomes: logit P(success at a try), geometric in the number of tries.

Where `preceptor learn` has said what outcomes owe to learners' ability and the moment, that is taken off.
Where explanations were drawn by chance, what others owe to who got them is kept apart (`assigned`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
from jax import Array
from jax.nn import log_sigmoid
from numpy.typing import NDArray

from .assigned import DRAW, GROUPS, PARAMETERS, add_assignment, make_assigned_arrays, number_draws
from .likelihood import (
    NOBODY,
    Arrays,
    Counts,
    Draws,
    Ints,
    Likelihood,
    Members,
    Part,
    Replicated,
    replicate_counts,
)
from .priors import observe_counts, sample_group, sample_half_normal

_OFFSET = {"offset": 0.0, "offset_sd": 0.0}  # columns, with the value where the learner is not known
TURNS = ("0", "1", "2", "3+")  # failures before a success


@dataclass(frozen=True)
class Outcomes(Part):
    """Outcomes on one measure, as successes and failures of independent tries.

    One row per completion and learner. turns: a learner who failed twice and then succeeded is one
    success, two failures; a censored row contributes its failures only. success: one try a row.
    """

    SIGNAL: ClassVar[str] = "outcomes"

    measure: str
    item: Ints  # index of the completion
    learner: Ints  # index, NOBODY where not known
    successes: Counts  # (rows,)
    failures: Counts  # (rows,)
    offset: Counts | None = None  # (rows,) of the logit, by a learner model; None where there is none
    offset_sd: Counts | None = None  # (rows,)
    drawn: Ints | None = None  # (rows,) 1: the completion was drawn by chance, 0: not; None if none ever was
    stratum: Ints | None = None  # (rows,) index among `strata` or NOBODY
    strata: tuple[str, ...] = ()  # study and fit that gave chances, if there are several

    @property
    def scale(self) -> str:
        """The measure."""
        return self.measure

    @property
    def categories(self) -> list[str]:
        """Results of a try."""
        return ["failure", "success"]

    @property
    def table(self) -> Counts:
        """Failures and successes (rows, 2)."""
        return np.stack([self.failures, self.successes], axis=1)


def _encode(outcomes: pl.DataFrame, members: Members) -> tuple[Outcomes, ...]:
    parts = sorted(outcomes.partition_by("measure", as_dict=True).items())
    return tuple(_count(part, members) for _, part in parts)


def _count(part: pl.DataFrame, members: Members) -> Outcomes:
    """Successes and failures per completion and learner, drawn ones and others apart."""
    turns = pl.col("measure") == "turns"
    row, strata = _name_rows(part, members)
    offsets = [name for name in _OFFSET if name in part.columns]
    counted = (
        part.select(
            *row,
            pl.when(turns)
            .then((~pl.col("censored")).cast(pl.Float64))
            .otherwise(pl.col("value"))
            .alias("successes"),
            pl.when(turns).then(pl.col("value")).otherwise(1 - pl.col("value")).alias("failures"),
            *(pl.col(name).fill_null(_OFFSET[name]) for name in offsets),
        )
        .group_by(name for name in _ROW if name in row.columns)
        .agg(
            pl.col("successes", "failures").sum(),
            *(pl.col(name).mean() for name in offsets),
            *(pl.col(name).max() for name in ("stratum",) if name in row.columns),
        )
        .sort(name for name in _ROW if name in row.columns)
    )
    indices = [name for name in (*_ROW, "stratum") if name in counted.columns]
    arrays: dict[str, Any] = {name: counted[name].to_numpy().astype(np.int64) for name in indices}
    arrays |= {name: counted[name].to_numpy().astype(np.float64) for name in offsets}
    return Outcomes(
        measure=str(part["measure"][0]),
        successes=counted["successes"].to_numpy().astype(np.float64),
        failures=counted["failures"].to_numpy().astype(np.float64),
        strata=strata,
        **arrays,
    )


_ROW = ("item", "learner", "drawn")  # what a row of the part is about


def _name_rows(outcomes: pl.DataFrame, members: Members) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Name the part's row of each outcome: item and learner; where any was drawn also drawn and stratum."""
    row = pl.DataFrame(
        [members.look_up(outcomes, "completion").alias("item"), members.look_up(outcomes, "learner")]
    )
    if DRAW not in outcomes.columns:
        return row, ()
    drawn, stratum, strata = number_draws(outcomes[DRAW].cast(pl.String))
    return row.with_columns(drawn, stratum), strata


def _arrays(y: Outcomes) -> Arrays:
    arrays = {"item": y.item, "learner": y.learner, "successes": y.successes, "failures": y.failures}
    arrays |= make_assigned_arrays(y.item, y.drawn, y.stratum, len(y.strata))
    return arrays if y.offset is None else arrays | {"offset": y.offset, "offset_sd": y.offset_sd}


def _observe(name: str, data: Arrays, o: Array) -> None:
    """Success at a try: a logistic in observed quality, prompt difficulty, learner ability."""
    y, measure = data[name], name.partition(":")[2]
    slope = sample_half_normal(f"outcome_slope:{measure}", 2)
    level = numpyro.sample(f"outcome_level:{measure}", dist.Normal(0, 1.5))
    logit = level + slope * o[y["item"]]
    logit = logit - sample_group(f"outcome_prompt:{measure}", y["n_prompts"].shape[0], 1.0)[y["prompt"]]
    if "learners" in data:
        ability = sample_group(f"ability:{measure}", data["learners"].shape[0], 1.0)
        logit = logit + jnp.where(y["learner"] != NOBODY, ability[y["learner"]], 0.0)
    logit = add_assignment(logit, y, measure)
    if "offset" in y:
        # What is not known of an offset draws chances towards one half (MacKay's approximation).
        logit = (logit + y["offset"]) / jnp.sqrt(1 + jnp.pi * y["offset_sd"] ** 2 / 8)
    success = log_sigmoid(logit)
    observe_counts(name, jnp.stack([success - logit, success], axis=1), _tries(y))


def _tries(y: Arrays) -> Array:
    return jnp.stack([y["failures"], y["successes"]], axis=1)


def _replicate(
    y: Outcomes, log_probs: Draws, rows: pl.DataFrame, members: Members, rng: np.random.Generator
) -> Replicated:
    """Turns: learners by the number of failures before their success, as shares of all who tried.

    Exactly the tries that were made are drawn anew, so nothing is assumed about why learners stop. Learners
    without a success are in no category.
    """
    if y.measure != "turns":
        return replicate_counts(y, log_probs, rng)
    rows = rows.filter(measure=y.measure)
    tries, successes = count_tries(y, rows, members)
    p = np.exp(log_probs[:, :, 1])
    replicated = np.array([rng.binomial(tries, one[:, None]).sum(axis=0) for one in p])
    reached = int(np.flatnonzero(tries.sum(axis=0)).max(initial=0)) + 1
    counts = successes.sum(axis=0)[:reached]
    return Replicated(list(TURNS[:reached]), rows.height, counts, replicated[:, :reached])


def count_tries(
    y: Outcomes, outcomes: pl.DataFrame, members: Members
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count tries and successes after 0, 1, 2, and 3 or more failures, per row of `y`: (rows, 4) each.

    `outcomes` has completion, learner, value (failures) and censored (no success after them).
    """
    value, won = pl.col("value"), ~pl.col("censored")
    last = len(TURNS) - 1
    named, _ = _name_rows(outcomes if y.drawn is not None else outcomes.drop(DRAW, strict=False), members)
    about = [name for name in _ROW if name in named.columns]
    counted = (
        outcomes.with_columns(*named.select(about))
        .group_by(about)
        .agg(
            *(((value > k) | ((value == k) & won)).sum().alias(f"t{k}") for k in range(last)),
            (value - last + won.cast(pl.Int64)).clip(0).sum().alias(f"t{last}"),
            *(((value == k) & won).sum().alias(f"s{k}") for k in range(last)),
            ((value >= last) & won).sum().alias(f"s{last}"),
        )
    )
    rows = pl.DataFrame({name: getattr(y, name) for name in about})
    found = rows.join(counted, on=about, how="left", maintain_order="left").fill_null(0)
    tries, successes = (
        found.select(pl.col(f"{kind}{k}").cast(pl.Int64) for k in range(last + 1)).to_numpy() for kind in "ts"
    )
    return tries, successes


LIKELIHOOD = Likelihood(
    Outcomes.SIGNAL,
    read="""SELECT o.completion, c.source || ':' || o.learner AS learner, o.measure, o.value, o.censored,
        f."offset", f.sd AS offset_sd,
        CASE WHEN a.propensity < 1 THEN a.source || ' ' || coalesce(a.fit, a.policy) END AS draw
    FROM outcomes o JOIN completions c ON c.key = o.completion
        LEFT JOIN outcome_offsets f ON f.outcome = o.key
        LEFT JOIN assignments a ON a.source = o.source AND a.learner = o.learner
            AND a.completion = o.completion
    WHERE o.completion IN ({mine}) ORDER BY o.key""",
    encode=_encode,
    arrays=_arrays,
    observe=_observe,
    parameters={
        "outcome_slope": "how sharply success follows observed effectiveness",
        "outcome_level": "log-odds of success with an average completion",
        "tau_ability": "spread of ability over learners",
        "tau_outcome_prompt": "spread of difficulty over prompts",
        **PARAMETERS,
    },
    groups={"ability": "learners", "outcome_prompt": "prompts", **GROUPS},
    counts=_tries,
    replicate=_replicate,
    optional=(*_OFFSET, DRAW),
    axes={"turns": "failures before success"},
)
