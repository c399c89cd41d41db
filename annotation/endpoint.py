"""A model behind an OpenAI-compatible address: one request at a time, tried again where that can help.

POST {base_url}/chat/completions  {"model": "…", "messages": [{"role": "user", "content": "…"}]}
answers {"choices": [{"message": {"content": "…"}}], "usage": {"total_tokens": 123}}
"""

import functools
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from ..schemas.errors import AnnotationError

KEY_VARIABLES = ("PRECEPTOR_API_KEY", "OPENAI_API_KEY")
TRIES = 6
LONGEST_PAUSE = 60.0
_SECONDS = 180.0
_CURABLE = {408, 409, 425, 429}  # and all from 500


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers; the key is read from the environment and never shown."""

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """What came back: the text as it stands and, where it is one, the message's content."""

    text: str
    content: str | None
    tokens: int


def endpoint(base_url: str | None, model: str) -> Endpoint:
    """The endpoint at an address; AnnotationError where none is given or it is no address."""
    if not base_url:
        raise AnnotationError(
            "no endpoint: give --base-url (or PRECEPTOR_BASE_URL), such as http://127.0.0.1:8000/v1"
        )
    try:
        address = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise AnnotationError(f"--base-url '{base_url}': {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise AnnotationError(f"--base-url '{base_url}': expected http://… or https://…")
    key = next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)
    return Endpoint(base_url.rstrip("/"), model, key)


def ask(where: Endpoint, body: dict[str, Any], say: Callable[[str], None]) -> Answer:
    """Send one request; what is busy or broken for a moment is asked again, up to TRIES times.

    `say` is told of pauses. Raises AnnotationError where the endpoint refuses or stays away.
    """
    headers = {"Authorization": f"Bearer {where.key}"} if where.key else {}
    url = f"{where.base_url}/chat/completions"
    for tries in range(1, TRIES + 1):
        wait: float | None = None
        try:
            response = _client().post(url, json=body, headers=headers)
        except httpx.TransportError as error:
            fault = f"{type(error).__name__}: {error}"
        else:
            if response.status_code == httpx.codes.OK:
                return _answer(where, response.text)
            fault = _refusal(where, response)
            if response.status_code < 500 and response.status_code not in _CURABLE:
                raise AnnotationError(fault)
            wait = _seconds(response.headers.get("retry-after"))
        if tries < TRIES:
            pause = min(LONGEST_PAUSE, 0.5 * 2**tries if wait is None else wait)
            say(f"{_hidden(where, fault)}; again in {pause:g} s")
            time.sleep(pause)
    raise AnnotationError(f"{where.base_url}: no answer after {TRIES} tries: {_hidden(where, fault)}")


@functools.cache
def _client() -> httpx.Client:
    """One for all requests: reading the certificates takes longer than a short answer."""
    return httpx.Client(timeout=_SECONDS)


def _answer(where: Endpoint, text: str) -> Answer:
    try:
        body = json.loads(text)
        content = body["choices"][0]["message"]["content"]
        usage = body.get("usage") or {}
        tokens = int(usage.get("total_tokens") or 0)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Answer(_hidden(where, text), None, 0)
    return Answer(_hidden(where, text), content if isinstance(content, str) else None, tokens)


def _refusal(where: Endpoint, response: httpx.Response) -> str:
    """Why the endpoint refused, and what to do about it."""
    status = response.status_code
    said = _hidden(where, " ".join(response.text.split())[:300])
    remedy = {
        401: f"; set {KEY_VARIABLES[0]} to a key that is valid there",
        403: f"; set {KEY_VARIABLES[0]} to a key that may use '{where.model}'",
        404: f"; is the model called '{where.model}' there, and does the address end in /v1?",
    }.get(status, "")
    return f"{where.base_url}: {status} {response.reason_phrase}{f': {said}' if said else ''}{remedy}"


def _hidden(where: Endpoint, text: str) -> str:
    """A text without the key, should the other side repeat it."""
    return text.replace(where.key, "[key]") if where.key else text


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after or ""))
    except ValueError:
        return None
