"""`preceptor outcomes RECIPE`: what learners achieved, from study logs."""

from pathlib import Path

import click

from ..options import Common, common, open_stderr, open_stdout

HELP = """Compute outcomes from study logs by the rules of RECIPE.

\b
  name: my-outcomes
  outcomes:
    - {reviews: study-log, about: mnemonics, measure: turns}
    - {reviews: study-log, about: mnemonics, measure: success, after_days: 1}

An item of the log is the id of a completion. turns counts the failures before the first success; if the
log ends before it, the count is censored (a lower bound). success is the result of the first event after
after_days. Outcomes of an earlier run are replaced.
"""


@click.command(help=HELP)
@click.argument("recipe", type=click.Path(path_type=Path))
@common
def outcomes(settings: Common, recipe: Path) -> None:
    """Make the outcomes and say how many."""
    from ....schemas.recipe import read_recipe
    from ....schemas.support.numbers import format_count
    from ...fusion.outcomes import make_outcomes
    from ...store.connection import open_store

    read = read_recipe(recipe)
    with open_store(settings.store) as con:
        done = make_outcomes(con, read)
    for made in done:
        counted = format_count(made.outcomes, "outcome")
        open_stdout().print(f"{made.source}: {counted}, {made.censored:,} of them censored")
        if made.unknown:
            items = ("item of the log is no completion", "items of the log are no completions")
            unknown = format_count(made.unknown, *items)
            open_stderr().print(f"{unknown}; their reviews say nothing here")
