"""Ask a model at an OpenAI-compatible address over HTTP, with retries of transient failures.

POST {base_url}/chat/completions  {"model": "…", "messages": [{"role": "user", "content": "…"}]}
answers {"choices": [{"message": {"content": "…"}}], "usage": {"prompt_tokens": 23, "completion_tokens": 100}}
"""

import asyncio
import functools
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from ....schemas.errors import AnnotationError
from ....schemas.support.retry import retry_async

KEY_VARIABLES = ("PRECEPTOR_API_KEY", "OPENAI_API_KEY")
TRIES = 6
LONGEST_PAUSE = 60.0
_SECONDS = httpx.Timeout(600.0, connect=20.0)  # a busy server on a laptop takes minutes for a long answer
_CURABLE = {408, 409, 425, 429}  # and all from 500


@dataclass(frozen=True)
class Endpoint:
    """Address of a model; the key is read from the environment and never shown."""

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Attempt:
    """One request that was sent: status (None: the connection broke and the outcome is unknown).

    `text` is the body without the key; `fault` is the error if the status is not 200.
    """

    status: int | None
    text: str = ""
    fault: str = ""
    wait: float | None = None
    reached: bool = True  # False: the request did not reach the server

    @property
    def curable(self) -> bool:
        """True if a retry can help."""
        return self.status is None or self.status >= 500 or self.status in _CURABLE


@dataclass(frozen=True)
class ChatCompletion:
    """A chat completion: content if any, token counts of the server, and its description of itself."""

    text: str
    content: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens: int = 0
    said: dict[str, Any] = field(default_factory=dict)


def make_endpoint(base_url: str | None, model: str) -> Endpoint:
    """Make the endpoint at an address; raises AnnotationError if it is missing or invalid."""
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


def connect() -> httpx.AsyncClient:
    """Open a client for many requests; use it as a context."""
    return httpx.AsyncClient(timeout=_SECONDS, verify=_certificates())


def ask_one(where: Endpoint, body: dict[str, Any], say: Callable[[str], None]) -> ChatCompletion:
    """Send one request and wait for the answer, retrying transient failures up to TRIES times.

    `say` is called with notices of pauses. Raises AnnotationError if the endpoint refuses or does not answer.
    """

    async def ask() -> Attempt | None:
        async with connect() as http:
            return await send_patiently(where, lambda: post(http, where, body), say)

    got = asyncio.run(ask())
    if got is None or got.status != httpx.codes.OK:
        raise AnnotationError(got.fault if got else "nothing was sent")
    return read_message(got.text)


async def post(http: httpx.AsyncClient, where: Endpoint, body: dict[str, Any]) -> Attempt:
    """Send a request once."""
    headers = {"Authorization": f"Bearer {where.key}"} if where.key else {}
    try:
        response = await http.post(f"{where.base_url}/chat/completions", json=body, headers=headers)
    except httpx.TransportError as error:
        fault = _hidden(where, f"{type(error).__name__}: {error}")
        reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        return Attempt(None, fault=fault, reached=reached)
    text = _hidden(where, response.text)
    if response.status_code == httpx.codes.OK:
        return Attempt(response.status_code, text)
    wait = _seconds(response.headers.get("retry-after"))
    return Attempt(response.status_code, text, _refusal(where, response), wait)


async def send_patiently(
    where: Endpoint, attempt: Callable[[], Awaitable[Attempt | None]], say: Callable[[str], None]
) -> Attempt | None:
    """Call `attempt` until an attempt is answered or cannot be retried; return it, or None after the last.

    Waits as long as the server asks for, else longer each time. Raises AnnotationError after TRIES.
    """

    async def attempt_once() -> Attempt | None:
        got = await attempt()
        if got is not None and got.curable:
            raise _CurableError(got)
        return got

    def pause_after(error: Exception, wait: float) -> float | None:
        if not isinstance(error, _CurableError):
            return None
        got = error.attempt
        pause = min(LONGEST_PAUSE, wait if got.wait is None else got.wait)
        say(f"{got.fault}; again in {pause:g} s")
        return pause

    try:
        return await retry_async(attempt_once, [2.0**n for n in range(TRIES - 1)], pause_after, rest)
    except _CurableError as error:
        raise AnnotationError(
            f"{where.base_url}: no answer after {TRIES} tries: {error.attempt.fault}"
        ) from error


class _CurableError(Exception):
    """A transient failure of an attempt."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.fault)
        self.attempt = attempt


async def rest(seconds: float) -> None:
    """Wait between two attempts."""
    await asyncio.sleep(seconds)


def read_message(text: str) -> ChatCompletion:
    """Read the message in a body; its content is None if the body has none."""
    try:
        body = json.loads(text)
        choice = body["choices"][0]
        content = choice["message"]["content"]
        usage = body.get("usage") or {}
        sent, received = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        total = _count(usage.get("total_tokens")) or (sent or 0) + (received or 0)
        said = {
            "model": body.get("model"),
            "fingerprint": body.get("system_fingerprint"),
            "finish": choice.get("finish_reason"),
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return ChatCompletion(text, None)
    known = {name: value for name, value in said.items() if isinstance(value, str)}
    return ChatCompletion(text, content if isinstance(content, str) else None, sent, received, total, known)


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value >= 0 else None


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read certificates once: that takes longer than a short answer."""
    return httpx.create_ssl_context()


def _refusal(where: Endpoint, response: httpx.Response) -> str:
    """Error message for a refusal: the reason, and what to do."""
    status = response.status_code
    said = _hidden(where, " ".join(response.text.split())[:300])
    remedy = {
        401: f"; set {KEY_VARIABLES[0]} to a key that is valid there",
        403: f"; set {KEY_VARIABLES[0]} to a key that may use '{where.model}'",
        404: f"; is the model called '{where.model}' there, and does the address end in /v1?",
    }.get(status, "")
    return f"{where.base_url}: {status} {response.reason_phrase}{f': {said}' if said else ''}{remedy}"


def _hidden(where: Endpoint, text: str) -> str:
    """Remove the key from a text, in case the server repeats it."""
    return text.replace(where.key, "[key]") if where.key else text


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after or ""))
    except ValueError:
        return None
