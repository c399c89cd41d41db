r"""Keep each step of a refinement in its own file, so that a resumed run asks each request once.

steps/compare-3.json
{"request": {"model": "…", "messages": […]}, "tries": [{"at": "2026-03-01T10:00:00+00:00",
 "answer": "{\"choices\": …}", "fault": null}]}
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from ...schemas.errors import AnnotationError
from ...schemas.support.files import write_text
from ...schemas.support.json_text.values import parse_json
from ..models.backends.connection import Endpoint
from ..models.backends.endings import REASONING, describe_ending, find_ending, split_reasoning
from ..models.backends.endpoint import ask_one
from ..models.backends.message import ChatCompletion
from .budget import Budget

T = TypeVar("T")
READINGS = 3  # unreadable answers after which a run gives up


@dataclass
class KeptSteps:
    """A folder of kept steps, and the endpoint for missing ones."""

    folder: Path
    where: Endpoint
    say: Callable[[str], None]
    budget: Budget = field(default_factory=Budget)
    sent: int = field(default=0)
    kept: int = field(default=0)
    tokens: int = field(default=0)


def ask_step(steps: KeptSteps, name: str, prompt: str, read: Callable[[str], T]) -> T:
    """Ask a prompt unless its answer is in the folder; return the answer as `read` converts it.

    If `read` raises ValueError, the model is shown the error and asked again. Raises AnnotationError if the
    folder has the step with another request, no answer can be read, or the budget is used up.
    """
    path = steps.folder / f"{name}.json"
    request = {"model": steps.where.model, "messages": [{"role": "user", "content": prompt}]}
    record = _record(path, request)
    for earlier in record["tries"]:
        if earlier["fault"] is None:
            steps.kept += 1
            return read(split_reasoning(earlier["content"])[0])
    for _ in range(READINGS):
        body = request | {"messages": _told(request["messages"], record["tries"])}
        body = steps.budget.bound_answer(body)
        answer = ask_one(steps.where, body, steps.say, steps.budget.reserve)
        steps.sent += 1
        steps.tokens += answer.tokens
        fault, taken = _try_reading(answer, read)
        record["tries"].append(
            {
                "at": datetime.now(UTC).isoformat(),
                "fault": fault,
                "content": answer.content,
                "answer": answer.text,
            }
        )
        write_text(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
        steps.budget.settle(answer)
        if taken:
            return taken[0]
        steps.say(f"{name}: {fault}; asked again")
    raise AnnotationError(
        f"{path}: no answer of {READINGS} could be read ({fault}); they are kept there. "
        "Run it again, or take another --model and --folder"
    )


def _try_reading(answer: ChatCompletion, read: Callable[[str], T]) -> tuple[str | None, list[T]]:
    if answer.content is None or answer.fault:
        return answer.fault, []
    text, _, open_end = split_reasoning(answer.content)
    ending = find_ending(answer.said.get("finish")) or (REASONING if open_end else None)
    if ending:
        return describe_ending(ending), []
    try:
        return None, [read(text)]
    except ValueError as error:
        return " ".join(str(error).split())[:500], []


def _told(messages: Any, tries: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The request's messages; after an unreadable answer, with that answer and its error."""
    last = tries[-1] if tries else {"content": None}
    if last["content"] is None:
        return list(messages)
    again = f"That could not be read: {last['fault']}. Reply once more, as asked."
    return [*messages, {"role": "assistant", "content": last["content"]}, {"role": "user", "content": again}]


def _record(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        kept = found["request"]
    except FileNotFoundError:
        return {"request": request, "tries": []}
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(
            f"{path}: not a kept request ({error}); remove the file to ask again"
        ) from error
    if kept != request:
        what = "another model" if kept.get("model") != request["model"] else "another rubric or other outputs"
        raise AnnotationError(f"{path}: was asked with {what}; choose another --folder, or remove this one")
    return found


def find_json_object(content: str) -> dict[str, Any]:
    """Find the JSON object in a model's answer, whatever surrounds it; raises ValueError if there is none."""
    start = content.find("{")
    if start < 0:
        raise ValueError("no JSON object in it")
    try:
        _, end = json.JSONDecoder().raw_decode(content, start)
    except RecursionError as error:
        raise ValueError("its JSON object is nested too deep") from error
    return dict(parse_json(content[start:end]))
