"""Fit the two models and run them over everybody: parameters by MAP, then states by filtering."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .ascent import OnProgress, find_map, widen
from .mastery import model as mastery
from .mastery.answers import Answers, Floats, describe_moments
from .mastery.blocks import AnswerBlock, Padded, pad_answers
from .mastery.model import NEUTRAL, Belief, Parameters, filter_answers, make_state
from .memory import model as memory
from .memory.reviews import CardReviews, pad_reviews

LONGEST_FITTED = 300  # answers of a learner that parameters are fitted to; states are moved by all
STEPS = 40
MEMORY_STEPS = 150


@dataclass(frozen=True)
class Filtered:
    """Forecasts of every answer (rows,), and each learner's state after the last one."""

    p: Floats
    mean: Floats
    variance: Floats
    ability: Floats
    ability_variance: Floats


def fit_mastery(
    answers: Answers,
    *,
    moments: bool = False,
    form: bool = True,
    steps: int = STEPS,
    start: Parameters | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[Parameters, list[float]]:
    """Find the MAP parameters of the mastery model; returns them and the loss at each step.

    `moments` adds covariates of the moment (streaks, gaps, positions), which foretell a little better but
    take part of what the state should carry; `form` is the state that fades from answer to answer.
    """
    fixed = [*([] if moments else ["moment"]), *([] if form else ["log_sd_form"])]
    begun = dict(start or mastery.start_mastery(answers, moments))
    for name in fixed:
        begun[name] = np.full_like(begun[name], NEUTRAL[name])
    described = describe_moments(answers) if moments else None
    blocks = [padded.block for padded in pad_answers(answers, described, LONGEST_FITTED)]
    return find_map(
        mastery.measure_loss, mastery.penalise, begun, blocks, steps, fixed=fixed, on_progress=on_progress
    )


@jax.jit
def _filter(p: Parameters, block: AnswerBlock) -> Any:
    return filter_answers(p, block, make_state(p, block))


def foretell_answers(p: Parameters, answers: Answers) -> Filtered:
    """Foretell every answer from those of its learner before it, in 32 bits."""
    described = describe_moments(answers) if np.any(p["moment"]) else None
    found = Filtered(*(np.full(answers.rows.height, np.nan) for _ in Filtered.__annotations__))

    real, whole = jnp.float32, jnp.int32
    given = {name: jnp.asarray(value, real) for name, value in p.items()}
    for block, row, _ in pad_answers(answers, described):
        cast = jax.tree.map(lambda a: jnp.asarray(a, real if a.dtype.kind == "f" else whole), block)
        _, told = _filter(given, cast)
        there = row >= 0
        for array, values in zip(vars(found).values(), told, strict=True):
            array[row[there]] = np.asarray(values, float)[there]
    return found


def fit_memory(
    reviews: CardReviews,
    weights: Floats | None = None,
    *,
    times: bool = True,
    steps: int = MEMORY_STEPS,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[memory.Parameters, list[float]]:
    """Find the MAP parameters of the memory model; weights (rows,) as in `pad_reviews`."""
    blocks = [block for block, *_ in pad_reviews(reviews, weights)]
    fixed = () if times else memory.TIMES
    return find_map(
        memory.measure_loss, memory.penalise, memory.start_memory(), blocks, steps, 0.04, fixed, on_progress
    )


def follow_blocks(p: Parameters, padded: Iterable[Padded]) -> Iterator[tuple[Padded, Belief, Floats]]:
    """Run the filter in 64 bits: each block, its learners' last states, and P(right) (T, B)."""
    for one in padded:
        with jax.enable_x64(True):
            given = {name: jnp.asarray(value, jnp.float64) for name, value in p.items()}
            cast = jax.tree.map(widen, one.block)
            state, told = _filter(given, cast)
            ended = Belief(np.asarray(state.mean), np.asarray(state.covariance))
            right = np.asarray(told.p)
        yield one, ended, right
