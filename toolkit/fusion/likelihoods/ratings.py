"""Ratings: ordered logistic per criterion, with shared cutpoints."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
from jax import Array
from jax.nn import log_sigmoid

from .likelihood import NOBODY, Arrays, Counts, Ints, Likelihood, Members, Part
from .priors import SCORE, observe_counts, sample_group
from .tastes import sample_slope, see


@dataclass(frozen=True)
class Ratings(Part):
    """Ratings on one criterion, counted: one row per completion and annotator."""

    SIGNAL: ClassVar[str] = "ratings"

    name: str  # the criterion; with its levels where they differ between sources
    levels: int
    item: Ints  # index of the completion
    annotator: Ints  # index, NOBODY where the source is aggregated
    counts: Counts  # (rows, levels), already mirrored so that the last level is the best

    @property
    def scale(self) -> str:
        """The criterion."""
        return self.name

    @property
    def categories(self) -> list[str]:
        """Levels, the best last."""
        return [str(k + 1) for k in range(self.levels)]

    @property
    def table(self) -> Counts:
        """Counts (rows, levels)."""
        return self.counts


def compute_ordered_log_probs(location: Array, cutpoints: Array) -> Array:
    """Compute log-probabilities (rows, levels) of an ordered logistic, stable in both tails.

    `location` is (rows,), `cutpoints` (levels - 1,) in ascending order.
    """
    distance = cutpoints[None, :] - location[:, None]
    below = log_sigmoid(distance)  # log P(level <= k), k = 1..levels-1
    above = below - distance  # log P(level > k): the cheaper half of log_sigmoid(-distance)
    # P(k) = P(<= k) - P(<= k-1) = P(<= k) * P(> k-1) * (1 - exp(c[k-1] - c[k]))
    gaps = jnp.log(-jnp.expm1(cutpoints[:-1] - cutpoints[1:]))
    inner = below[:, 1:] + above[:, :-1] + gaps[None, :]
    return jnp.concatenate([below[:, :1], inner, above[:, -1:]], axis=1)


def _encode(ratings: pl.DataFrame, members: Members) -> tuple[Ratings, ...]:
    """One part per scale: a criterion rated on 5 and on 7 levels is two scales."""
    parts = sorted(ratings.partition_by("criterion", "levels", as_dict=True).items())
    scales = ratings.group_by("criterion").agg(pl.col("levels").n_unique())
    several = set(scales.filter(pl.col("levels") > 1)["criterion"])
    return tuple(
        _count(part, f"{criterion} ({levels} levels)" if criterion in several else str(criterion), members)
        for (criterion, levels), part in parts
    )


def _count(part: pl.DataFrame, name: str, members: Members) -> Ratings:
    """Count levels per completion and annotator; mirror criteria where lower is better."""
    levels = int(part["levels"][0])
    value = pl.when(pl.col("higher_is_better")).then(pl.col("value")).otherwise(levels + 1 - pl.col("value"))
    counted = (
        part.select(
            members.look_up(part, "completion").alias("item"),
            members.look_up(part, "annotator"),
            value.alias("value"),
        )
        .group_by("item", "annotator")
        .agg((pl.col("value") == level).sum().alias(str(level)) for level in range(1, levels + 1))
        .sort("item", "annotator")
    )
    return Ratings(
        name=name,
        levels=levels,
        item=counted["item"].to_numpy().astype(np.int64),
        annotator=counted["annotator"].to_numpy().astype(np.int64),
        counts=counted.drop("item", "annotator").to_numpy().astype(np.float64),
    )


def _arrays(r: Ratings) -> Arrays:
    return {"item": r.item, "annotator": r.annotator, "counts": r.counts}


def _observe(name: str, data: Arrays, e: Array) -> None:
    """Ordered-logistic ratings on one criterion: severity of annotators, difficulty of prompts."""
    r, criterion = data[name], name.partition(":")[2]
    levels = r["counts"].shape[1]
    slope = sample_slope(r, f"rating_slope:{criterion}", 2)
    lowest = numpyro.sample(f"rating_cut:{criterion}", dist.Normal(-2, 1.5))
    location = slope * see(data, r, e)
    cutpoints = lowest[None]
    if levels > 2:
        logs = numpyro.sample(
            f"{SCORE}rating_gaps:{criterion}", dist.Normal(0, 0.7).expand([levels - 2]).to_event(1)
        )
        gaps = numpyro.deterministic(f"rating_gaps:{criterion}", jnp.exp(logs))
        cutpoints = jnp.concatenate([lowest[None], lowest + jnp.cumsum(gaps)])
    n_prompts = r["n_prompts"].shape[0]
    location = location + sample_group(f"rating_prompt:{criterion}", n_prompts, 1.0)[r["prompt"]]
    if "annotators" in data:
        severity = sample_group(f"severity:{criterion}", data["annotators"].shape[0], 1.0)
        location = location - jnp.where(r["annotator"] != NOBODY, severity[r["annotator"]], 0.0)
    observe_counts(name, compute_ordered_log_probs(location, cutpoints), r["counts"])


LIKELIHOOD = Likelihood(
    Ratings.SIGNAL,
    read="""SELECT r.completion, r.criterion, r.value, r.levels, r.annotator,
    coalesce(u.higher_is_better, true) AS higher_is_better
    FROM ratings r LEFT JOIN rubrics u ON u.source = r.source AND u.criterion = r.criterion
    WHERE r.completion IN ({mine}) ORDER BY r.key""",
    encode=_encode,
    arrays=_arrays,
    observe=_observe,
    parameters={
        "rating_slope": "how sharply ratings follow expressed effectiveness",
        "model_rating_slope": "how sharply ratings of models follow what models see",
        "rating_cut": "threshold between the two lowest levels",
        "rating_gaps": "distance to the next threshold",
        "tau_severity": "spread of severity over annotators",
        "tau_rating_prompt": "spread of ratings over prompts",
    },
    groups={"severity": "annotators", "rating_prompt": "prompts"},
    axes={"": "level, the best last"},
)
