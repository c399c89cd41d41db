"""Outcomes of explanations that were drawn by chance, beside outcomes of those that were not.

    drawn      logit = ... + stratum                  one effect per study and fit that gave the chances
    logged     logit = ... + shift + b                b = tau z, tau ~ HalfNormal(1), one z a completion

Who gets a drawn explanation does not depend on what it does, given the chances of the draw; so nothing needs
weights in the likelihood. Where chances change from push to push (adaptive assignment), learners who come
later meet the better explanations more often: they are compared with those who were drawn at the same
chances. (An effect of each prompt and push, tried first, absorbs too little of what all prompts share.)

In a log, teachers or learners chose: b is what a completion's outcomes owe to that choice beyond what the
model knows of learners. tau is learnt where both kinds of outcome are about the same completions; where none
was drawn, nothing tells b from quality, and the model has neither term.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
from jax import Array

from .likelihood import NOBODY, Arrays, Ints
from .priors import sample_group

DRAW = "draw"  # column of outcomes: study, and fit or policy that gave the chances; null where not drawn
BIAS = "outcome_bias"
STRATUM = "outcome_stratum"
BIAS_SCALE = 1.0  # of the prior: logs may mislead by as much as quality matters
SHIFT_SCALE = 1.0  # of the prior: learners of logs may be better or worse than those of a study

PARAMETERS: Mapping[str, str] = {
    f"tau_{BIAS}": "how far outcomes that were not drawn by chance mislead about a completion",
    "outcome_shift": "log-odds of success where explanations were not drawn, beside where they were",
    f"tau_{STRATUM}": "spread between learners who were drawn at different chances",
}
GROUPS: Mapping[str, str] = {BIAS: "logged", STRATUM: "strata"}


def number_draws(draw: pl.Series) -> tuple[pl.Series, pl.Series, tuple[str, ...]]:
    """Number the draws of outcomes: drawn (0 or 1), stratum (index or NOBODY), and the strata.

    A draw is "STUDY FIT", or "STUDY POLICY" where no fit gave the chances. A single one needs no stratum.
    """
    strata = draw.drop_nulls().unique().sort().to_frame("draw").filter(pl.len() > 1).with_row_index("index")
    found = draw.to_frame("draw").join(strata, on="draw", how="left", maintain_order="left")["index"]
    return (
        draw.is_not_null().cast(pl.Int64).alias("drawn"),
        found.cast(pl.Int64).fill_null(NOBODY).alias("stratum"),
        tuple(strata["draw"]),
    )


def make_assigned_arrays(item: Ints, drawn: Ints | None, stratum: Ints | None, strata: int) -> Arrays:
    """Make the model's arrays of a part's rows; {} where none of the fit's outcomes was drawn.

    `item`, `drawn` and `stratum` are (rows,), as are the arrays unless said. logged: 1 for rows that were not
    drawn; biased: each row's completion among those of these rows, 0 for the others; n_biased, n_strata:
    arrays as long as there are.
    """
    if drawn is None or stratum is None:
        return {}
    arrays: Arrays = {}
    completions = list_logged(item, drawn)
    if len(completions):
        place = np.searchsorted(completions, item)
        arrays["logged"] = (drawn == 0).astype(float)
        arrays["biased"] = np.where(drawn == 0, place, 0)
        arrays["n_biased"] = np.zeros(len(completions))
    if strata:
        arrays |= {"stratum": stratum, "n_strata": np.zeros(strata)}
    return arrays


def list_logged(item: Ints, drawn: Ints | None) -> Ints:
    """List the completions (n,) with outcomes that were not drawn; none where all or none were."""
    if drawn is None:
        return np.zeros(0, dtype=np.int64)
    return np.unique(item[drawn == 0])


def add_assignment(logit: Array, y: Arrays, measure: str) -> Array:
    """Add what outcomes (rows,) of a measure owe to how their explanations were assigned."""
    if "logged" in y:
        shift = numpyro.sample(f"outcome_shift:{measure}", dist.Normal(0, SHIFT_SCALE))
        bias = sample_group(f"{BIAS}:{measure}", y["n_biased"].shape[0], BIAS_SCALE)
        logit = logit + y["logged"] * (shift + bias[y["biased"]])
    if "stratum" in y:
        effect = sample_group(f"{STRATUM}:{measure}", y["n_strata"].shape[0], 1.0)
        logit = logit + jnp.where(y["stratum"] != NOBODY, effect[y["stratum"]], 0.0)
    return logit
