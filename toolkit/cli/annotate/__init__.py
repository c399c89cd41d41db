"""`preceptor annotate …`: people as annotators."""

import click

from .forms import export, import_
from .serve import serve


@click.group(no_args_is_help=True)
def annotate() -> None:
    """Ask annotators, take their answers in, see whether they agree."""


annotate.add_command(serve)
annotate.add_command(export)
annotate.add_command(import_)
