"""`preceptor annotate …`: people as annotators."""

import click

from .agreement import agreement
from .exclude import exclude, include
from .forms import export, import_
from .pull import pull
from .push import push
from .serve import serve


@click.group(no_args_is_help=True)
def annotate() -> None:
    """Ask annotators, read their answers, measure their agreement."""


for command in (serve, push, pull, export, import_, agreement, exclude, include):
    annotate.add_command(command)
