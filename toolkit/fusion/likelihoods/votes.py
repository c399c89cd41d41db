"""Votes: Davidson (1970), (log P(a), log P(b), log P(tie)) = (eta/2, -eta/2, nu) + const.

A ranking of k answers is one judgement, not k(k - 1)/2: its votes share one look at each answer, and many
follow from others. Each counts less than one, so that intervals hold what they say (docs/fusion.md). The
votes of a model that only says how likely texts are follow from one number an answer: a ranking of a prompt.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
from jax import Array

from .likelihood import NOBODY, Arrays, Counts, Ints, Likelihood, Members, Part
from .priors import observe_counts, sample_group
from .tastes import sample_slope, see

# Of the prior of how far reliabilities differ. With 0.7 it expected 1 of 20 new annotators to vote against
# what they see; where few are known, what a new one would vote came out too timid.
RELIABILITY_SPREAD = 0.5


@dataclass(frozen=True)
class Votes(Part):
    """Votes on pairs, counted: one row per distinct (pair, annotator, order, weight)."""

    SIGNAL: ClassVar[str] = "votes"
    ITEMS: ClassVar[tuple[str, ...]] = ("first", "second")

    first: Ints  # index of the pair's first completion
    second: Ints  # index of the pair's second completion
    annotator: Ints  # index, NOBODY where the source is aggregated
    shown_first: Counts  # +1 the first was shown first, -1 the second was, 0 unknown
    counts: Counts  # (rows, 3): votes for the first, for the second, ties
    weight: Counts | None = None  # (rows,) what one of the row's votes counts; 1 if left out

    def weigh(self, counts: Counts) -> Counts:
        """Weigh counts (rows, 3) of these rows: a vote of a ranking is less than one."""
        return counts if self.weight is None else counts * self.weight[:, None]

    @property
    def categories(self) -> list[str]:
        """First and second are the sides of the pair, not the order in which they were shown."""
        return ["first", "second", "tie"]

    @property
    def table(self) -> Counts:
        """Counts (rows, 3)."""
        return self.counts


def compute_davidson_log_probs(eta: Array, tie: Array) -> Array:
    """Compute log-probabilities (3, rows) of first, second and tie; Davidson, JASA 65 (1970) 317-328.

    `eta` (rows,) is the advantage of the first on the log-odds scale, `tie` the log weight of a tie.
    """
    scores = jnp.stack([eta / 2, -eta / 2, jnp.broadcast_to(tie, eta.shape)])
    return scores - jax.nn.logsumexp(scores, axis=0)


# A ranking of k answers of which every two were compared. Were they equal, the votes' score would vary
# (k + 1) / 3 times as much as that of independent votes, since a rank of k at random has the variance
# (k^2 - 1) / 12: each vote is worth 3 / (k + 1). Where each answer has its own noise, normal and small
# beside the differences, it is worth 2 / k. In simulation the mean of both holds what intervals say. Where
# only some pairs were compared, such as the best with all others: 2 / k, as of one choice among k.
_WEIGHT = "CASE WHEN m >= k * (k - 1) / 2 THEN (2.0 / k + 3.0 / (k + 1)) / 2 ELSE 2.0 / k END"
_READ = f"""WITH seen AS (FROM votes WHERE completion_a IN ({{mine}}) AND completion_b IN ({{mine}})),
sides AS (
    SELECT source, ranking, annotator, unnest([completion_a, completion_b]) AS side FROM seen
    WHERE ranking IS NOT NULL
), sized AS (
    SELECT source, ranking, annotator, count(*) / 2 AS m, count(DISTINCT side) AS k FROM sides GROUP BY ALL
), weighed AS (
    SELECT seen.*, coalesce({_WEIGHT}, 1.0)::DOUBLE AS weight FROM seen LEFT JOIN sized
        ON sized.source = seen.source AND sized.ranking = seen.ranking
        AND sized.annotator IS NOT DISTINCT FROM seen.annotator
)
SELECT completion_a, completion_b, choice, annotator, shown_first, weight, count(*) AS n FROM weighed
GROUP BY ALL ORDER BY min(key)"""


def _encode(votes: pl.DataFrame, members: Members) -> tuple[Votes, ...]:
    """Orient every pair one way (lower index first) and count equal rows."""
    if "weight" not in votes.columns:
        votes = votes.with_columns(weight=pl.lit(1.0))
    rows = votes.select(
        members.look_up(votes, "completion_a", "completion").alias("a"),
        members.look_up(votes, "completion_b", "completion").alias("b"),
        members.look_up(votes, "annotator"),
        pl.col("shown_first").replace_strict({"a": 1, "b": -1}, default=0).alias("shown_first"),
        "choice",
        "n",
        "weight",
    )
    swap = pl.col("a") > pl.col("b")
    counted = (
        rows.select(
            pl.min_horizontal("a", "b").alias("first"),
            pl.max_horizontal("a", "b").alias("second"),
            "annotator",
            "weight",
            pl.when(swap).then(-pl.col("shown_first")).otherwise("shown_first"),
            (pl.col("choice") == pl.when(swap).then(pl.lit("b")).otherwise(pl.lit("a")))
            .mul(pl.col("n"))
            .alias("n0"),
            (pl.col("choice") == pl.when(swap).then(pl.lit("a")).otherwise(pl.lit("b")))
            .mul(pl.col("n"))
            .alias("n1"),
            (pl.col("choice") == "tie").mul(pl.col("n")).alias("n2"),
        )
        .group_by("first", "second", "annotator", "shown_first", "weight")
        .agg(pl.col("n0", "n1", "n2").sum())
        .sort("first", "second", "annotator", "shown_first", "weight")
    )
    return (
        Votes(
            first=counted["first"].to_numpy().astype(np.int64),
            second=counted["second"].to_numpy().astype(np.int64),
            annotator=counted["annotator"].to_numpy().astype(np.int64),
            shown_first=counted["shown_first"].to_numpy().astype(np.float64),
            counts=counted.select("n0", "n1", "n2").to_numpy().astype(np.float64),
            weight=counted["weight"].to_numpy().astype(np.float64),
        ),
    )


def _arrays(v: Votes) -> Arrays:
    arrays = {"first": v.first, "second": v.second, "annotator": v.annotator, "counts": v.weigh(v.counts)}
    named = v.annotator != NOBODY
    if named.any():
        votes = np.bincount(v.annotator[named], v.counts[named].sum(axis=1))
        arrays["voted"] = (votes > 0).astype(np.float64)
    return arrays | ({"shown_first": v.shown_first} if np.any(v.shown_first != 0) else {})


def _observe(name: str, data: Arrays, e: Array) -> None:
    """Davidson votes with first-shown bias and, where annotators are named, their habits."""
    v = data[name]
    slope = sample_slope(v, "vote_slope", 2)
    tie = numpyro.sample("vote_tie", dist.Normal(-1, 1.5))
    eta = slope * (see(data, v, e, "first") - see(data, v, e, "second"))
    if "annotators" in data:
        who, named = v["annotator"], v["annotator"] != NOBODY
        size = data["annotators"].shape[0]
        reliability = 1 + _centre(sample_group("reliability", size, RELIABILITY_SPREAD), v)
        numpyro.deterministic("annotator_reliability", reliability)
        eta = eta * jnp.where(named, reliability[who], 1.0)
        tie = tie + jnp.where(named, sample_group("tie_habit", size, 1.0)[who], 0.0)
    if "shown_first" in v:
        bias = numpyro.sample("first_shown_bias", dist.Normal(0, 0.5))
        if "annotators" in data:
            bias = bias + jnp.where(named, sample_group("first_shown_habit", size, 0.5)[who], 0.0)
        eta = eta + v["shown_first"] * bias
    observe_counts(name, compute_davidson_log_probs(eta, tie).T, v["counts"])


def _centre(effects: Array, v: Arrays) -> Array:
    """Take their mean off the effects (annotators,) of those who voted: the mean reliability is 1.

    Otherwise all qualities could change their sign with all reliabilities. What the annotators share is the
    slope. Who has not voted keeps the effect of a new annotator.
    """
    if "voted" not in v:
        return effects
    voted = jnp.zeros(effects.shape[0]).at[: v["voted"].shape[0]].set(v["voted"])
    return effects - voted * (voted @ effects) / jnp.maximum(voted.sum(), 1.0)


LIKELIHOOD = Likelihood(
    Votes.SIGNAL,
    read=_READ,
    encode=_encode,
    arrays=_arrays,
    observe=_observe,
    parameters={
        "vote_slope": "how sharply votes follow expressed effectiveness",
        "model_vote_slope": "how sharply votes of models follow what models see",
        "vote_tie": "log weight of a tie between equals",
        "first_shown_bias": "advantage of the answer that was shown first",
        "tau_reliability": "spread of reliability over annotators",
        "tau_tie_habit": "spread of the habit of voting for ties over annotators",
    },
    groups=dict.fromkeys(("reliability", "tie_habit", "first_shown_habit"), "annotators"),
    labels={"first": "for A", "second": "for B"},
)
