"""Versions that an output names: of Python and of the libraries it was made with."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def read_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Read the versions of Python and of those libraries that are installed, by name."""
    found = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
