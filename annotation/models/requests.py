"""Requests to a model and its replies, for any back-end.

    Request(messages=({"role": "user", "content": "What is 1/2 + 1/3?"},), draw=2)

Two requests are the same if `hash_request` is equal: messages, sampling, draw and schema.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ...schemas.keys import hash_key

Message = dict[str, str]


@dataclass(frozen=True)
class Sampling:
    """How a model samples tokens; temperature 0: always the likeliest."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = 0
    stop: tuple[str, ...] = ()


LIKELIEST = Sampling()
UNFINISHED = "unfinished"
"""Key of `said`: how a reply ended that did not end by itself (length, content_filter, refusal, …)."""


@dataclass(frozen=True)
class Request:
    """Messages for a model; `draw` numbers several answers to the same messages, from 0.

    `schema` is a JSON schema that the answer must fit. `about` is the caller's note and not sent.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = LIKELIEST
    draw: int = 0
    schema: dict[str, Any] | None = None
    about: Any = None


@dataclass(frozen=True)
class Reply:
    """A model's reply: its text, the answer read by `check`, or the error if it is unusable.

    `raw` is the message without its reasoning, or whatever the back-end sent instead. `said` has the
    back-end's own model, fingerprint and finish (length: cut off at max_tokens), the reasoning, and
    `unfinished` if it did not end by itself and is no answer.
    """

    request: Request
    nth: int
    raw: str
    answer: dict[str, Any] | None
    error: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    at: datetime
    said: dict[str, Any] = field(default_factory=dict)


def hash_request(request: Request) -> str:
    """Hash messages, sampling, draw and schema into 20 hex digits."""
    parts = (request.messages, asdict(request.sampling), request.draw, request.schema)
    return hash_key([json.dumps(part, ensure_ascii=False, sort_keys=True) for part in parts])


def describe_sampling(request: Request) -> dict[str, Any]:
    """Describe the sampling of a request, for the record, without unset options."""
    chosen = asdict(request.sampling) | {"draw": request.draw}
    return {name: value for name, value in chosen.items() if value not in (None, ())}


def make_row(reply: Reply) -> dict[str, Any]:
    """Make the columns of table `replies` that depend on the reply alone.

    The caller adds source, purpose, model, prompt, completion_a, completion_b and template.
    """
    sampling = describe_sampling(reply.request) | ({"said": reply.said} if reply.said else {})
    return {
        "request": hash_request(reply.request),
        "nth": reply.nth,
        "sampling": json.dumps(sampling, ensure_ascii=False),
        "raw": reply.raw,
        "answer": None if reply.answer is None else json.dumps(reply.answer, ensure_ascii=False),
        "error": reply.error,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "cost": reply.cost,
        "at": reply.at,
    }
