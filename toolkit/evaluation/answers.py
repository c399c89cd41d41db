"""Ask models the held-out prompts, and keep their answers as JSON Lines.

{"model": "hf:gec@3c…", "key": "1f…", "text": "He goes.", "error": null, "cut": false}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...annotation.models.asking import Spent, ask
from ...annotation.models.backends.backend import Backend
from ...annotation.models.budget import Limits
from ...annotation.models.requests import Reply, Request, Sampling, digest
from ...annotation.models.templates import Template, read_template
from ...annotation.models.writing import write_requests
from ...schemas.errors import EvaluationError
from ...schemas.support.json_lines import add_lines, read_lines
from .asking import SILENT, Callbacks, subtract_spent
from .config import EvaluationConfig, EvaluationSettings
from .metrics.statistics import Item


@dataclass(frozen=True)
class KeptAnswer:
    """The answer of a model to an item."""

    key: str
    """Key of the item."""
    text: str
    """The model's text; empty if there was none, and `error` says why."""
    error: str | None = None
    cut: bool = False
    """True if it was cut off at max_tokens."""


@dataclass(frozen=True)
class AnswerStore:
    """The file of answers of an evaluation, and what asking for more of them needs."""

    file: Path
    limits: Limits
    spent: list[Spent]
    """What was asked so far, in order; asking adds to it."""
    callbacks: Callbacks = SILENT

    def complete(
        self, backend: Backend, items: Sequence[Item], requests: Sequence[Request]
    ) -> list[KeptAnswer]:
        """Return a model's answers to the items, in their order; ask for those that are missing or failed.

        `requests`: one for each item, in order. Raises EvaluationError if a limit kept requests from being
        sent.
        """
        known = self._known(backend.name)
        todo = [one for one in requests if one.about not in known or known[one.about].error]
        lengths = {item.key: sum(len(message["content"]) for message in item.messages) for item in items}
        todo.sort(key=lambda one: lengths[one.about], reverse=True)
        if todo and (left := self._ask(backend, todo, len(items))):
            raise EvaluationError(
                f"{backend.name}: {left:,} of {len(items):,} answers are missing, as a limit was "
                "reached; what came is kept: run the same command again to go on"
            )
        known = self._known(backend.name)
        return [known[item.key] for item in items]

    def _known(self, model: str) -> dict[str, KeptAnswer]:
        """Read a model's answers by key of the item; the last one counts."""
        rows = [row for row in read_lines(self.file) if row.get("model") == model]
        return {row["key"]: KeptAnswer(row["key"], row["text"], row["error"], row["cut"]) for row in rows}

    def _ask(self, backend: Backend, requests: Sequence[Request], of: int) -> int:
        """Ask, and return the number of requests that a limit kept from being sent."""
        keys: dict[str, list[str]] = {}
        for request in requests:
            keys.setdefault(digest(request), []).append(request.about)

        def keep(replies: list[Reply]) -> None:
            answers = [_answer(key, reply) for reply in replies for key in keys[digest(reply.request)]]
            add_lines(self.file, ({"model": backend.name, **vars(one)} for one in answers))

        self.callbacks.begin(backend.name, len(requests), of)
        with self.callbacks.watching(backend, len(requests)) as watch:
            spent = ask(
                backend,
                requests,
                check=_accept,
                keep=keep,
                limits=subtract_spent(self.limits, self.spent),
                say=self.callbacks.say,
                watch=watch,
            )
        self.spent.append(spent)
        self.callbacks.end(spent)
        return spent.left_out


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


def _answer(key: str, reply: Reply) -> KeptAnswer:
    text = "" if reply.error else reply.raw
    return KeptAnswer(key, text, reply.error, reply.said.get("finish") == "length")


def _accept(text: str) -> dict[str, Any]:
    """Accept any text, also an empty one: metrics count it."""
    return {"characters": len(text)}
