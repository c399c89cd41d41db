"""Which Argilla server a command talks to, and as whom."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.errors import AnnotationError
from ..options import stderr

if TYPE_CHECKING:
    from ....annotation.argilla.client import ArgillaClient

HOME = Path("annotation-home")


@dataclass(frozen=True)
class Place:
    """An address and a key, and what the embedded server's accounts say, if it is that one."""

    url: str
    api_key: str
    workspace: str | None = None
    annotators: tuple[str, ...] = ()


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--api-url, --api-key and --home, handed on under these names."""
    for option in (
        click.option(
            "--home",
            type=click.Path(path_type=Path),
            default=HOME,
            show_default=True,
            help="Folder of 'preceptor annotate serve', whose address and key are taken.",
        ),
        click.option(
            "--api-key",
            envvar="PRECEPTOR_ARGILLA_API_KEY",
            show_envvar=True,
            help="Of an owner or admin of that server; better given in the environment.",
        ),
        click.option(
            "--api-url",
            envvar="PRECEPTOR_ARGILLA_API_URL",
            show_envvar=True,
            metavar="URL",
            help="Another Argilla server than that of --home.",
        ),
    ):
        command = option(command)
    return command


def find_place(api_url: str | None, api_key: str | None, home: Path) -> Place:
    """The server that is named, else the embedded one of `home`. AnnotationError where neither is known."""
    if api_url:
        if not api_key:
            raise AnnotationError(
                f"no API key for {api_url}: set PRECEPTOR_ARGILLA_API_KEY to that of an owner or admin; in "
                "Argilla it stands under 'My settings'"
            )
        return Place(api_url, api_key)
    from ....annotation.server.accounts import FILE, OWNER, read_accounts

    if not (home / FILE).exists():
        raise AnnotationError(
            f"no server is named, and {home} holds none: start one with 'preceptor annotate serve', point "
            "--home at its folder, or --api-url at a server of your own"
        )
    found = read_accounts(home)
    annotators = tuple(name for name, account in found.accounts.items() if account.role == "annotator")
    return Place(found.url, found.accounts[OWNER].api_key, found.workspace, annotators)


@contextlib.contextmanager
def talking(place: Place) -> Iterator["ArgillaClient"]:
    """The server; what it is asked again is said."""
    from ....annotation.argilla.client import connected

    notices = stderr()
    with connected(place.url, place.api_key, lambda text: notices.print(text, markup=False)) as server:
        yield server
