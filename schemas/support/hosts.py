"""Addresses of this machine itself: 127.0.0.1, ::1, [::1], localhost."""

import contextlib
import ipaddress


def is_local(host: str) -> bool:
    """True if a host is this machine itself: others cannot reach it, and no proxy is needed."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
