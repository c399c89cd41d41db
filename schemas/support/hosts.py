"""Hosts and the way to them: addresses of this machine, listening there, proxies and certificates.

Addresses of this machine are 127.0.0.1, ::1, [::1] and localhost. Errors name the environment variable; the
password of a proxy is never shown.
"""

import contextlib
import errno
import importlib
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ..errors import PreceptorError

CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("http", "https", "socks5", "socks5h")


def is_local(host: str) -> bool:
    """True if a host is this machine itself: others cannot reach it, and no proxy is needed."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


@contextlib.contextmanager
def open_listener(
    host: str, port: int, error: type[PreceptorError], waiting: int = 128
) -> Iterator[socket.socket]:
    """Open a listening socket before a server starts, so that a port in use fails at once.

    Port 0 takes a free one; `waiting` connections may wait to be accepted. Raises `error` if the host is no
    address of this machine or its port cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as failed:
        raise error(f"{host}: not an address of this machine ({failed.strerror}); mend --host") from failed
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(waiting)
        except OSError as failed:
            raise error(_explain_port(host, port, failed)) from failed
        yield listener


def _explain_port(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{host}:{port}: another program listens there; stop it, or choose another --port (0: any free)"
        )
    if error.errno == errno.EACCES:
        return f"{host}:{port}: you may not listen there; choose a --port above 1023"
    return f"{host}:{port}: cannot listen there ({error.strerror}); mend --host or --port"


def write_local_url(host: str, port: int) -> str:
    """Write the address for a browser on this machine of a server that listens on `host`."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared with, not listened on
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def hide_userinfo(address: str) -> str:
    """Remove user, password, query and fragment from an address, whether or not it is well-formed."""
    before, _, after = address.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return re.sub(r"[?#].*", "", scheme + slashes + after if slashes else after, flags=re.DOTALL)


def find_proxy(address: str) -> tuple[str | None, str]:
    """Find the environment variable that names a proxy for an address, and the proxy; (None, "") if none.

    Addresses of this machine, and those of NO_PROXY, need no proxy.
    """
    parts, found = urlsplit(address), getproxies()
    host = parts.hostname or ""
    if is_local(host) or proxy_bypass(host):
        return None, ""
    for scheme in (parts.scheme, "all"):
        if value := found.get(scheme):
            return next(_name_variables(f"{scheme}_proxy")), value
    return None, ""


def check_network(address: str, error: type[PreceptorError]) -> None:
    """Check the proxy and the certificates that a request to an address needs.

    Raises `error`, naming the variable, if they cannot be used.
    """
    variable, proxy = find_proxy(address)
    if proxy and (fault := _describe_proxy(proxy)):
        host = urlsplit(address).hostname
        raise error(f"{variable}: {fault}; mend or unset {variable}, or add {host} to NO_PROXY")
    if address.startswith("https:") or proxy.startswith("https:"):
        for name in CERTIFICATE_VARIABLES:
            if value := os.environ.get(name):
                _check_certificates(name, value, error)


def keep_local_direct(address: str) -> None:
    """Add a host of this machine to NO_PROXY for this process, so that no library asks a proxy for it."""
    host = urlsplit(address).hostname or ""
    if not is_local(host):
        return
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [one for one in os.environ.get(name, "").split(",") if one]
        if host not in hosts:
            os.environ[name] = ",".join([*hosts, host])


def _describe_proxy(proxy: str) -> str | None:
    """Describe why a proxy cannot be used, without its password; None if it can."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        usable = parts.scheme in _PROXIES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        return "is no address of a proxy (expected http://HOST:PORT)"
    if parts.scheme.startswith("socks"):
        try:
            importlib.import_module("socksio")
        except ImportError:
            return "names a SOCKS proxy, for which a package is missing (pip install 'httpx[socks]')"
    return None


def _check_certificates(name: str, value: str, error: type[PreceptorError]) -> None:
    try:
        if name == CERTIFICATE_VARIABLES[0]:
            ssl.create_default_context(cafile=value)
        elif not Path(value).is_dir():
            raise NotADirectoryError(2, "no such folder")
    except OSError as fault:
        said = fault.strerror or fault
        raise error(
            f"{name}: '{value}' cannot be read as certificates ({said}); mend or unset {name}"
        ) from fault


def _name_variables(lower: str) -> Iterator[str]:
    """Name the variable as it is spelt in the environment."""
    yield from (name for name in (lower, lower.upper()) if os.environ.get(name))
    yield "the system's proxy settings"
