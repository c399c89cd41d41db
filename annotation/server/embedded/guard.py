"""Keep annotators from each other's answers, passwords from guessing, and the server from foreign names.

Argilla gives everybody's answers to any annotator who asks for one record by its id.
"""

import asyncio
import ipaddress
import json
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from functools import wraps
from typing import Any

from argilla_server.api.handlers.v1.authentication import accounts
from argilla_server.api.routes import api_v1
from fastapi.routing import APIRoute
from sqlalchemy.orm.attributes import set_committed_value

App = Callable[[Any, Any, Any], Awaitable[None]]

_RECORD = "/records/{record_id}"
_FREE = 5  # failures in a row that cost no wait
_LONGEST = 30.0  # seconds that a login waits after many failures
_REMEMBERED = 10_000  # pairs of client and name whose failures are remembered
_client: ContextVar[str] = ContextVar("client", default="")


def hide_answers() -> None:
    """Give an annotator who asks for a record the own answers alone."""
    (route,) = (
        route
        for route in api_v1.routes
        if isinstance(route, APIRoute) and route.path == _RECORD and "GET" in route.methods
    )
    get_record = route.endpoint

    @wraps(get_record)
    async def get_own(*, current_user: Any, **given: Any) -> Any:
        record = await get_record(current_user=current_user, **given)
        if not (current_user.is_owner or current_user.is_admin):
            own = [one for one in record.responses if one.user_id == current_user.id]
            set_committed_value(record, "responses", own)
        return record

    route.endpoint = route.dependant.call = get_own


def limit_guessing() -> None:
    """Let a login wait after failures in a row, by client and name: 1 s, 2 s, 4 s … and one at a time."""
    check = accounts.authenticate_user
    seen: OrderedDict[tuple[str, str], list[Any]] = OrderedDict()  # failures in a row, lock

    @wraps(check)
    async def check_slowly(db: Any, username: str, password: str) -> Any:
        tried = seen.setdefault((_client.get(), username), [0, asyncio.Lock()])
        seen.move_to_end((_client.get(), username))
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        async with tried[1]:
            if tried[0] >= _FREE:
                await asyncio.sleep(min(2.0 ** (tried[0] - _FREE), _LONGEST))
            user = await check(db, username, password)
            tried[0] = 0 if user else tried[0] + 1
        return user

    accounts.authenticate_user = check_slowly


def check_host(app: App, names: Collection[str]) -> App:
    """Wrap a web application so that it answers to addresses, localhost, this machine's name and `names`.

    A page of another site whose name is made to lead here could otherwise read what this server says.
    """
    known = {"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), *map(str.lower, names)}

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await app(scope, receive, send)
            return
        _client.set((scope.get("client") or ("",))[0])
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        if _is_known(host, known):
            await app(scope, receive, send)
        else:
            await _refuse(host, scope["type"], send)

    return checked


def _is_known(host: str, known: Collection[str]) -> bool:
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower().rstrip(".") in known
    return True


async def _refuse(host: str, kind: str, send: Any) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    name = host[:100]
    said = f"this server does not answer to the name '{name}'; if it should, start it with --name {name}"
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": said}).encode()})
