"""Ask models the held-out prompts, and keep their replies as JSON Lines.

requests = make_requests(items, settings, template)
answers = complete_answers(backend, items, requests, asking)       # asks for those that are missing
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...annotation.models.asking import AskOptions, Spent, ask_missing, find_missing
from ...annotation.models.backends.backend import Backend
from ...annotation.models.budget import Limits
from ...annotation.models.memory import ReplyFile, Row
from ...annotation.models.requests import Request, Sampling, hash_request
from ...annotation.models.templates import Template, read_template
from ...annotation.models.writing import write_requests
from ...schemas.errors import EvaluationError
from .asking import SILENT, Callbacks, subtract_spent
from .config import EvaluationConfig, EvaluationSettings
from .metrics.statistics import Item


@dataclass(frozen=True)
class KeptAnswer:
    """The answer of a model to an item."""

    text: str
    """The model's text; empty if there was none, and `error` says why."""
    error: str | None = None
    cut: bool = False
    """True if it was cut off at max_tokens."""


@dataclass(frozen=True)
class Asking:
    """The file of replies, and what asking for more of them needs."""

    file: Path
    limits: Limits
    """Limits of all askings of the evaluation together."""
    spent: list[Spent]
    """Cost of earlier askings, in order; a new one is added."""
    callbacks: Callbacks = SILENT


def complete_answers(
    backend: Backend, items: Sequence[Item], requests: Sequence[Request], asking: Asking
) -> list[KeptAnswer]:
    """Return a model's answers to the items, in their order; ask for those that are missing or failed.

    `requests`: one for each item, in order. Raises EvaluationError if a limit kept requests from being sent,
    and AnnotationError if the back-end refuses or stays away; replies that came are kept.
    """
    memory = ReplyFile(asking.file, backend.name)
    lengths = [sum(len(message["content"]) for message in item.messages) for item in items]
    longest_first = sorted(range(len(items)), key=lengths.__getitem__, reverse=True)
    ordered = [requests[n] for n in longest_first]
    with asking.callbacks.watching(backend) as watch:
        left = subtract_spent(asking.limits, asking.spent)
        options = AskOptions(
            left,
            retry_failed=True,
            correct=False,
            allow_cut=True,  # metrics count them
            say=asking.callbacks.say,
            watch=watch,
        )
        missing = find_missing(ordered, memory, options)
        if missing.requests:
            asking.callbacks.begin(backend.name, len(missing.requests), len(items))
        asked = ask_missing(backend, ordered, memory, _accept, options)
    if asked.spent:
        backend.free()
        asking.spent.append(asked.spent)
        asking.callbacks.end(asked.spent)
        if asked.spent.left_out:
            raise EvaluationError(
                f"{backend.name}: {asked.spent.left_out:,} of {len(items):,} answers are missing, as a limit "
                "was reached; what came is kept: run the same command again to go on"
            )
    rows = {**asked.known.failed, **asked.known.answered}
    return [_read_answer(rows[hash_request(request)]) for request in requests]


def make_requests(
    items: Sequence[Item], settings: EvaluationSettings, template: Template | None
) -> list[Request]:
    """Make one request for each item, whose `about` is the item's key.

    Raises AnnotationError if the template does not fit.
    """
    sampling = Sampling(
        settings.temperature, settings.top_p, settings.max_tokens, settings.seed, tuple(settings.stop)
    )
    prompts = (
        {
            "key": item.key,
            "messages": item.messages,
            "context": None,
            "group": item.group,
            "language": item.language,
            "task": None,
        }
        for item in items
    )
    return list(write_requests(prompts, template, sampling, 1))


def find_template(config: EvaluationConfig) -> Template | None:
    """Read the template of an evaluation: beside its file, in the working directory, or by its name.

    None if it has none. Raises AnnotationError if it cannot be read.
    """
    name = config.values.template
    if name is None:
        return None
    beside = config.path.parent / name
    return read_template(beside if beside.is_file() else name)


def _read_answer(row: Row) -> KeptAnswer:
    said = json.loads(row["sampling"]).get("said", {})
    text = "" if row["error"] else row["raw"]
    return KeptAnswer(text, row["error"], said.get("finish") == "length")


def _accept(text: str) -> dict[str, Any]:
    """Accept any text, also an empty one: metrics count it."""
    return {"characters": len(text)}
