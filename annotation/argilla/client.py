"""Talk to an Argilla server (2.8) over its documented HTTP API, with plain error messages.

    with connect("http://127.0.0.1:6900", key) as server:
        server.get("me")["username"]

The client library is not used: it drops the `rank` of rankings and needs packages it does not declare.
The API key goes into a header and nowhere else.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from ...schemas.errors import AnnotationError
from ...schemas.support.hosts import check_network, hide_userinfo, is_local
from ...schemas.support.retry import retry

KEY_VARIABLE = "PRECEPTOR_ARGILLA_API_KEY"
WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before each new attempt
LONGEST_WAIT = 60.0  # of what the server itself asks for
PAGE = 500  # records a request: the most the server takes at once
TIMEOUT = httpx.Timeout(120.0, connect=10.0)
_PASSING = {408, 429, 500, 502, 503, 504}
Say = Callable[[str], object]
Json = dict[str, Any]


@dataclass(frozen=True)
class ArgillaClient:
    """A connection to an Argilla server, and the user of its API key."""

    url: str
    user: str
    role: str
    client: httpx.Client = field(repr=False)
    say: Say = field(repr=False, default=lambda _: None)

    def get(self, path: str, **query: Any) -> Json:
        """Get the JSON at a path below /api/v1."""
        return self._ask("GET", path, again=True, params=query)

    def post(self, path: str, body: Json, again: bool = False, **query: Any) -> Json:
        """Post `body`; retry after a transient failure only if `again` is true."""
        return self._ask("POST", path, again=again, json=body, params=query)

    def put(self, path: str, body: Json) -> Json:
        """Put `body`; retry after a transient failure."""
        return self._ask("PUT", path, again=True, json=body)

    def patch(self, path: str, body: Json) -> Json:
        """Patch with `body`; retry after a transient failure."""
        return self._ask("PATCH", path, again=True, json=body)

    def _ask(self, method: str, path: str, again: bool, **what: Any) -> Json:
        answer = _send(self.client, method, path, again, self.say, **what)
        try:
            found: Json = answer.json()
        except ValueError as error:
            raise AnnotationError(
                f"{self.url}: answers {path} with something that is no JSON; is it an Argilla server?"
            ) from error
        return found


class RefusedError(AnnotationError):
    """The server answered with an error; `status` is HTTP's, `wait` the seconds that it asks to wait."""

    def __init__(self, message: str, status: int, wait: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.wait = wait


@contextlib.contextmanager
def connect(url: str, api_key: str, say: Say = lambda _: None) -> Iterator[ArgillaClient]:
    """Connect to a server; AnnotationError if it does not answer or does not know the key."""
    base = _base(url)
    api_key = api_key.strip()
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key or not api_key:
        raise AnnotationError(
            f"the API key ({KEY_VARIABLE} or --api-key) holds a space or a sign that no key has; "
            "copy it again"
        )
    check_network(base, AnnotationError)
    host = httpx.URL(base).host
    headers = {"X-Argilla-Api-Key": api_key}
    with httpx.Client(
        base_url=f"{base}/api/v1/", headers=headers, timeout=TIMEOUT, trust_env=not is_local(host)
    ) as client:
        shown = hide_userinfo(base)
        try:
            _send(client, "GET", "version", True, say, wait_for_it=False)
        except RefusedError as error:
            raise RefusedError(f"{shown}: is no Argilla server: {error}", error.status) from error
        me = ArgillaClient(shown, "", "", client, say).get("me")
        yield ArgillaClient(shown, me["username"], me["role"], client, say)


def _base(url: str) -> str:
    """The address without a slash at its end; AnnotationError if it is none."""
    given = url.strip().rstrip("/")
    if "://" not in given:
        given = f"http://{given}"
    try:
        parsed = httpx.URL(given)
    except httpx.InvalidURL as error:
        raise AnnotationError(f"--api-url {hide_userinfo(url)}: is no address") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise AnnotationError(
            f"--api-url {hide_userinfo(url)}: expected an address such as http://127.0.0.1:6900"
        )
    return given


def _send(
    client: httpx.Client,
    method: str,
    path: str,
    again: bool,
    say: Say,
    wait_for_it: bool = True,
    **what: Any,
) -> httpx.Response:
    """Send a request, retrying transient failures, `len(WAITS)` times at most, and return a good answer.

    A server that does not answer at all is retried only with `wait_for_it`.
    """

    def send() -> httpx.Response:
        try:
            answer = client.request(method, path, **what)
        except httpx.TransportError as error:
            raise AnnotationError(_unreachable(client, error)) from error
        if not answer.is_success:
            raise RefusedError(_refusal(client, path, answer), answer.status_code, _asked_wait(answer))
        return answer

    def pause_after(error: Exception, wait: float) -> float | None:
        if isinstance(error, RefusedError):
            # Too many requests: nothing was done, so any request can be retried.
            retriable = error.status == 429 or (again and error.status in _PASSING)
            wait = max(wait, error.wait)
        elif isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
            retriable = wait_for_it
        else:
            retriable = again and isinstance(error.__cause__, httpx.TransportError)
        if retriable:
            say(f"{str(error).partition(';')[0]}; asking again in {wait:g} s")
        return wait if retriable else None

    return retry(send, WAITS, pause_after)


def _asked_wait(answer: httpx.Response) -> float:
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), LONGEST_WAIT) if asked.isdigit() else 0.0


def _unreachable(client: httpx.Client, error: httpx.TransportError) -> str:
    base = hide_userinfo(str(client.base_url)).removesuffix("/api/v1/")
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return (
            f"{base}: no server answers there ({error}); start one with 'preceptor annotate serve', or point "
            "--api-url at one"
        )
    what = "takes too long" if isinstance(error, httpx.TimeoutException) else "broke off"
    return (
        f"{base}: the server {what} ({type(error).__name__}: {error}); nothing is lost: "
        "when it runs again, run this command again, which goes on where it stopped"
    )


def _refusal(client: httpx.Client, path: str, answer: httpx.Response) -> str:
    """Error message: the server's explanation, and what to do."""
    base, status = str(client.base_url).removesuffix("/api/v1/"), answer.status_code
    if status == 401:
        return (
            f"{base}: does not know this API key; that of the embedded server's owner lies in accounts.json "
            "of its --home; elsewhere it stands in Argilla under 'My settings'"
        )
    if status == 403:
        return f"{base}: this API key's owner may not do that ({path}); use that of an owner or admin"
    words = _words(answer)
    if status >= 500 or status == 429:
        return (
            f"{base}: the server fails (HTTP {status}{f': {words}' if words else ''}); nothing is lost: "
            "run this command again later, which goes on where it stopped"
        )
    return f"{base}: refuses {path} (HTTP {status}{f': {words}' if words else ''})"


def _words(answer: httpx.Response) -> str:
    """The server's own explanation, short."""
    try:
        detail = answer.json().get("detail", "")
    except (ValueError, AttributeError):
        return ""
    if isinstance(detail, dict):
        detail = detail.get("params", detail)
        detail = detail.get("message", detail.get("detail", detail)) if isinstance(detail, dict) else detail
    return " ".join(str(detail).split())[:300]
