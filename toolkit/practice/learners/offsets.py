"""Outcomes beyond ability: what each outcome owes to its learner and the moment, for `fuse` to take off.

    offset = ability of the learner before the outcome's first answer - loss · log(1 + days since the one
    before)

Nothing that the completion itself did to the learner is in it: neither what its item is like, nor what the
learner knows of its term. Ability is that of all the learner's other answers, so that an explanation that
strong learners got, or that came late in a course, is compared at equal ability; the loss is that of every
delay in the log.
"""

import numpy as np
import polars as pl

from ....schemas.tables import OUTCOME_OFFSETS
from ...store.connection import Store, insert, query, run
from .fit import foretell_answers
from .mastery.answers import Answers
from .mastery.model import Parameters

# The answer at which an outcome begins: of turns the first with the completion, of a success the one that
# decided; without such an answer, the learner's first at or after that time.
_OUTCOMES = """SELECT o.key AS outcome, o.learner, o.measure, o."at", r.item, r.key AS review
FROM outcomes o LEFT JOIN reviews r ON r.learner = o.learner AND r.path = o.path AND r.line = o.line
    AND r.n = o.n AND (r.completion = o.completion
        OR r.item = (SELECT ref FROM completions c WHERE c.key = o.completion))
WHERE o.learner IS NOT NULL"""


def write_offsets(con: Store, fit: str, p: Parameters, answers: Answers) -> int:
    """Write the offsets of outcomes whose learners are among the answers, instead of all earlier ones.

    Returns how many. `p` are parameters of mastery; nothing happens where no outcome names a learner.
    """
    outcomes = query(con, _OUTCOMES)
    run(con, "DELETE FROM outcome_offsets")
    known = outcomes.filter(pl.col("learner").is_in(answers.learners))
    if known.is_empty():
        return 0
    states = _list_states(p, answers)
    found = _match(known, states)
    away = np.log1p(found["days"].to_numpy())
    value = found["ability"].to_numpy() - np.exp(p["log_loss_days"]) * away
    variance = found["ability_variance"].to_numpy() + np.exp(p["log_drift_days"]) * away
    rows = pl.DataFrame(
        {
            "outcome": found["outcome"],
            "learner": found["learner"],
            "offset": value - value.mean(),
            "sd": np.sqrt(np.maximum(variance, 0)),
        }
    )
    return insert(con, OUTCOME_OFFSETS, rows.with_columns(pl.lit(fit).alias("fit")))


def _list_states(p: Parameters, answers: Answers) -> pl.DataFrame:
    """Ability before each answer: learner, review, day, days since its item, ability and variance."""
    told = foretell_answers(p, answers)
    names = pl.DataFrame({"learner": range(len(answers.learners)), "name": answers.learners})
    return (
        answers.rows.with_columns(
            (pl.col("day") - pl.col("day").shift(1).over("learner", "question"))
            .fill_null(0)
            .clip(0)
            .alias("days"),
            pl.Series("ability", told.ability),
            pl.Series("ability_variance", told.ability_variance),
        )
        .join(names, on="learner", how="left", maintain_order="left")
        .select(
            pl.col("name").alias("learner"),
            pl.col("key").alias("review"),
            "turn",
            "question",
            "day",
            "days",
            "ability",
            "ability_variance",
        )
    )


def _match(outcomes: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Find each outcome's state: by its review (of turns the first with the item), by time, or the last."""
    first = states.group_by("learner", "question", maintain_order=True).first()
    decided = outcomes.join(states, on=["learner", "review"], how="inner")
    turns = (
        decided.filter(measure="turns")
        .select("outcome", "learner", "question")
        .join(first, on=["learner", "question"], how="left")
        .with_columns(pl.lit(0.0).alias("days"))
    )
    columns = ["outcome", "learner", "days", "ability", "ability_variance"]
    by_review = pl.concat(
        [turns.select(columns), decided.filter(pl.col("measure") != "turns").select(columns)]
    )
    rest = outcomes.join(by_review, on="outcome", how="anti").with_columns(
        (pl.col("at").cast(pl.Datetime("us")).cast(pl.Int64) / 86_400_000_000).alias("day")
    )
    timed = states.drop_nulls("day").sort("day")
    by_time = (
        rest.drop_nulls("day")
        .sort("day")
        .join_asof(
            timed.drop("review", "days"), on="day", by="learner", strategy="forward", check_sortedness=False
        )
        .drop_nulls("ability")
        .with_columns(pl.lit(0.0).alias("days"))
    )
    last = states.group_by("learner", maintain_order=True).last()
    others = rest.join(by_time, on="outcome", how="anti").join(
        last.select("learner", "ability", "ability_variance"), on="learner"
    )
    return pl.concat(
        [by_review, by_time.select(columns), others.with_columns(pl.lit(0.0).alias("days")).select(columns)]
    ).sort("outcome")
