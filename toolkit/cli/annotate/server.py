"""Options that select the Argilla server of a command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ....annotation.server.accounts import HOME


def add_server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --api-url, --api-key and --home; the command gets them under these names."""
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
