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
            help="Folder of 'preceptor annotate serve': its address and API key are used.",
        ),
        click.option(
            "--api-key",
            envvar="PRECEPTOR_ARGILLA_API_KEY",
            show_envvar=True,
            help="API key of an owner or admin of that server. It is safer in the environment.",
        ),
        click.option(
            "--api-url",
            envvar="PRECEPTOR_ARGILLA_API_URL",
            show_envvar=True,
            metavar="URL",
            help="Address of another Argilla server than the one of --home.",
        ),
    ):
        command = option(command)
    return command
