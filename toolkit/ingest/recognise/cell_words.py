"""Find what cells say: words for a, b and tie, true and false, levels, times.

find_choices(["Left", "No difference"])     {"choice:a": ["left"], "choice:tie": ["no difference"]}, []
find_date_format(["01.05.2026"])            ("%d.%m.%Y", True)
find_date_format(["01/05/2026"])            ("%d/%m/%Y", False): the month may be first
"""

import re
from collections.abc import Iterable, Sequence

import polars as pl

from ....schemas.cells import CHOICES, TRUTHS
from ..files.fields import parse_time

# Words that people write for our values, folded: lower case, without white space around them.
_CHOICES = {
    "a": (
        *("first", "left", "1", "option a", "answer a", "response a", "a is better", "first is better"),
        *("left is better", "the first", "the left", "model_a", "version a", "text a", "mnemonic a", "one"),
        *(
            "option 1",
            "answer 1",
            "the first one",
            "a better",
            "mnemonic 1",
            "erste",
            "links",
            "перша",
            "первая",
        ),
    ),
    "b": (
        *("second", "right", "2", "option b", "answer b", "response b", "b is better", "second is better"),
        *(
            "right is better",
            "the second",
            "the right",
            "model_b",
            "version b",
            "text b",
            "mnemonic b",
            "two",
        ),
        *(
            "option 2",
            "answer 2",
            "the second one",
            "b better",
            "mnemonic 2",
            "zweite",
            "rechts",
            "друга",
            "вторая",
        ),
    ),
    "tie": (
        *("both", "equal", "same", "both are equal", "no difference", "draw", "neither", "both equal", "0"),
        *(
            "the same",
            "equally good",
            "about the same",
            "no preference",
            "both are the same",
            "both good",
            "=",
        ),
        *(
            "both bad",
            "tie (bothbad)",
            "they are equal",
            "none",
            "gleich",
            "однаково",
            "одинаково",
            "both are bad",
        ),
    ),
}
_TRUTHS = {
    "true": (
        "correct",
        "right",
        "richtig",
        "solved",
        "passed",
        "pass",
        "ok",
        "правильно",
        "вірно",
        "так",
        "да",
    ),
    "false": (
        "incorrect",
        "wrong",
        "falsch",
        "failed",
        "fail",
        "unsolved",
        "неправильно",
        "невірно",
        "ні",
        "нет",
    ),
}
_DATE = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?:,?[ T]+(\d{1,2}):(\d{2})(:\d{2})?)?\s*")
_SCALES = (5, 7, 10, 100)


def find_choices(cells: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Find what words mean a, b or tie, as --map takes it; and the words that mean none."""
    return _find_words("choice", _CHOICES, dict.fromkeys(CHOICES, ""), cells)


def find_truths(cells: Iterable[str], column: str) -> tuple[dict[str, list[str]], list[str]]:
    """Find what words mean true or false beside those that are read anyway; and the words that mean none."""
    return _find_words(column, _TRUTHS, dict.fromkeys(TRUTHS, ""), cells)


def _find_words(
    column: str, meant: dict[str, tuple[str, ...]], ours: dict[str, str], cells: Iterable[str]
) -> tuple[dict[str, list[str]], list[str]]:
    known = {word: value for value, words in meant.items() for word in words}
    found: dict[str, list[str]] = {}
    strange = []
    for cell in dict.fromkeys(cells):
        word = cell.strip().lower()
        if word in ours or re.fullmatch(r"[01]\.0", word):
            continue
        if word in known:
            words = found.setdefault(f"{column}:{known[word]}", [])
            words += [] if word in words else [word]
        else:
            strange.append(cell)
    return found, strange


def are_choices(cells: Sequence[str]) -> bool:
    """True if cells look like choices between two: few different words, most of them known."""
    words = list(dict.fromkeys(cell.strip().lower() for cell in cells))
    if not words or len(words) > 8:
        return False
    strange = find_choices(words)[1]
    return len(strange) <= len(words) // 3 and not all(re.fullmatch(r"\d+", word) for word in words)


def are_truths(cells: Sequence[str]) -> bool:
    """True if cells say true or false in words."""
    words = {cell.strip().lower() for cell in cells}
    numbers = all(re.match(r"\d", word) for word in words)
    return bool(words) and not numbers and not find_truths(words, "x")[1]


def find_levels(cells: Sequence[str]) -> int | None:
    """Find how many levels whole numbers from 1 may have: 5, 7, 10 or 100, whichever is not below them."""
    whole = [cell.strip().removesuffix(".0") for cell in cells]
    numbers = [int(cell) for cell in whole if re.fullmatch(r"\d{1,3}", cell)]
    if not numbers or len(numbers) < len(cells) * 0.8 or min(numbers) < 1:
        return None
    return next((scale for scale in _SCALES if scale >= max(numbers)), None)


def find_date_format(cells: Sequence[str]) -> tuple[str, bool] | None:
    """Find the format of times that are not read by themselves, and whether only one is possible.

    None if they are read without a format, or if none fits.
    """
    if not cells or not parse_time(pl.DataFrame({"at": list(cells)}))["time"].null_count():
        return None
    parts = [match for cell in cells if (match := _DATE.fullmatch(cell))]
    day_first, month_first = (all(int(part[n]) <= 12 for part in parts) for n in (3, 1))
    if len(parts) < len(cells) or len({part[2] for part in parts}) > 1 or not (day_first or month_first):
        return None
    sign, clock = parts[0][2], " %H:%M" if parts[0][5] else ""
    clock += ":%S" if parts[0][7] else ""
    if not day_first:
        return f"%m{sign}%d{sign}%Y{clock}", True
    return f"%d{sign}%m{sign}%Y{clock}", sign == "." or not month_first
