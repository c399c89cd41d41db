"""Combine a judge's answers in both orders to one answer per question, as annotators give it.

a shown first: "first"   b shown first: "second"   ->  a       both orders mean the same side
a shown first: "first"   b shown first: "first"    ->  tie     it chose by position
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....schemas.rubric import Rubric
from .answers import FIRST, REASON, SECOND, TIE, JudgeAnswer, list_choices

Shown = tuple[str, str | None]
"""Keys of the completions shown first and second; None for the second if one is rated alone."""
CONSISTENT, FIRST_TWICE, SECOND_TWICE, TIE_ONCE = "consistent", "first twice", "second twice", "tie once"
_SIDES = {FIRST: "a", SECOND: "b", TIE: TIE}
_TURNED = {FIRST: "b", SECOND: "a", TIE: TIE}


@dataclass(frozen=True)
class Verdicts:
    """A judge's answers to questions, and counts of position bias."""

    given: list[dict[str, Any]]
    """Rows: question (key), given (JSON), comment (the judge's reasons, or None), shown (the orders)."""
    disagree: int
    """Pairs on which the two orders disagree: a tie, or no vote if the rubric has no tie."""
    no_vote: int
    """Pairs without a vote, because they would be ties and the rubric has none."""
    missing: int
    """Questions that lack a usable answer in some order."""
    positions: dict[str, int] = field(default_factory=dict)
    """Of pairs judged in both orders: consistent, first twice, second twice, tie once."""


def list_orders(a: str, b: str | None, both: bool) -> list[Shown]:
    """List the orders in which a question's completions are shown."""
    return [(a, b), (b, a)] if both and b is not None else [(a, b)]


def reach_verdicts(
    rubric: Rubric, questions: Iterable[Mapping[str, Any]], said: Mapping[Shown, JudgeAnswer], both: bool
) -> Verdicts:
    """Reach one answer to each question from the judge's answers in each order.

    Questions have key, completion_a and completion_b. `both`: each pair was shown in both orders.
    """
    given: list[dict[str, Any]] = []
    count: Counter[str] = Counter()
    places: dict[frozenset[Shown], str] = {}  # a repeated question is the same pair
    for question in questions:
        shown = list_orders(question["completion_a"], question["completion_b"], both)
        answers = [said.get(key) for key in shown]
        if any(answer is None for answer in answers):
            count["missing"] += 1
            continue
        found = [answer for answer in answers if answer is not None]
        if rubric.kind == "rating":
            value: dict[str, Any] = {name: found[0][name] for name in list_choices(rubric)}
        else:
            side, place = _pair(*(answer["preference"] for answer in found))
            count["disagree"] += place not in (CONSISTENT, "")
            if place:
                places[frozenset(shown)] = place
            if side == TIE and not rubric.tie:
                count["no vote"] += 1
                continue
            value = {"preference": side}
        given.append(
            {
                "question": question["key"],
                "given": json.dumps(value),
                "comment": _reasons(found),
                "shown": shown,
            }
        )
    kinds = Counter(places.values())
    positions = {name: kinds[name] for name in (CONSISTENT, FIRST_TWICE, SECOND_TWICE, TIE_ONCE)}
    return Verdicts(given, count["disagree"], count["no vote"], count["missing"], positions if places else {})


def _pair(one: str, two: str | None = None) -> tuple[str, str]:
    """The side chosen in both orders (tie if they disagree), and the kind of agreement."""
    if two is None:
        return _SIDES[one], ""
    if _SIDES[one] == _TURNED[two]:
        return _SIDES[one], CONSISTENT
    return TIE, {(FIRST, FIRST): FIRST_TWICE, (SECOND, SECOND): SECOND_TWICE}.get((one, two), TIE_ONCE)


def _reasons(found: list[JudgeAnswer]) -> str | None:
    """The judge's reasons; for a pair, by the side shown first."""
    reasons = [answer.get(REASON, "").strip() for answer in found]
    if len(reasons) == 2:
        reasons = [f"{side} first: {text}" if text else "" for side, text in zip("ab", reasons, strict=True)]
    return "\n".join(filter(None, reasons)) or None
