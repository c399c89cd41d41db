"""`preceptor exercises …`: exercises whose keys are proven by what annotators, teachers and authors wrote."""

from pathlib import Path

import click

from ..options import Common, common, make_table, open_stdout, say

HELP = """Make exercises from the edits and completions of the store, by RECIPE.

\b
  name: grammar
  sources: [essays]
  exercises: [cloze, choice, spot, rewrite, order]

Each key is an annotator's correction, and every annotator's answer is accepted; the wrong options of a choice
are what learners wrote. Prompts and completions become flashcards with explanations, problems with the number
that all worked solutions end in, and choices of a tutor's next move. All keys are proven before anything is
stored. Exercises of an earlier build of the same name are replaced.
"""


@click.group(no_args_is_help=True)
def exercises() -> None:
    """Make exercises with proven keys for learners, and write them to a file."""


@exercises.command(help=HELP)
@click.argument("recipe", type=click.Path(path_type=Path))
@common
def build(settings: Common, recipe: Path) -> None:
    """Make the exercises of a recipe."""
    from ....schemas.support.numbers import format_count
    from ...practice.exercises.build import build_exercises
    from ...practice.exercises.recipe import read_exercises
    from ...store.connection import open_store

    read = read_exercises(recipe)
    with open_store(settings.store) as con:
        done = build_exercises(con, read)
    out = open_stdout()
    rows = [(language, kind, f"{n:,}") for language, kind, n in done.counts.rows()]
    out.print(make_table(f"exercises of {read.name}", ("language", "kind", "number "), rows))
    proof = done.proof
    out.print(
        f"proven: {format_count(proof.keys, 'exercise')} by what annotators, teachers and authors wrote, "
        f"{format_count(proof.distractors, 'wrong option')} accepted by none of them"
    )
    if done.choices:
        out.print(f"{done.own:,} of {done.choices:,} choices offer what the learner wrote there")
    for kind in done.none_of:
        out.print(f"note: no exercise of kind {kind} could be made of these sources")
    if missing := done.no_band.describe():
        out.print(f"note: {missing}")
    for name in done.unused:
        out.print(f"note: no exercise was made of source {name}")


@exercises.command()
@click.argument("name")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, as JSON Lines.",
)
@common
def export(settings: Common, name: str, out: Path) -> None:
    """Write the exercises of the recipe NAME to a file, with their sources' licences."""
    from ....schemas.support.numbers import format_count
    from ...practice.exercises.build import export_exercises
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        written = export_exercises(con, name, out)
    say(f"written: {out} ({format_count(written, 'exercise')})")
