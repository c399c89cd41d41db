"""Make a judge's requests: the rubric, examples, and the texts to be judged in fences (fence.py).

{"prompt": "What is 2/3 of 15?", "first": "10", "second": "Ten, since 15 / 3 = 5.", "answer": "second",
 "reason": "It shows the step."}                                        an example about a pair
{"prompt": "…", "completion": "…", "answer": {"brief": 3, "clear": 1}}   about one completion
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....schemas.errors import AnnotationError
from ....schemas.keys import hash_key
from ....schemas.rubric import Rubric
from ....schemas.support.json_text.values import parse_json
from ....schemas.support.nearest import suggest
from ..fence import Fence, make_fence
from ..requests import LIKELIEST, Message, Request, Sampling
from ..templates import Template, render
from .answers import REASON, JudgingMethod, asks_reason, list_choices, make_answer_schema, make_checker

_SPEAKERS = {"user": "the learner", "assistant": "the tutor", "system": "what the tutor was told"}
PAIR, SINGLE = ("first", "second"), ("completion",)
_SHOWN = {"first": "the first answer", "second": "the second answer", "completion": "the answer"}


@dataclass(frozen=True)
class Example:
    """An example judgement shown to the judge; `texts`: one, or the first and the second."""

    prompt: str
    texts: tuple[str, ...]
    answer: dict[str, Any]
    """In the form that the judge should answer in."""


@dataclass(frozen=True)
class JudgeWording:
    """The wording of a judge's requests: rubric, template, examples."""

    rubric: Rubric
    template: Template
    examples: tuple[Example, ...] = ()
    reason: bool = True
    sampling: Sampling = LIKELIEST


def judge_by_letters(wording: JudgeWording) -> JudgingMethod:
    """Judge by a model's written answers: pairs in both orders, answers checked by the rubric's scale."""
    parts = [wording.template.digest, wording.rubric.digest, str(wording.reason)]
    parts += [json.dumps([e.prompt, e.texts, e.answer]) for e in wording.examples]

    def make(messages: Sequence[Message], texts: Sequence[str], about: Any) -> Request:
        return make_judge_request(wording, messages, texts, about)

    return JudgingMethod(make, make_checker(wording.rubric), both=True, template=hash_key(parts))


def make_judge_request(
    wording: JudgeWording, messages: Sequence[Message], texts: Sequence[str], about: Any = None
) -> Request:
    """Make the request to judge one completion, or two in the order in which they are shown.

    It names neither the authors of texts nor the model.
    """
    rubric, sides = wording.rubric, PAIR if wording.rubric.kind == "pairwise" else SINGLE
    shown = [text for e in wording.examples for text in (e.prompt, *e.texts)]
    fence = make_fence([*shown, *(m["content"] for m in messages), *texts])
    known = list_choices(rubric)
    form = {name: " or ".join(map(json.dumps, answers)) for name, answers in known.items()}
    if asks_reason(rubric, wording.reason):
        form = {REASON: '"…"'} | form
    values: dict[str, Any] = {
        "title": rubric.title,
        "guidelines": rubric.guidelines.strip(),
        "mark": fence.mark,
        "examples": [_example(fence, n, e, sides, wording.reason) for n, e in enumerate(wording.examples, 1)],
        "dialogue": [fence.wrap(_SPEAKERS.get(m["role"], "a speaker"), m["content"]) for m in messages],
        "choices": known,
        "wordings": {c.name: c.wording for c in rubric.criteria},
        "reason": asks_reason(rubric, wording.reason),
        "form": "{" + ", ".join(f'"{name}": {answers}' for name, answers in form.items()) + "}",
    }
    values |= {side: fence.wrap(_SHOWN[side], text) for side, text in zip(sides, texts, strict=True)}
    schema = make_answer_schema(rubric, wording.reason)
    return Request(render(wording.template, **values), wording.sampling, schema=schema, about=about)


def _example(fence: Fence, n: int, example: Example, sides: Sequence[str], reason: bool) -> dict[str, str]:
    answer = {name: value for name, value in example.answer.items() if reason or name != REASON}
    texts = {
        side: fence.wrap(f"example {n}: {_SHOWN[side]}", text)
        for side, text in zip(sides, example.texts, strict=True)
    }
    prompt = fence.wrap(f"example {n}: what was asked", example.prompt)
    return {"prompt": prompt, "answer": json.dumps(answer, ensure_ascii=False)} | texts


def read_examples(path: Path, rubric: Rubric) -> tuple[Example, ...]:
    """Read examples from JSON Lines, each checked against the rubric's scale.

    Raises AnnotationError with file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}; --examples names a file of JSON Lines") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not UTF-8; save it as UTF-8") from error
    made = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                made.append(_read_example(parse_json(line), rubric))
            except ValueError as error:
                raise AnnotationError(f"{path}, line {number}: {error}") from error
    if not made:
        raise AnnotationError(f"{path}: no examples in it; leave --examples out, or write some")
    return tuple(made)


def _read_example(entry: Any, rubric: Rubric) -> Example:
    sides = PAIR if rubric.kind == "pairwise" else SINGLE
    wanted = ("prompt", *sides, "answer")
    if not isinstance(entry, dict):
        raise ValueError(f"expected a JSON object with {', '.join(wanted)}")
    for name in entry:
        if name not in (*wanted, REASON):
            raise ValueError(f"unknown key '{name}': {suggest(name, [*wanted, REASON], 'known')}")
    for name in (*wanted[:-1], *([REASON] if REASON in entry else [])):
        if not isinstance(entry.get(name), str):
            raise ValueError(f"'{name}' is missing, or no text")
    if "answer" not in entry:
        raise ValueError("'answer' is missing")
    answer = entry["answer"]
    known = list_choices(rubric)
    if len(known) == 1 and not isinstance(answer, dict):
        answer = {next(iter(known)): answer}
    fitting = make_checker(rubric)(json.dumps(answer))
    if rubric.kind == "rating":
        fitting = {name: list(answers)[fitting[name] - 1] for name, answers in known.items()}
    reason = {REASON: entry[REASON]} if REASON in entry and asks_reason(rubric) else {}
    return Example(entry["prompt"], tuple(entry[side] for side in sides), reason | fitting)
