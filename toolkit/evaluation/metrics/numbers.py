"""Measure worked answers by their final numbers.

    find_final_number("He pays 3 * $4 = $12. #### 12")       # Decimal("12")
    find_final_number("So it is **1,250.50** dollars.")      # Decimal("1250.50")

The number is the one after the last `####` (as GSM8K ends its answers) or after the last `Answer:`, else the
last one in the text. Commas separate thousands and a point begins decimals; $ and % are ignored (50 % is 50);
3/4 is a fraction. Two answers are equal if their numbers are equal to the last digit.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from ....schemas.errors import EvaluationError
from .statistics import Figures, Item, Statistics, divide_sums, make_share

_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,9}(?!\d)(?!,\d)(?:\.\d+)?|\d+(?:\.\d+)?)"
_NUMBER = re.compile(
    r"(?P<sign>(?<![^\W_])(?<![)\]}])[-−](?=[$€£]?[.\d]))?[$€£]?"
    rf"(?P<top>(?<![^\W_]){_DIGITS}|(?<![\w.])\.\d+)(?:/(?P<bottom>{_DIGITS}))?"
)
_MARKED = re.compile(r"####(?P<bare>[^\n]*)|\banswer[ \t*_]*:(?P<said>[^\n]*)", re.I)
_LETTER = re.compile(r"[^\W\d_]")


def find_final_number(text: str) -> Decimal | None:
    """Find the number that an answer ends in; None if it has none."""
    for found in reversed(list(_MARKED.finditer(text))):
        bare = found["bare"] is not None  # followed by letters it is a Markdown heading
        rest = found["bare"] if bare else found["said"]
        if not (bare and _LETTER.search(rest)) and (number := _last(rest)) is not None:
            return number
    return _last(text)


def _last(text: str) -> Decimal | None:
    numbers = [number for found in _NUMBER.finditer(text) if (number := _value(found)) is not None]
    return numbers[-1] if numbers else None


def _value(found: re.Match[str]) -> Decimal | None:
    try:
        number = Decimal(found["top"].replace(",", ""))
        if found["bottom"]:
            number /= Decimal(found["bottom"].replace(",", ""))
    except ArithmeticError:
        return None
    return -number if found["sign"] else number


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
