"""Forbid Argilla's pages to fetch anything from other servers.

The pages ask Google for fonts, and so would tell Google of every annotator. The header
Content-Security-Policy forbids it and the browser takes one of its own fonts. It also forbids pictures from
other servers in texts, and forms that are sent there.
"""

from collections.abc import Awaitable, Callable
from typing import Any

POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"font-src 'self' data:; img-src 'self' data: blob:; media-src 'self' data: blob:; object-src 'none'; "
    b"connect-src 'self'; base-uri 'self'; form-action 'self'"
)

App = Callable[[Any, Any, Any], Awaitable[None]]


def keep_to_this_server(app: App) -> App:
    """Wrap a web application so that its pages fetch styles, fonts and data from this server alone."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", POLICY)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_guarded if scope["type"] == "http" else send)

    return guarded
