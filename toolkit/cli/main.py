"""`preceptor`: from raw signals to preference datasets.

Exit codes: 0 done, 1 a gate or check failed, 2 wrong usage or unreadable input.
"""

import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import click

from ... import __version__
from ...schemas.errors import BAD_INPUT, PreceptorError
from ..store.places import use_store
from . import options
from .annotate import annotate
from .annotate.rubric import rubric
from .dataset.build import build
from .dataset.diff import diff
from .dataset.fuse import fuse
from .dataset.influence import influence
from .dataset.publish import publish
from .dataset.pull import pull
from .dataset.recipe import recipe
from .dataset.report import report
from .demo.command import demo
from .ingest.command import ingest
from .ingest.start import start
from .models.evaluate import evaluate
from .models.generate import generate
from .models.judge import judge
from .models.publish_model import publish_model
from .models.train import merge, train
from .practice.exercises import exercises
from .practice.learn import learn
from .practice.learner import learner
from .practice.recommend import recommend
from .practice.study import study
from .screen import clean_text
from .store.drop import drop
from .store.export import export
from .store.forget import forget, pseudonym
from .store.outcomes import outcomes
from .store.scan import scan
from .store.status import status
from .store.why import why


@click.group(
    cls=options.PlainGroup,
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
    help="DuckDB file of the project.",
)
@click.option("--debug", is_flag=True, envvar="PRECEPTOR_DEBUG", help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, store: Path, debug: bool) -> None:
    """Turn what learners do and what annotators say into preference datasets."""
    context.obj = options.Common(store=store, debug=debug)
    context.with_resource(use_store(store))


# In the order in which a project needs them; `preceptor --help` shows these headings.
WALK: dict[str, tuple[click.Command, ...]] = {
    "Start": (start, demo, status, recipe),
    "Bring data in": (ingest, pull, outcomes, drop),
    "Ask people and models": (rubric, annotate, generate, judge),
    "Teach learners": (exercises, study, learn, learner, recommend),
    "Fuse": (fuse, influence, report),
    "Build and publish": (build, diff, why, publish, export),
    "Train and compare": (train, merge, evaluate, publish_model),
    "People and their data": (scan, forget, pseudonym),
}
for commands in WALK.values():
    for command in commands:
        cli.add_command(command)
cli.sections = WALK


def main() -> None:
    """Run the command line; the one place where errors become messages and exit codes."""
    warnings.formatwarning = _format_warning  # type: ignore[assignment]
    sys.excepthook = _show_error
    try:
        cli.main()
    except (PreceptorError, OSError) as error:
        if "--debug" in sys.argv or os.environ.get("PRECEPTOR_DEBUG"):
            raise
        if isinstance(error, PreceptorError):
            options.say(f"preceptor: {error}", err=True)
            sys.exit(error.exit_code)
        what = f"preceptor: {error.filename or 'input or output'}: {error.strerror or error}"
        options.say(what, err=True)
        sys.exit(BAD_INPUT)


def _format_warning(
    message: Warning | str, kind: type[Warning], path: str, line: int, _code: str | None = None
) -> str:
    """Word a library's warning, which may repeat names and texts of others."""
    return clean_text(f"{path}:{line}: {kind.__name__}: {message}\n")


def _show_error(*error: Any) -> None:
    """Print the traceback of an error, whose message may repeat names and texts of others."""
    options.say("".join(traceback.format_exception(*error)).rstrip(), err=True)


if __name__ == "__main__":
    main()
