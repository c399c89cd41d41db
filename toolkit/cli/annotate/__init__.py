"""`preceptor annotate …`: people as annotators."""

import click

from .serve import serve


@click.group(no_args_is_help=True)
def annotate() -> None:
    """Ask annotators, take their answers in, see whether they agree."""


annotate.add_command(serve)
