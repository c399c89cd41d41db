"""`preceptor exercises …`: exercises whose keys are proven by what annotators, teachers and authors wrote."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....schemas.errors import CHECK_FAILED
from ..models.options import (
    ModelOptions,
    add_model_options,
    open_backends,
    say_estimate,
    say_line,
    say_spent,
    watch_spending,
)
from ..options import (
    Common,
    add_option_record,
    add_where_options,
    common,
    make_table,
    open_stdout,
    read_name,
    say,
)

if TYPE_CHECKING:
    from ...practice.exercises.from_passages import WrittenQuestions
    from ...store.where import Where

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


@dataclass(frozen=True)
class _WriteArguments:
    """The command's own options as they are given."""

    judge: str
    where: "Where"
    k: int
    temperature: float
    max_tokens: int
    seed: int
    source: str | None
    license_id: str | None
    facts: Path | None
    retry_failed: bool


_WRITE = (
    click.option(
        "--judge",
        required=True,
        metavar="KIND:NAME",
        help="Model that checks each question, its two answers shown in both orders.",
    ),
    add_where_options("--source-of"),
    click.option(
        "--k", type=click.IntRange(1), default=1, show_default=True, help="Questions about each passage."
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(0),
        default=1.0,
        show_default=True,
        help="Sampling temperature of the writer.",
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(1),
        default=256,
        show_default=True,
        help="Maximum number of tokens of a question with its answers.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed."),
    click.option(
        "--source", callback=read_name, help="Name of the source of the replies. Default: NAME-questions."
    ),
    click.option(
        "--license",
        "license_id",
        help="Licence of what the model writes, as an SPDX id. Without one it is not published.",
    ),
    click.option(
        "--facts",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with columns subject, relation, object. Questions whose answer they contradict are "
        "dropped.",
    ),
    click.option("--retry-failed", is_flag=True, help="Ask again for what failed in an earlier run."),
)


@exercises.command()
@click.argument("name")
@add_option_record("given", _WriteArguments, *_WRITE)
@add_model_options
@common
def write(settings: Common, /, name: str, given: _WriteArguments, asked: ModelOptions) -> None:
    """Let a model write questions about passages, and keep those that hold as the exercises NAME.

    Passages are prompts of task passage, unless --task or --source-of name others. A question is kept if its
    answer stands in the passage, no fact contradicts it, and the judge takes the same answer for right in
    both orders. --max-cost and --max-requests bound the whole run, the judge too. Exercises are stored all at
    once; replies are kept, so the same command goes on after a stop.
    """
    from ....annotation.models.asking import AskOptions
    from ....annotation.models.requests import Sampling
    from ....schemas.licenses import read_license
    from ...practice.exercises.from_passages import TASK, WriteOptions, write_questions
    from ...store.connection import open_store

    (writer,) = open_backends(asked)
    (judge,) = open_backends(replace(asked, models=(given.judge,)))
    where = given.where if given.where.name_options() else replace(given.where, task=TASK)
    options = WriteOptions(
        where,
        given.k,
        Sampling(given.temperature, 1.0, given.max_tokens, given.seed),
        given.source,
        read_license(given.license_id),
        given.facts,
        asked.dry_run,
    )
    with open_store(settings.store, read_only=asked.dry_run) as con, watch_spending(writer) as watch:
        asking = AskOptions(asked.limits, retry_failed=given.retry_failed, say=say_line, watch=watch)
        done = write_questions(con, name, writer, judge, options, asking)
    if done.estimate:
        say_estimate(writer.name, done.estimate)
        say(f"then {judge.name}: two requests for each question that holds")
        return
    for spent in done.spent:
        say_spent(spent)
    _say_retention(name, done)
    if not done.kept:
        click.get_current_context().exit(CHECK_FAILED)


def _say_retention(name: str, done: "WrittenQuestions") -> None:
    """Print how many questions were written, dropped by reason, and kept."""
    from ....schemas.support.numbers import format_count, format_percent

    out = open_stdout()
    rows = [("asked for", f"{done.asked:,}")]
    rows += [(f"dropped: {reason}", f"{n:,}") for reason, n in done.dropped.items()]
    rows += [("kept", f"{done.kept:,}")]
    out.print(make_table(f"questions of {name}", ("", "number "), rows))
    facts = f", held against {format_count(done.facts, 'fact')}" if done.facts else ""
    share = format_percent(done.kept / done.asked) if done.asked else "none"
    out.print(f"retention: {share} of {format_count(done.asked, 'question')}{facts}")
    if not done.kept:
        out.print("nothing was stored")
