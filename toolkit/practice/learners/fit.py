"""Fit the two models and run them over everybody: parameters by MAP, then states and forecasts by filtering."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import mastery, memory
from .answers import Answers, Floats, Ints, describe_moments
from .ascent import OnProgress, find_map
from .blocks import Block, pad_answers
from .mastery import NEUTRAL, Parameters, Predicted, filter_answers, make_state
from .reviews import CardReviews, pad_reviews

LONGEST_FITTED = 200  # answers of a learner that parameters are fitted to; states are moved by all
STEPS = 30
MEMORY_STEPS = 150


@dataclass(frozen=True)
class Filtered:
    """Forecasts of every answer (rows,), and each learner's state after the last one."""

    p: Floats
    mean: Floats
    variance: Floats


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

    `moments` adds covariates of the moment (streaks, gaps, positions), which foretell a little better but take
    part of what the state should carry; `form` is the state that fades from answer to answer.
    """
    fixed = [*([] if moments else ["moment"]), *([] if form else ["log_sd_form"])]
    begun = dict(start or mastery.begin(answers))
    for name in fixed:
        begun[name] = np.full_like(begun[name], NEUTRAL[name])
    described = describe_moments(answers) if moments else None
    blocks = [padded.block for padded in pad_answers(answers, described, LONGEST_FITTED)]
    return find_map(
        mastery.measure_loss, mastery.penalise, begun, blocks, steps, fixed=fixed, on_progress=on_progress
    )


@partial(jax.jit, static_argnums=())
def _filter(p: Parameters, block: Block) -> Any:
    return filter_answers(p, block, make_state(p, block))


def foretell_answers(p: Parameters, answers: Answers, *, exact: bool = False) -> Filtered:
    """Foretell every answer from those of its learner before it.

    `exact` computes in 64 bits, equal to `online.py` but for rounding; else in 32, twice as fast.
    """
    described = describe_moments(answers) if np.any(p["moment"]) else None
    found = Filtered(*(np.full(answers.rows.height, np.nan) for _ in range(3)))

    def visit(_: Any, told: Predicted, row: Ints) -> None:
        there = row >= 0
        for array, values in zip((found.p, found.mean, found.variance), told[:3], strict=True):
            array[row[there]] = np.asarray(values, float)[there]

    _run(p, pad_answers(answers, described), visit, exact)
    return found


def _run(p: Parameters, padded: Any, visit: Callable[[Any, Predicted, Ints], None], exact: bool) -> None:
    with jax.enable_x64(exact):
        real, whole = (jnp.float64, jnp.int64) if exact else (jnp.float32, jnp.int32)
        given = {name: jnp.asarray(value, real) for name, value in p.items()}
        for block, row, _ in padded:
            cast = jax.tree.map(lambda a: jnp.asarray(a, real if a.dtype.kind == "f" else whole), block)
            state, told = _filter(given, cast)
            visit(state, told, row)


def fit_memory(
    reviews: CardReviews,
    weights: Floats | None = None,
    *,
    times: bool = True,
    steps: int = MEMORY_STEPS,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[memory.Parameters, list[float]]:
    """Find the MAP parameters of the memory model; `weights` as in `pad_reviews`, `times`: use answers' times."""
    blocks = [block for block, *_ in pad_reviews(reviews, weights)]
    fixed = () if times else memory.TIMES
    return find_map(
        memory.measure_loss, memory.penalise, memory.begin(), blocks, steps, 0.04, fixed, on_progress
    )
