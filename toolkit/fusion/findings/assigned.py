"""What labels stand on: explanations drawn by chance, outcomes of others, or judgements alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ..likelihoods.assigned import BIAS, DRAW
from ..likelihoods.outcomes import Outcomes
from ..sampling.fit import Posterior
from .posterior import summarise_draws

DRAWN, LOGGED, JUDGED, TEXT, PRIOR = "drawn", "logged", "judged", "text", "prior"
BASES = (DRAWN, LOGGED, JUDGED, TEXT, PRIOR)


def mark_pairs(
    pairs: pl.DataFrame, completions: pl.DataFrame, signals: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Mark each pair by what its label stands on, one of BASES, as column `basis`.

    `completions` has completion, n_outcomes and basis, `signals` the rows that the fit used.
    """
    drawn = _list_drawn(signals[Outcomes.SIGNAL])
    known = completions.select(
        "completion",
        pl.col("completion").is_in(drawn.implode()).alias("drawn"),
        (pl.col("n_outcomes") > 0).alias("tried"),
        pl.col("basis").alias("known_by"),
    )
    both = pairs.select("completion_a", "completion_b")
    for side in ("a", "b"):
        both = both.join(
            known.rename({name: f"{name}_{side}" for name in known.columns}),
            on=f"completion_{side}",
            how="left",
            maintain_order="left",
        )
    known_by = ("known_by_a", "known_by_b")
    basis = (
        pl.when(pl.col("drawn_a") & pl.col("drawn_b"))
        .then(pl.lit(DRAWN))
        .when(pl.col("tried_a") & pl.col("tried_b"))
        .then(pl.lit(LOGGED))
        .when(pl.any_horizontal(pl.col(name) == PRIOR for name in known_by))
        .then(pl.lit(PRIOR))
        .when(pl.any_horizontal(pl.col(name) == TEXT for name in known_by))
        .then(pl.lit(TEXT))
        .otherwise(pl.lit(JUDGED))
    )
    return pairs.with_columns(both.select(basis.alias("basis"))["basis"])


def _list_drawn(outcomes: pl.DataFrame) -> pl.Series:
    """List the completions with an outcome that was drawn."""
    if DRAW not in outcomes.columns:
        return pl.Series([], dtype=pl.String)
    return outcomes.drop_nulls(DRAW)["completion"].unique()


def summarise_assigned(
    posterior: Posterior, pairs: pl.DataFrame, signals: Mapping[str, pl.DataFrame]
) -> dict[str, Any]:
    """Summarise how explanations came to learners, as `assigned` among the findings.

    drawn, logged: outcomes of either kind; pairs, prompts: how many stand on what, by BASES, a prompt by the
    best of its pairs; misled: by measure, the spread of what logged outcomes owe to who got them, in
    log-odds, with its 90 % interval; where there are both kinds. Nothing without outcomes.
    """
    outcomes = signals[Outcomes.SIGNAL]
    if outcomes.is_empty():
        return {}
    drawn = outcomes[DRAW].count() if DRAW in outcomes.columns else 0
    order = pl.Enum(BASES)
    by_prompt = pairs.group_by("prompt").agg(pl.col("basis").cast(order).min())
    spread = f"tau_{BIAS}:"
    found = {
        "drawn": drawn,
        "logged": outcomes.height - drawn,
        "pairs": _count(pairs["basis"].to_list()),
        "prompts": _count(by_prompt["basis"].to_list()),
        "misled": {
            site.removeprefix(spread): summarise_draws(posterior.flatten(site))
            for site in sorted(posterior.sites)
            if site.startswith(spread)
        },
    }
    return {"assigned": found}


def _count(bases: Sequence[str]) -> dict[str, int]:
    return {basis: n for basis in BASES if (n := bases.count(basis))}
