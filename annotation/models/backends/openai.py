"""`openai:NAME`: one POST a request, since servers ignore `n`; JSON by schema if the server can.

The first request with a schema finds out which form the server accepts, for the rest of the run:
json_schema as OpenAI and vLLM have it, json_object with a schema as llama.cpp has it, or neither.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ....schemas.errors import AnnotationError
from ....schemas.support.hosts import is_local
from ..budget import Ledger
from ..prices import ASSUMED_FREE, Price, find_price
from ..requests import Request
from .backend import Backend, ModelAnswer, Say, Send
from .connection import Endpoint, connect, make_endpoint
from .endpoint import Attempt, post, rest_if_busy, send_patiently
from .message import read_message

_REFUSED = (400, 413, 422)  # of one request, as too long; others may be taken
_FORMS = 3
_FORM_REFUSED = (400, 422, 500, 501)


@dataclass
class _Dialect:
    """Forms of a schema that the server is known to accept."""

    form: int = 0  # of the schema, among _FORMS
    settled: bool = False  # an answer came in that form
    tokens: str = "max_tokens"
    probing: asyncio.Lock = field(default_factory=asyncio.Lock)


def open_backend(
    model: str, base_url: str | None, prices: Path | None = None, _trusting_code: bool = False
) -> Backend:
    """Open a back-end at an OpenAI-compatible address; the key is PRECEPTOR_API_KEY's or OPENAI_API_KEY's.

    Raises AnnotationError if there is no address, or `prices` is no table of prices.
    """
    where = make_endpoint(base_url, model)

    @asynccontextmanager
    async def session() -> AsyncIterator[Send]:
        dialect = _Dialect()
        async with connect(where) as http:

            async def send(requests: Sequence[Request], ledger: Ledger, say: Say) -> list[ModelAnswer | None]:
                return [await _send(http, where, dialect, request, ledger, say) for request in requests]

            yield send

    return Backend(f"openai:{model}", session, _price(where, prices))


def _price(where: Endpoint, prices: Path | None) -> Price | None:
    """Price by the tables; a model on this machine that they do not name is assumed to cost nothing."""
    found = find_price(where.model, prices)
    if found:
        return found
    return ASSUMED_FREE if is_local(httpx.URL(where.base_url).host) else None


async def _send(
    http: httpx.AsyncClient, where: Endpoint, dialect: _Dialect, request: Request, ledger: Ledger, say: Say
) -> ModelAnswer | None:
    async def attempt() -> Attempt | None:
        if request.schema is None or dialect.settled:
            return await _translated(http, where, dialect, request, ledger)
        async with dialect.probing:  # one request finds out, the others wait
            return await _translated(http, where, dialect, request, ledger)

    got = await send_patiently(where, attempt, say)
    if got is None:
        return None
    if got.status in _REFUSED:
        return ModelAnswer(got.text, got.fault, refused=True)
    if got.status != httpx.codes.OK:  # as it would be for every other request
        raise AnnotationError(got.fault if got.status else f"{where.shown}: {got.fault}")
    message = read_message(got.text, where.hide)
    await rest_if_busy(where, message, say)
    cost = ledger.settle(request, message.prompt_tokens, message.billed_tokens)
    text = message.text if message.content is None else message.content
    sent, received = message.prompt_tokens, message.completion_tokens
    return ModelAnswer(text, message.fault, False, sent, received, cost, message.said)


async def _translated(
    http: httpx.AsyncClient, where: Endpoint, dialect: _Dialect, request: Request, ledger: Ledger
) -> Attempt | None:
    """Send one request in the form that the server accepts, trying the forms if it is not known yet.

    The caller settles an answered attempt; the others are settled here.
    """
    while await ledger.reserve(request):
        got = await post(http, where, _body(where, dialect, request))
        if got.status == httpx.codes.OK:
            dialect.settled = dialect.settled or request.schema is not None
            return got
        if got.maybe_billed:
            ledger.count_unsure(request)
        else:
            ledger.release(request)
        if (
            got.status in (400, 422)
            and dialect.tokens == "max_tokens"
            and "max_completion_tokens" in got.text
        ):
            dialect.tokens = "max_completion_tokens"
        elif request.schema is None or dialect.settled or got.status not in _FORM_REFUSED:
            return got
        elif dialect.form == _FORMS - 1:
            dialect.form = 0  # so the form was not the reason
            return got
        else:
            dialect.form += 1
    return None


def _body(where: Endpoint, dialect: _Dialect, request: Request) -> dict[str, Any]:
    sampling = request.sampling
    body: dict[str, Any] = {"model": where.model, "messages": list(request.messages)}
    body |= {"temperature": sampling.temperature, dialect.tokens: sampling.max_tokens}
    if sampling.top_p < 1:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        body["seed"] = sampling.seed + request.draw
    if request.schema is not None and dialect.form < _FORMS - 1:
        body["response_format"] = _format(request.schema, dialect.form)
    return body


def _format(schema: dict[str, Any], form: int) -> dict[str, Any]:
    if form == 0:
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    return {"type": "json_object", "schema": schema}
