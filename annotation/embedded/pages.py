"""Argilla's pages fetch their fonts from Google, which so learns of every annotator; here they may not.

The browser is told so with each page (Content-Security-Policy) and takes a font of its own instead.
"""

from collections.abc import Awaitable, Callable
from typing import Any

POLICY = b"style-src 'self' 'unsafe-inline'; font-src 'self' data:; connect-src 'self'"

App = Callable[[Any, Any, Any], Awaitable[None]]


def keep_to_this_server(app: App) -> App:
    """The same web application, whose pages fetch styles, fonts and data from nowhere else."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", POLICY)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_guarded if scope["type"] == "http" else send)

    return guarded
