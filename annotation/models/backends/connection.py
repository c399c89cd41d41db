"""Connect to an OpenAI-compatible address: its key, the proxy on the way, and certificates.

Keys, proxies and certificates come from environment variables; an error names the variable, never its value.
"""

import functools
import os
import ssl
from dataclasses import dataclass, field

import httpx

from ....schemas.errors import AnnotationError
from ....schemas.support.hosts import CERTIFICATE_VARIABLES, find_proxy, hide_userinfo
from .hidden import find_passwords, find_spellings, hide

KEY_VARIABLES = ("PRECEPTOR_API_KEY", "OPENAI_API_KEY")
_SECONDS = httpx.Timeout(600.0, connect=20.0)  # a busy server on a laptop takes minutes for a long answer


@dataclass(frozen=True)
class Endpoint:
    """Address of a model; the key is read from the environment and never shown."""

    base_url: str = field(repr=False)
    model: str
    key: str | None = field(default=None, repr=False)
    proxy: str | None = None
    """Environment variable that names the proxy on the way; None: there is no proxy."""
    spellings: tuple[str, ...] = field(default=(), repr=False)
    """Spellings of all secrets that a request has."""

    @property
    def shown(self) -> str:
        """The address without user and password, for messages."""
        return hide_userinfo(self.base_url)

    def hide(self, text: str) -> str:
        """Remove the key and passwords from a text, in whatever spelling a server or library repeats them."""
        return hide(text, self.spellings)


def make_endpoint(base_url: str | None, model: str) -> Endpoint:
    """Make the endpoint at an address, with the key of the environment.

    Raises AnnotationError if the address is missing or invalid, or the key cannot be sent.
    """
    if not base_url or not base_url.strip():
        raise AnnotationError(
            "no endpoint: give --base-url (or PRECEPTOR_BASE_URL), such as http://127.0.0.1:8000/v1"
        )
    base_url = base_url.strip()
    shown = hide_userinfo(base_url)
    secrets = find_passwords(base_url)
    try:
        address = httpx.URL(base_url)
    except (httpx.InvalidURL, ValueError) as error:
        said = "not an address" if secrets else error
        raise AnnotationError(f"--base-url '{shown}': {said}") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise AnnotationError(f"--base-url '{shown}': expected http://… or https://…")
    if address.query or address.fragment:
        raise AnnotationError(
            f"--base-url '{shown}': expected no '?' and '#' in it; a key belongs in {KEY_VARIABLES[0]}"
        )
    key = read_key()
    proxy, proxy_address = find_proxy(base_url)
    spellings = find_spellings([*secrets, *find_passwords(proxy_address), *([key] if key else [])])
    return Endpoint(base_url.rstrip("/"), model, key, proxy, spellings)


def read_key() -> str | None:
    """Read the API key from the first of KEY_VARIABLES that has one, without white space around it.

    Raises AnnotationError, naming the variable, if it has a character that no HTTP header can carry.
    """
    for name in KEY_VARIABLES:
        if key := os.environ.get(name, "").strip():
            for at, character in enumerate(key, 1):
                if fault := _describe_fault(character):
                    raise AnnotationError(
                        f"{name}: character {at} of {len(key)} is {fault}, which no HTTP header can "
                        "carry; copy the key again and set the variable to it alone"
                    )
            return key
    return None


def _describe_fault(character: str) -> str:
    """Describe why a header cannot carry a character; "" if it can."""
    if character in "\r\n":
        return "a line break"
    if ord(character) < 32 or ord(character) == 127:
        return "a control character"
    return "outside Latin-1 (a typographic quote or dash, say)" if ord(character) > 255 else ""


def connect(where: Endpoint) -> httpx.AsyncClient:
    """Open a client for many requests; use it as a context. A proxy is used only if `where` names one.

    Raises AnnotationError, naming the variable, if the proxy or the certificates cannot be used.
    """
    _, proxy = find_proxy(where.base_url) if where.proxy else (None, "")
    proxy = proxy if "://" in proxy or not proxy else f"http://{proxy}"
    needed = where.base_url.startswith("https:") or proxy.startswith("https:")
    verify = _read_certificates(*map(os.environ.get, CERTIFICATE_VARIABLES)) if needed else False
    try:
        return httpx.AsyncClient(timeout=_SECONDS, verify=verify, proxy=proxy or None, trust_env=False)
    except ImportError:
        raise AnnotationError(
            f"{where.proxy}: names a SOCKS proxy, for which a package is missing: pip install "
            f"'httpx[socks]', or unset {where.proxy}, or add {httpx.URL(where.base_url).host} to NO_PROXY"
        ) from None
    except (ValueError, httpx.InvalidURL):
        raise AnnotationError(
            f"{where.proxy}: '{hide_userinfo(proxy)}' is no address of a proxy; expected "
            f"http://HOST:PORT, or unset {where.proxy}"
        ) from None


@functools.cache
def _read_certificates(*_: str | None) -> ssl.SSLContext:
    """Read certificates once: that takes longer than a short answer."""
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        name = next(
            (name for name in CERTIFICATE_VARIABLES if os.environ.get(name)), CERTIFICATE_VARIABLES[0]
        )
        said = getattr(error, "strerror", None) or error
        raise AnnotationError(
            f"{name}: '{os.environ.get(name, '')}' cannot be read as certificates ({said}); set it to "
            "a PEM file, or unset it"
        ) from error
