"""`preceptor annotate …`: people as annotators."""

import click

from .pull import pull
from .push import push
from .serve import serve


@click.group(no_args_is_help=True)
def annotate() -> None:
    """Ask annotators, take their answers in, see whether they agree."""


annotate.add_command(serve)
annotate.add_command(push)
annotate.add_command(pull)
