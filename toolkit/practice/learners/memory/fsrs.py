"""FSRS-6 with its published parameters: how retrievable a card is, from its reviews alone.

R(t) = (1 + f t / S)^-d, f = 0.9^(-1/d) - 1: a card of stability S days is known with probability 0.9 after S
days. A success multiplies S, the more the lower R was; a lapse cuts it; difficulty D (1 to 10) slows its
growth. Grades are 1 again, 2 hard, 3 good, 4 easy. All functions take numbers or arrays of equal shape. (Ye,
Su and Cao 2022; the FSRS project's description of version 6.) The prior mean of `model.py`, since these
parameters carry many thousands of learners.
"""

from typing import Any

import numpy as np

WEIGHTS = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
_DECAY = WEIGHTS[20]
_FACTOR = 0.9 ** (-1 / _DECAY) - 1
_LEAST = 0.001  # days


def compute_retrievability(days: Any, stability: Any) -> Any:
    """Compute P(recall) so many days after the last review."""
    return (1 + _FACTOR * days / stability) ** -_DECAY


def start_card(grade: Any) -> tuple[Any, Any]:
    """Compute stability (days) and difficulty after the first review."""
    w = np.asarray(WEIGHTS)
    return w[np.asarray(grade) - 1], np.clip(_first_difficulty(grade), 1, 10)


def _first_difficulty(grade: Any) -> Any:
    return WEIGHTS[4] - np.exp(WEIGHTS[5] * (np.asarray(grade) - 1)) + 1


def update_card(stability: Any, difficulty: Any, days: Any, grade: Any) -> tuple[Any, Any]:
    """Compute stability and difficulty after a later review; `days` are whole, 0 on the same day."""
    w, s, d = WEIGHTS, np.asarray(stability, float), np.asarray(difficulty, float)
    grade = np.asarray(grade)
    forgotten = 1 - compute_retrievability(days, s)
    bonus = np.where(grade == 2, w[15], np.where(grade == 4, w[16], 1.0))
    growth = np.exp(w[8]) * (11 - d) * s ** -w[9] * np.expm1(w[10] * forgotten) * bonus
    lapse = w[11] * d ** -w[12] * ((s + 1) ** w[13] - 1) * np.exp(w[14] * forgotten)
    later = np.where(grade > 1, s * (1 + growth), np.minimum(lapse, s / np.exp(w[17] * w[18])))
    again = np.exp(w[17] * (grade - 3 + w[18])) * s ** -w[19]
    soon = s * np.where(grade > 1, np.maximum(again, 1), again)
    moved = d - w[6] * (grade - 3) * (10 - d) / 9
    eased = w[7] * _first_difficulty(4) + (1 - w[7]) * moved
    return np.maximum(np.where(np.asarray(days) < 1, soon, later), _LEAST), np.clip(eased, 1, 10)
