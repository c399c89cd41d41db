"""Measure worked answers by their final numbers, which `schemas.support.numbers` reads.

Two answers are equal if their numbers are equal to the last digit.
"""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from ....schemas.errors import EvaluationError
from ....schemas.support.numbers import find_final_number
from .statistics import Figures, Item, Statistics, divide_sums, make_share


def check_numbers(items: Sequence[Item]) -> None:
    """Raise EvaluationError if no reference ends in a number."""
    if not any(_wanted(item) for item in items):
        raise EvaluationError(
            "metric right: none of the references gives a number; leave it out of metrics, or name another "
            "dataset"
        )


def measure_numbers(items: Sequence[Item], answers: Sequence[str]) -> Figures:
    """Measure the share of answers whose final number is a reference's, and the share without a number.

    Figures: `right`, `no_number`. Items whose references have no number do not count in `right`.
    """
    wanted = [_wanted(item) for item in items]
    given = [find_final_number(answer) for answer in answers]
    hits = [[float(mine in own), float(bool(own))] for mine, own in zip(given, wanted, strict=True)]
    return {
        "right": Statistics(np.array(hits).reshape(-1, 2), divide_sums),
        "no_number": make_share([float(mine is None) for mine in given]),
    }


def _wanted(item: Item) -> set[Decimal]:
    found = map(find_final_number, item.references)
    return {number for number in found if number is not None}
