"""`preceptor start`: the folder of a new project."""

import sys
from pathlib import Path

import click

from ..options import Choice, say

_HAVE = ("texts", "votes", "ratings", "log", "corpus", "nothing")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--have",
    multiple=True,
    type=Choice(_HAVE),
    help="What you have: texts, votes, ratings, a study log, a corpus, or nothing yet. May be repeated.",
)
@click.option("--yes", is_flag=True, help="Ask nothing; without --have: texts, votes and ratings.")
def start(folder: Path, have: tuple[str, ...], yes: bool) -> None:
    """Begin a project in FOLDER: tables to fill in, each with an example, and the commands to a report.

    FOLDER is new or empty; by default it is the current one. What one has is asked, unless --have or --yes
    says it.
    """
    from ....schemas.errors import SourceError
    from ...recipes.project.start import HAVE, start_project

    chosen = list(have)
    if not chosen and yes:
        chosen = ["texts", "votes", "ratings"]
    elif not chosen:
        if not _is_terminal():
            raise SourceError(
                f"say what you have: --have {', --have '.join(_HAVE)}; or --yes for texts, votes and ratings"
            )
        say("What do you have? (Enter is no)")
        chosen = [name for name, (what, *_) in HAVE.items() if click.confirm(f"  {what}")] or ["nothing"]
    done = start_project(folder, chosen)
    say(f"written to {done.folder}: {', '.join(done.files)}")
    say("next" + ("" if folder == Path() else f", after cd {folder}") + " (README.md says it too):")
    for line in done.commands:
        say(f"  {line}")


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
