"""Ask a model at an OpenAI-compatible address over HTTP, with retries of transient failures.

POST {base_url}/chat/completions  {"model": "…", "messages": [{"role": "user", "content": "…"}]}
answers {"choices": [{"message": {"content": "…"}}], "usage": {"prompt_tokens": 23, "completion_tokens": 100}}
"""

import asyncio
import math
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from ....schemas.errors import AnnotationError
from ....schemas.support.retry import retry_async
from .connection import KEY_VARIABLES, Endpoint, connect
from .message import CURABLE, ChatCompletion, read_message

TRIES = 6
LONGEST_PAUSE = 60.0
LONGEST_BODY = 16 << 20
"""Bytes of an answer that are read, unpacked; a long answer with its reasoning has one."""
LONGEST_ANSWER = 1800.0
"""Seconds that an answer may take from the request to its last byte."""
_SHOWN = 10_000  # characters of a body that is no answer
_PACKINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
BUSY_PAUSE = 2.0  # seconds after an error that came with status 200
_REFUSED = {400, 422}
_GIVEN_UP = {408, 499}  # somebody on the way waited no longer
_FROM_PROXY = {407, 502, 503, 504}
_NEVER_SENT = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError)
"""Errors of a request that cannot be sent; a retry does not help."""


@dataclass(frozen=True)
class Attempt:
    """One request that was sent: status (None: the connection broke and the outcome is unknown).

    `text` is the body without the key; `fault` is the error if the status is not 200, or the body not whole.
    """

    status: int | None
    text: str = ""
    fault: str = ""
    wait: float | None = None
    reached: bool = True  # False: the request did not reach the server
    sendable: bool = True  # False: it cannot be sent, now or later

    @property
    def maybe_billed(self) -> bool:
        """True if a model may have answered, though no answer came: the server failed or was cut off."""
        if self.status is None:
            return self.reached
        return self.status >= 500 or self.status in _GIVEN_UP

    @property
    def curable(self) -> bool:
        """True if a retry can help."""
        if not self.sendable:
            return False
        return self.status is None or self.status >= 500 or self.status in CURABLE


def ask_one(
    where: Endpoint,
    body: dict[str, Any],
    say: Callable[[str], None],
    before: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
) -> ChatCompletion:
    """Send one request and wait for the answer, retrying transient failures up to TRIES times.

    `say` is called with notices of pauses, `before` with the body before each attempt: what it raises ends
    the request. Raises AnnotationError if the endpoint refuses or does not answer.
    """

    async def send(http: httpx.AsyncClient) -> Attempt:
        if before is not None:
            await before(body)
        return await post(http, where, body)

    async def ask() -> Attempt | None:
        async with connect(where) as http:
            return await send_patiently(where, lambda: send(http), say)

    got = asyncio.run(ask())
    if got is None or got.status != httpx.codes.OK or got.fault:
        raise AnnotationError(got.fault if got else "nothing was sent")
    return read_message(got.text, where.hide)


async def post(http: httpx.AsyncClient, where: Endpoint, body: dict[str, Any]) -> Attempt:
    """Send a request once; of the answer at most LONGEST_BODY bytes are read, for at most LONGEST_ANSWER."""
    headers = [(b"Accept-Encoding", b"gzip, deflate")]
    headers += [(b"Authorization", f"Bearer {where.key}".encode("latin-1"))] if where.key else []
    received: list[httpx.Response] = []
    try:
        async with asyncio.timeout(LONGEST_ANSWER):
            address = f"{where.base_url}/chat/completions"
            async with http.stream("POST", address, json=body, headers=headers) as response:
                received.append(response)
                data, fault = await _read_body(response)
    except TimeoutError:
        fault = f"the answer was not whole after {LONGEST_ANSWER:,.0f} seconds"
        if received and received[0].status_code == httpx.codes.OK:
            return Attempt(httpx.codes.OK, fault=fault)
        return Attempt(None, fault=fault + _name_proxy(where))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        sendable = not isinstance(error, _NEVER_SENT)
        reached = sendable and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        said = f"{type(error).__name__}: {error}" if sendable else f"cannot be sent: {type(error).__name__}"
        return Attempt(None, fault=where.hide(said) + _name_proxy(where), reached=reached, sendable=sendable)
    text = where.hide(data.decode(errors="replace"))
    if response.status_code == httpx.codes.OK:
        return Attempt(response.status_code, text[:_SHOWN] if fault else text, fault)
    wait = _seconds(response.headers.get("retry-after"))
    return Attempt(response.status_code, text, _refusal(where, response, text), wait)


async def _read_body(response: httpx.Response) -> tuple[bytes, str]:
    """Read and unpack a body; the fault if it is too long or cannot be unpacked, "" if it is whole."""
    named = response.headers.get("content-encoding", "identity").strip().lower()
    packed = named in _PACKINGS
    unpack = zlib.decompressobj(_PACKINGS[named]) if packed else None
    parts, size = list[bytes](), 0
    if not packed and named not in {"", "identity"}:
        return b"", f"the answer is packed as '{named[:40]}', which was not asked for"
    async for raw in response.aiter_raw():
        try:
            part = unpack.decompress(raw, LONGEST_BODY - size + 1) if unpack else raw
        except zlib.error as error:
            return b"".join(parts), f"the answer cannot be unpacked ({error})"
        parts.append(part)
        size += len(part)
        if size > LONGEST_BODY:
            return b"".join(parts)[:LONGEST_BODY], f"the answer is longer than {LONGEST_BODY >> 20} MB"
    if unpack and size and not unpack.eof:
        return b"".join(parts), "the answer cannot be unpacked (it was cut off)"
    return b"".join(parts), ""


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
            f"{where.shown}: no answer after {TRIES} tries: {error.attempt.fault}"
        ) from error


class _CurableError(Exception):
    """A transient failure of an attempt."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.fault)
        self.attempt = attempt


async def rest_if_busy(where: Endpoint, message: ChatCompletion, say: Callable[[str], None]) -> None:
    """Wait a moment if an answer of status 200 is an error that may pass, such as a rate limit."""
    if message.busy:
        say(f"{where.shown}: {message.fault}; a pause of {BUSY_PAUSE:g} s")
        await rest(BUSY_PAUSE)


async def rest(seconds: float) -> None:
    """Wait between two attempts."""
    await asyncio.sleep(seconds)


def _refusal(where: Endpoint, response: httpx.Response, text: str) -> str:
    """Error message for a refusal: the reason, and what to do."""
    status = response.status_code
    said = " ".join(text[:_SHOWN].split())[:300]
    remedy = {
        401: f"; set {KEY_VARIABLES[0]} to a key that is valid there",
        403: f"; set {KEY_VARIABLES[0]} to a key that may use '{where.model}'",
        404: f"; is the model called '{where.model}' there, and does the address end in /v1?",
    }.get(status, "")
    if status in _REFUSED and "seed" in said:
        remedy = "; generate and judge leave the seed out with --no-seed"
    proxy = _name_proxy(where) if status in _FROM_PROXY else ""
    reason = where.hide(response.reason_phrase)
    return f"{where.shown}: {status} {reason}{f': {said}' if said else ''}{remedy}{proxy}"


def _name_proxy(where: Endpoint) -> str:
    """Say that a proxy was on the way, for errors that may be its own."""
    if where.proxy is None:
        return ""
    return f" (through the proxy of {where.proxy}; NO_PROXY names hosts that need none)"


def _seconds(retry_after: str | None) -> float | None:
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
