"""Hosts that nobody but this machine can mean: 127.0.0.1, ::1, [::1], localhost."""

import contextlib
import ipaddress


def is_local(host: str) -> bool:
    """Whether a host is this machine itself, which others cannot reach and no proxy leads to."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
