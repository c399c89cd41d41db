r"""Define a judge's possible answers to a rubric, and read them from a model's text.

    make_answer_schema(read_rubric("pairwise-preference"))   # a JSON schema, for servers that keep to one
    check = make_checker(read_rubric("pairwise-preference"))
    check('Well …\n```json\n{"reason": "B tells all", "preference": "first"}\n```')
    # {"reason": "B tells all", "preference": "first"}
    check('{"preference": "both"}')                          # ValueError: preference is "both", expected …

For a rating rubric the answer is a value from 1 for each criterion, as in `ratings`. If a level's wording is
a number other than its value (0, 1, 2), the model is asked for wordings, and numbers are read as wordings.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ....schemas.rubric import PREFERENCE, Criterion, Rubric
from ....schemas.support.json_text.values import parse_json
from ....schemas.support.nearest import suggest
from ..requests import Message, Request

REASON = "reason"
FIRST, SECOND, TIE = "first", "second", "tie"
JudgeAnswer = dict[str, Any]


@dataclass(frozen=True)
class JudgingMethod:
    """A way of judging: how requests are made and replies are read."""

    make: Callable[[Sequence[Message], Sequence[str], Any], Request]
    """Makes a request from the prompt's messages, the texts in the order shown, and the caller's note."""
    check: Callable[[str], JudgeAnswer]
    both: bool
    """True if pairs are judged in both orders."""
    template: str
    """Digest of everything in a request except the texts."""


def list_choices(rubric: Rubric) -> dict[str, dict[str | int, str]]:
    """List the possible answers by criterion: the JSON value of each, with its wording."""
    if rubric.kind == "pairwise":
        sides: dict[str | int, str] = {FIRST: "the first answer is better", SECOND: "the second is better"}
        return {PREFERENCE: sides | ({TIE: "neither is better"} if rubric.tie else {})}
    return {
        c.name: {w if _by_wording(c) else value: w for value, w in enumerate(c.levels, 1)}
        for c in rubric.criteria
    }


def asks_reason(rubric: Rubric, reason: bool = True) -> bool:
    """Return True if a reason is asked for beside the answers: not if a criterion has that name."""
    return reason and REASON not in list_choices(rubric)


def make_answer_schema(rubric: Rubric, reason: bool = True) -> dict[str, Any]:
    """Make the JSON schema of an answer; values by `enum`, since servers ignore bounds."""
    properties: dict[str, Any] = {REASON: {"type": "string"}} if asks_reason(rubric, reason) else {}
    for name, answers in list_choices(rubric).items():
        type = "string" if isinstance(next(iter(answers)), str) else "integer"
        properties[name] = {"type": type, "enum": list(answers)}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def make_checker(rubric: Rubric) -> Callable[[str], JudgeAnswer]:
    """Make a function from a model's text to its answer, which has a valid value for every criterion.

    The function raises ValueError for a text without JSON object, a missing criterion, a value off the scale,
    or an unknown name.
    """
    known = list_choices(rubric)

    def check(content: str) -> JudgeAnswer:
        found = find_json(content)
        for name in found:
            if name not in known and name != REASON:
                raise ValueError(f"'{name}' was not asked for: {suggest(name, known, 'expected')}")
        missing = [name for name in known if name not in found]
        if missing:
            raise ValueError(f"no value for {', '.join(missing)}")
        answer = {name: _value(rubric, name, known[name], found[name]) for name in known}
        said = found.get(REASON)
        with_reason = {REASON: said} if REASON not in known and isinstance(said, str) else {}
        return with_reason | answer

    return check


def find_json(content: str) -> dict[str, Any]:
    """Find the last well-formed JSON object in a text, whatever surrounds it; raises ValueError."""
    found: dict[str, Any] | None = None
    fault = "no JSON object in it"
    at = content.find("{")
    while at >= 0:
        try:
            _, end = _STRICT.raw_decode(content, at)
        except _AmbiguousError as wrong:
            found, fault, end = None, str(wrong), at + 1
        except (ValueError, RecursionError):
            end = at + 1
        else:
            try:
                found = parse_json(content[at:end])
            except ValueError as wrong:
                found, fault = None, str(wrong)
        at = content.find("{", end)
    if found is None:
        raise ValueError(fault)
    return found


class _AmbiguousError(Exception):
    """JSON that is ambiguous or not valid."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _AmbiguousError(
            f"'{next(n for n in names if names.count(n) > 1)}' is there twice in one object"
        )
    return made


def _no_number(word: str) -> float:
    raise _AmbiguousError(f"{word} is no JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def _value(rubric: Rubric, name: str, known: dict[str | int, str], given: object) -> str | int:
    """Convert an answer to the store's form: a side, or a value from 1."""
    by_word = {str(key).casefold(): key for key in known}
    if rubric.kind == "rating":
        by_word = {wording.strip().casefold(): key for key, wording in known.items()} | by_word
    match given:
        case bool():
            word = ("yes" if given else "no") if {"yes", "no"} <= set(by_word) else str(given)
        case int() | str():
            word = str(given)
        case float() if given.is_integer():
            word = str(int(given))
        case _:
            word = ""
    key = by_word.get(word.strip().rstrip(".").casefold())
    if key is None:
        many = isinstance(given, list | dict)
        shown = f"a {type(given).__name__}" if many else json.dumps(given, ensure_ascii=False)[:60]
        raise ValueError(f"{name} is {shown}, expected {_expected(known)}")
    return key if rubric.kind == "pairwise" else list(known).index(key) + 1


def _expected(known: dict[str | int, str]) -> str:
    """The valid answers in words: 'first, second or tie'."""
    *most, last = (json.dumps(key) for key in known)
    return f"{', '.join(most)} or {last}"


def _by_wording(criterion: Criterion) -> bool:
    """True if a level's wording is a number other than its value."""
    return any(w.strip().isdecimal() and int(w) != value for value, w in enumerate(criterion.levels, 1))
