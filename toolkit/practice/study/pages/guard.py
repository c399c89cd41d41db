"""Stand between the network and the pages: hosts, sizes, rates, and what browsers may do with a page."""

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_BYTES = 64_000
_PATH_LETTERS = 300
_KEYS = 20_000  # of rates; more addresses than that begin afresh

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


@dataclass
class Rates:
    """Token buckets by key: `burst` at once, then `rate` a second."""

    burst: float
    rate: float
    buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, key: str, now: float) -> bool:
        """Take one token of a key's bucket; false if it is empty."""
        left, at = self.buckets.get(key, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.rate)
        if len(self.buckets) > _KEYS:
            self.buckets.clear()
        self.buckets[key] = (left - 1 if left >= 1 else left, now)
        return left >= 1


def wrap_app(app: App, hosts: Iterable[str], joins: Rates, posts: Rates) -> App:
    """Wrap the pages: refuse foreign hosts, long paths, large bodies, cross-site posts and floods."""
    allowed = {host.lower() for host in hosts}

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = _refuse(scope, headers, allowed, joins, posts)
        if refused:
            await _answer(send_with_headers, *refused)
            return
        await app(scope, receive, send_with_headers)

    return guarded


def _refuse(
    scope: Scope, headers: dict[str, str], allowed: set[str], joins: Rates, posts: Rates
) -> tuple[int, str] | None:
    """Tell with which status and words a request is refused; None where it is not."""
    host = headers.get("host", "").lower()
    if not is_known_host(host, allowed):
        return 421, "this server does not answer to that name; start it with --name NAME"
    if len(scope["path"]) > _PATH_LETTERS:
        return 414, "the address is too long"
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES or "transfer-encoding" in headers:
        return 413, "too large"
    if scope["method"] not in ("GET", "HEAD", "POST"):
        return 405, "GET and POST only"
    return _refuse_flood(scope, headers, host, joins, posts)


def _refuse_flood(
    scope: Scope, headers: dict[str, str], host: str, joins: Rates, posts: Rates
) -> tuple[int, str] | None:
    """Tell why a post from another site, or one of too many, is refused."""
    client, path, now = (scope.get("client") or ("", 0))[0], scope["path"], time.monotonic()
    if scope["method"] == "POST":
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2].lower() != host
        if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "from another site"
        if not posts.take(headers.get("cookie", "") or client, now):
            return 429, "too many answers at once; wait a moment"
    guesses = path.startswith(("/l/", "/t/")) or (path == "/join" and scope["method"] == "POST")
    if guesses and not joins.take(client, now):
        return 429, "too many attempts; wait a minute"
    return None


def is_known_host(host: str, allowed: set[str]) -> bool:
    """True if a Host header is one of the names, or an address: a foreign name may be pointed here."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.strip("[]")
    if name in allowed:
        return True
    return ":" in name or (name.count(".") == 3 and name.replace(".", "").isdigit())


async def _answer(send: Send, status: int, words: str) -> None:
    body = words.encode()
    head = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 429:
        head.append((b"retry-after", b"5"))
    head.append((b"connection", b"close"))  # the body was not read
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
