"""Argilla's pages fetch their fonts from Google, which so learns of every annotator; here they may not.

The browser is told so with each page (Content-Security-Policy) and takes a font of its own instead. Nor
does it fetch a picture that somebody put into a text from elsewhere, or send a form there.
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
    """The same web application, whose pages fetch styles, fonts and data from nowhere else."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", POLICY)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_guarded if scope["type"] == "http" else send)

    return guarded
