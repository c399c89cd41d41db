"""What a judge thinks of answers: wins over other answers, ratings by a rubric.

    judge([(messages, "Ten.", "What is 15 / 3?")])      # ["second"]: what both orders of showing mean
    judged(items, answers, others, judge)["judged_net"]     # wins less losses, of all that was judged
    rate([(messages, "What is 15 / 3?")])               # [{"score": 0.9, "questions": 1.0}]

What asks the judge is given to these functions. A pair of which its two orders tell otherwise is a tie, as in
`preceptor judge`: the judge chose by position. Answers that are the same are a tie, and nobody is asked.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .statistics import Counts, Item, Rows, Statistics, ratio
from .tutor_states import storable

FIRST, SECOND, TIE = "first", "second", "tie"
SCORE = "score"
Messages = Sequence[Mapping[str, str]]
Pair = tuple[Messages, str, str]
JudgePairs = Callable[[Sequence[Pair]], Sequence[str | None]]
"""first, second or tie of each pair, asked in both orders; None where the judge gave no answer of use."""
Rate = Callable[[Sequence[tuple[Messages, str]]], Sequence[Mapping[str, float] | None]]
"""From 0, the worst, to 1: `score` and each criterion of the rubric, all the same names."""
Figures = dict[str, Statistics]


def judged(
    items: Sequence[Item],
    answers: Sequence[str],
    others: Sequence[str],
    judge: JudgePairs,
    name: str = "judged",
) -> Figures:
    """Wins of answers over others to the same items: net (wins less losses), win, tie and loss shares."""
    pairs = [
        (item.messages, storable(one), storable(other))
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
    shares = {kind: Statistics(rows[:, [at, 3]], ratio) for at, kind in enumerate(("win", "tie", "loss"))}
    figures = {"net": Statistics(net, ratio)} | shares | _missing(rows[:, 3])
    return {f"{name}_{kind}": one for kind, one in figures.items()}


def judged_references(items: Sequence[Item], answers: Sequence[str], judge: JudgePairs) -> Figures:
    """Wins of answers over the first reference of each item; items without one do not count."""
    held = [n for n, item in enumerate(items) if item.references]
    some = judged(
        [items[n] for n in held],
        [answers[n] for n in held],
        [items[n].references[0] for n in held],
        judge,
        "judged_references",
    )
    return {kind: Statistics(_spread(one.rows, held, len(items)), one.figure) for kind, one in some.items()}


def rated(items: Sequence[Item], answers: Sequence[str], rate: Rate) -> Figures:
    """The mean score of answers by a rubric, and what they earn by each criterion, 0 to 1."""
    said = rate([(item.messages, storable(one)) for item, one in zip(items, answers, strict=True)])
    there = np.array([one is not None for one in said], dtype=float)
    names = next((list(one) for one in said if one is not None), [SCORE])
    figures = {}
    for name in [SCORE, *(other for other in names if other != SCORE)]:
        earned = np.array([0.0 if one is None else one[name] for one in said])
        figures["rated" if name == SCORE else f"rated_{name}"] = Statistics(
            np.stack([earned, there], axis=1), ratio
        )
    missing = {f"rated_{kind}": one for kind, one in _missing(there).items()}
    return figures | missing


def _missing(there: Counts) -> Figures:
    """The share without an answer of use from the judge; nothing where all have one."""
    rows = np.stack([1 - there, np.ones(len(there))], axis=1)
    return {"missing": Statistics(rows, ratio)} if rows[:, 0].any() else {}


def _spread(rows: Rows, places: Sequence[int], n: int) -> Counts:
    """Rows at their places among n, zeros elsewhere."""
    made = np.zeros((n, rows.shape[1]))
    made[places] = rows
    return made
