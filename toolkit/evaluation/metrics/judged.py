"""Measure what a judge thinks of answers: wins over other answers, ratings by a rubric.

    judge([(messages, "Ten.", "What is 15 / 3?")])      # ["second"]: both orders of showing agree on it
    measure_wins(items, answers, others, judge)["judged_net"]   # (wins - losses) / judged pairs
    rate([(messages, "What is 15 / 3?")])               # [{"score": 0.9, "questions": 1.0}]

The functions that ask a judge are arguments. A pair on which the two orders of showing disagree is a tie, as
in `preceptor judge`, because the judge chose by position. Equal answers are a tie without asking.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ....annotation.models.backends.text_scores import Messages
from .statistics import MISSING, Counts, Figures, Item, Rows, Statistics, divide_sums
from .tutor_states import replace_surrogates

FIRST, SECOND, TIE = "first", "second", "tie"
SCORE = "score"
Pair = tuple[Messages, str, str]
"""A prompt's messages and two answers to it."""
JudgePairs = Callable[[Sequence[Pair]], Sequence[str | None]]
"""Judge each pair in both orders: first, second or tie; None if the judge gave no usable answer."""
RateTexts = Callable[[Sequence[tuple[Messages, str]]], Sequence[Mapping[str, float] | None]]
"""Rate each answer from 0 (worst) to 1: `score` and each criterion; None without a usable answer.

Every rating has the same names.
"""


def measure_wins(
    items: Sequence[Item],
    answers: Sequence[str],
    others: Sequence[str],
    judge: JudgePairs,
    name: str = "judged",
) -> Figures:
    """Measure wins of answers over others to the same items.

    Figures, shares of the judged pairs: `{name}_net` (wins minus losses, -1 to 1), `{name}_win`,
    `{name}_tie`, `{name}_loss`; `{name}_missing`, the share of pairs without a usable verdict, if there are
    any.
    """
    pairs = [
        (item.messages, replace_surrogates(one), replace_surrogates(other))
        for item, one, other in zip(items, answers, others, strict=True)
    ]
    asked = [n for n, (_, one, other) in enumerate(pairs) if one.strip() != other.strip()]
    said: list[str | None] = [TIE] * len(pairs)
    for n, verdict in zip(asked, judge([pairs[n] for n in asked]) if asked else [], strict=True):
        said[n] = verdict
    rows = np.array(
        [[one == FIRST, one == TIE, one == SECOND, one is not None] for one in said], dtype=float
    ).reshape(-1, 4)
    net = np.stack([rows[:, 0] - rows[:, 2], rows[:, 3]], axis=1)
    shares = {
        kind: Statistics(rows[:, [at, 3]], divide_sums) for at, kind in enumerate(("win", "tie", "loss"))
    }
    figures = {"net": Statistics(net, divide_sums)} | shares | _count_missing(rows[:, 3])
    return {f"{name}_{kind}": one for kind, one in figures.items()}


def measure_wins_over_references(items: Sequence[Item], answers: Sequence[str], judge: JudgePairs) -> Figures:
    """Measure wins of answers over the first reference of each item, as measure_wins does.

    The figures are named `judged_references_…`. Items without a reference do not count.
    """
    held = [n for n, item in enumerate(items) if item.references]
    some = measure_wins(
        [items[n] for n in held],
        [answers[n] for n in held],
        [items[n].references[0] for n in held],
        judge,
        "judged_references",
    )
    return {kind: Statistics(_spread(one.rows, held, len(items)), one.figure) for kind, one in some.items()}


def measure_ratings(items: Sequence[Item], answers: Sequence[str], rate: RateTexts) -> Figures:
    """Measure the mean score of answers by a rubric and the mean of each criterion, 0 to 1.

    Figures: `rated`, `rated_{criterion}`; `rated_missing`, the share without a usable rating, if there are
    any.
    """
    said = rate([(item.messages, replace_surrogates(one)) for item, one in zip(items, answers, strict=True)])
    there = np.array([one is not None for one in said], dtype=float)
    names = next((list(one) for one in said if one is not None), [SCORE])
    figures = {}
    for name in [SCORE, *(other for other in names if other != SCORE)]:
        earned = np.array([0.0 if one is None else one[name] for one in said])
        figures["rated" if name == SCORE else f"rated_{name}"] = Statistics(
            np.stack([earned, there], axis=1), divide_sums
        )
    missing = {f"rated_{kind}": one for kind, one in _count_missing(there).items()}
    return figures | missing


def _count_missing(there: Counts) -> Figures:
    """Make the share without a usable answer; empty if all have one."""
    rows = np.stack([1 - there, np.ones(len(there))], axis=1)
    return {MISSING: Statistics(rows, divide_sums)} if rows[:, 0].any() else {}


def _spread(rows: Rows, places: Sequence[int], n: int) -> Counts:
    """Put rows at their places among n, zeros elsewhere."""
    made = np.zeros((n, rows.shape[1]))
    made[places] = rows
    return made
