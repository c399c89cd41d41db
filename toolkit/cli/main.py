"""`preceptor`: from raw signals to preference datasets.

Exit codes: 0 done, 1 a gate or check failed, 2 wrong usage or unreadable input.
"""

import os
import sys
from pathlib import Path

import click

from ... import __version__
from ...schemas.errors import BAD_INPUT, PreceptorError
from . import options
from .annotate import annotate
from .build import build
from .demo import demo
from .diff import diff
from .evaluate import evaluate
from .export import export
from .forget import forget, pseudonym
from .fuse import fuse
from .generate import generate
from .ingest import ingest
from .judge import judge
from .outcomes import outcomes
from .publish import publish
from .publish_model import publish_model
from .pull import pull
from .report import report
from .rubric import rubric
from .scan import scan
from .status import status
from .train import merge, train
from .why import why


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "PRECEPTOR"},
    help="Turn what learners do and what annotators say into preference datasets.\n\n\b\n"
    "  preceptor ingest smart data/smart --source smart\n"
    "  preceptor fuse\n"
    "  preceptor build recipes/mnemonic/dataset.yaml --out dist/mnemonic",
)
@click.version_option(__version__, prog_name="preceptor")
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("preceptor.duckdb"),
    show_default=True,
    envvar="PRECEPTOR_STORE",
    show_envvar=True,
    help="The project's DuckDB file.",
)
@click.option("--debug", is_flag=True, envvar="PRECEPTOR_DEBUG", help="Show tracebacks.")
@click.pass_context
def cli(context: click.Context, store: Path, debug: bool) -> None:
    """Turn what learners do and what annotators say into preference datasets."""
    context.obj = options.Common(store=store, debug=debug)


for command in (
    ingest,
    outcomes,
    fuse,
    build,
    diff,
    why,
    publish,
    pull,
    export,
    status,
    report,
    scan,
    forget,
    pseudonym,
    demo,
    rubric,
    annotate,
    generate,
    judge,
    train,
    merge,
    publish_model,
    evaluate,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; the one place where errors become messages and exit codes."""
    try:
        cli.main()
    except (PreceptorError, OSError) as error:
        if "--debug" in sys.argv or os.environ.get("PRECEPTOR_DEBUG"):
            raise
        if isinstance(error, PreceptorError):
            click.echo(f"preceptor: {error}", err=True)
            sys.exit(error.exit_code)
        click.echo(f"preceptor: {error.filename or 'input or output'}: {error.strerror or error}", err=True)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
