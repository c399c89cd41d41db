"""Pad learners of similar length into blocks of arrays: time along the first axis, then learners."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from .answers import FEATURES, Answers, Floats, Ints

_EDGES = (20, 60, 160)  # answers; longer learners are in blocks of their own
_MOST = 256, 24  # learners in a block, of short ones and of others
_ROUND = 16  # components are padded to a multiple, so that fewer programs are compiled


class AnswerBlock(NamedTuple):
    """Answers of some learners; T answers, B learners, S components of each learner, J of an answer.

    Arrays of NumPy or JAX. `known` is 0 where there is no answer, and everything else there is of no meaning.
    """

    component: Any  # (B, S) index among all components; -1 where there is none
    skill: Any  # (B, S) 1 where it is a skill, 0 a set
    slot: Any  # (T, B, J) place in the learner's components
    touch: Any  # (T, B, J) index among all components
    weight: Any  # (T, B, J) in the answer's ability; 0 where there is none
    of_skill: Any  # (T, B, J) 1 where it is a skill
    nth: Any  # (T, B, J) answers with it before
    gap: Any  # (T, B, J) log(1 + answers since)
    away: Any  # (T, B, J) log(1 + days since)
    question: Any  # (T, B)
    moment: Any  # (T, B, FEATURES) of `describe_moments`, or zeros
    right: Any  # (T, B)
    known: Any  # (T, B)


class Padded(NamedTuple):
    """A block, with the answer that each place is of (T, B; -1 for none) and its learners (B)."""

    block: AnswerBlock
    row: Ints
    learner: Ints


def pad_answers(answers: Answers, moments: Floats | None = None, most: int | None = None) -> Iterator[Padded]:
    """Pad all learners, the short ones first; of each at most the first `most` answers.

    `moments` (answers, FEATURES) as of `describe_moments`.
    """
    rows, touches = answers.rows, answers.touches
    if most is not None:
        rows = rows.filter(pl.col("turn") < most)
        touches = touches.join(rows.select("row"), on="row", how="semi", maintain_order="left")
    lengths = rows.group_by("learner").len().sort("len", "learner")
    width = int(touches.group_by("row").len()["len"].max() or 1)  # type: ignore[arg-type]
    sizes = touches.group_by("learner").agg(pl.col("component").n_unique())
    for low, high in zip((0, *_EDGES), (*_EDGES, np.inf), strict=True):
        some = lengths.filter((pl.col("len") > low) & (pl.col("len") <= high)).join(sizes, on="learner")
        if some.is_empty():
            continue
        size_t = _round(int(some["len"].max()), 20)  # type: ignore[arg-type]
        # Those who met few skills apart from those who met many: the cost grows with the square.
        some = some.sort("component", "learner")
        parts = _round(some.height, _MOST[low > 0]) // _MOST[low > 0]
        each = _round(_round(some.height, parts) // parts, 8) if some.height > 8 else some.height
        for start in range(0, some.height, each):
            own = some[start : start + each]
            shape = size_t, each, _round(int(own["component"].max()), _ROUND), width  # type: ignore[arg-type]
            yield _pad(own["learner"], rows, touches, shape, moments)


def _pad(
    learners: pl.Series,
    rows: pl.DataFrame,
    touches: pl.DataFrame,
    shape: tuple[int, int, int, int],
    moments: Floats | None,
) -> Padded:
    """Pad some learners to `shape`: answers, learners, components, components of an answer."""
    size_t, size_b, size_s, width = shape
    place = pl.DataFrame({"learner": learners, "b": np.arange(len(learners))})
    mine = rows.join(place, on="learner", maintain_order="left")
    used = (
        touches.join(place, on="learner", maintain_order="left")
        .join(mine.select("row", "turn"), on="row", maintain_order="left")
        .with_columns(
            (pl.col("component").rank("dense").over("b") - 1).cast(pl.Int64).alias("slot"),
            pl.int_range(pl.len(), dtype=pl.Int64).over("row").alias("j"),
        )
    )
    t, b, j, slot = (used[name].to_numpy() for name in ("turn", "b", "j", "slot"))

    def spread(values: Any, fill: float = 0.0) -> Floats:
        array = np.full((size_t, size_b, width), fill)
        array[t, b, j] = values
        return array

    component = np.full((size_b, size_s), -1)
    component[b, slot] = used["component"].to_numpy()
    skill = np.zeros((size_b, size_s))
    skill[b, slot] = used["skill"].to_numpy()
    row = np.full((size_t, size_b), -1)
    at = mine["turn"].to_numpy(), mine["b"].to_numpy()
    row[at] = mine["row"].to_numpy()
    question, right = np.zeros((size_t, size_b), dtype=np.int64), np.zeros((size_t, size_b))
    question[at], right[at] = mine["question"].to_numpy(), mine["right"].to_numpy()
    moment = np.zeros((size_t, size_b, FEATURES))
    if moments is not None:
        moment[at] = moments[mine["row"].to_numpy()]
    block = AnswerBlock(
        component=component,
        skill=skill,
        slot=spread(slot).astype(np.int64),
        touch=spread(used["component"].to_numpy()).astype(np.int64),
        weight=spread(used["weight"].to_numpy()),
        of_skill=spread(used["skill"].to_numpy()),
        nth=spread(used["nth"].to_numpy()),
        gap=spread(np.log1p(used["gap"].to_numpy())),
        away=spread(np.log1p(used["days"].to_numpy())),
        question=question,
        moment=moment,
        right=right,
        known=(row >= 0).astype(float),
    )
    return Padded(block, row, learners.to_numpy())


def _round(n: int, step: int) -> int:
    return -(-n // step) * step
