"""Outcomes: logit P(success at a try), geometric in the number of tries.

Where `preceptor learn` has said what outcomes owe to learners' ability and the moment, that is taken off.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
from jax import Array
from jax.nn import log_sigmoid
from numpy.typing import NDArray

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
    """Successes and failures per completion and learner."""
    turns = pl.col("measure") == "turns"
    counted = (
        part.select(
            members.look_up(part, "completion").alias("item"),
            members.look_up(part, "learner"),
            pl.when(turns)
            .then((~pl.col("censored")).cast(pl.Float64))
            .otherwise(pl.col("value"))
            .alias("successes"),
            pl.when(turns).then(pl.col("value")).otherwise(1 - pl.col("value")).alias("failures"),
            *(pl.col(name).fill_null(empty) for name, empty in _OFFSET.items() if name in part.columns),
        )
        .group_by("item", "learner")
        .agg(pl.col("successes", "failures").sum(), *(pl.col(n).mean() for n in _OFFSET if n in part.columns))
        .sort("item", "learner")
    )
    return Outcomes(
        measure=str(part["measure"][0]),
        item=counted["item"].to_numpy().astype(np.int64),
        learner=counted["learner"].to_numpy().astype(np.int64),
        successes=counted["successes"].to_numpy().astype(np.float64),
        failures=counted["failures"].to_numpy().astype(np.float64),
        **{name: counted[name].to_numpy().astype(np.float64) for name in _OFFSET if name in counted.columns},
    )


def _arrays(y: Outcomes) -> Arrays:
    arrays = {"item": y.item, "learner": y.learner, "successes": y.successes, "failures": y.failures}
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
    counted = (
        outcomes.with_columns(
            members.look_up(outcomes, "completion").alias("item"), members.look_up(outcomes, "learner")
        )
        .group_by("item", "learner")
        .agg(
            *(((value > k) | ((value == k) & won)).sum().alias(f"t{k}") for k in range(last)),
            (value - last + won.cast(pl.Int64)).clip(0).sum().alias(f"t{last}"),
            *(((value == k) & won).sum().alias(f"s{k}") for k in range(last)),
            ((value >= last) & won).sum().alias(f"s{last}"),
        )
    )
    rows = pl.DataFrame({"item": y.item, "learner": y.learner})
    found = rows.join(counted, on=["item", "learner"], how="left", maintain_order="left").fill_null(0)
    tries, successes = (
        found.select(pl.col(f"{kind}{k}").cast(pl.Int64) for k in range(last + 1)).to_numpy() for kind in "ts"
    )
    return tries, successes


LIKELIHOOD = Likelihood(
    Outcomes.SIGNAL,
    read="""SELECT o.completion, c.source || ':' || o.learner AS learner, o.measure, o.value, o.censored,
        f."offset", f.sd AS offset_sd
    FROM outcomes o JOIN completions c ON c.key = o.completion
        LEFT JOIN outcome_offsets f ON f.outcome = o.key
    WHERE o.completion IN ({mine}) ORDER BY o.key""",
    encode=_encode,
    arrays=_arrays,
    observe=_observe,
    parameters={
        "outcome_slope": "how sharply success follows observed effectiveness",
        "outcome_level": "log-odds of success with an average completion",
        "tau_ability": "spread of ability over learners",
        "tau_outcome_prompt": "spread of difficulty over prompts",
    },
    groups={"ability": "learners", "outcome_prompt": "prompts"},
    counts=_tries,
    replicate=_replicate,
    optional=tuple(_OFFSET),
    axes={"turns": "failures before success"},
)
