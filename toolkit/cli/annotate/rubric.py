"""`preceptor rubric …`: what annotators are asked."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import make_table, open_stdout, say
from .refine import refine

if TYPE_CHECKING:
    from ....schemas.rubric import Rubric


@click.group(no_args_is_help=True)
def rubric() -> None:
    """Write, check and show rubrics: what annotators are asked about completions."""


@rubric.command("list")
def list_() -> None:
    """List the rubrics that come with Preceptor."""
    from ....annotation.rubrics.rubric import list_rubrics

    rows = ((r.name, r.kind, _asked(r), r.title) for r in list_rubrics())
    open_stdout().print(make_table("rubrics", ("name", "kind", "answer", "title"), rows))


def _asked(rubric: "Rubric") -> str:
    if rubric.kind == "pairwise":
        return "a, b, tie" if rubric.tie else "a, b"
    return ", ".join(f"{c.name} 1–{len(c.levels)}" for c in rubric.criteria)


@rubric.command()
@click.argument("name")
@click.option(
    "--yaml",
    "as_yaml",
    is_flag=True,
    help="Print the YAML file instead, as a start for a rubric of your own.",
)
def show(name: str, as_yaml: bool) -> None:
    """Show what annotators see of the rubric NAME (or of a .yaml file), with the guidelines."""
    from ....annotation.rubrics.new import show_rubric
    from ....annotation.rubrics.rubric import read_rubric

    found = read_rubric(name)
    if as_yaml:
        say(found.yaml, nl=False)
        return
    say(show_rubric(found))
    say(found.guidelines, nl=False)


@rubric.command()
@click.argument("name")
@click.option("--from", "start_from", metavar="RUBRIC", help="Start with a copy of this rubric.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: NAME.yaml in the current folder.",
)
def new(name: str, start_from: str | None, out: Path | None) -> None:
    """Write a new rubric for you to edit: a YAML file, and guidelines beside it."""
    from ....annotation.rubrics.new import write_new_rubric

    written, guidelines = write_new_rubric(name, out or Path(f"{name}.yaml"), start_from)
    say(f"written: {written} and {guidelines}\nedit both, then: preceptor rubric check {written}")


@rubric.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> None:
    """Check the rubric in FILE, and show what annotators will see of it.

    Every error is reported with its file and line.
    """
    from ....annotation.rubrics.new import check_rubric, show_rubric

    found = check_rubric(file)
    say(show_rubric(found))
    say(f"guidelines: {len(found.guidelines.split()):,} words\ndigest: {found.digest}")


rubric.add_command(refine)
