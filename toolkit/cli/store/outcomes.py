"""`preceptor outcomes RECIPE`: what learners achieved, from study logs."""

from pathlib import Path

import click

from ..options import Common, common, open_stderr, open_stdout

HELP = """Turn study logs into outcomes by the recipe's rules.

\b
  outcomes:
    - {reviews: study-log, about: mnemonics, measure: turns}
    - {reviews: study-log, about: mnemonics, measure: success, after_days: 1}

An item of the log is the id of a completion. turns counts failures before the first success,
censored where the log ends before it; success is that of the first event after an interval.
Outcomes of an earlier run make way.
"""


@click.command(help=HELP)
@click.argument("recipe", type=click.Path(path_type=Path))
@common
def outcomes(settings: Common, recipe: Path) -> None:
    """Make the outcomes and say how many."""
    from rich.markup import escape

    from ....schemas.recipe import read_recipe
    from ...fusion.outcomes import make_outcomes
    from ...store.connection import open_store

    read = read_recipe(recipe)
    with open_store(settings.store) as con:
        done = make_outcomes(con, read)
    for made in done:
        open_stdout().print(
            f"[bold]{escape(made.source)}[/]: {made.outcomes:,} outcomes, {made.censored:,} of them censored"
        )
        if made.unknown:
            open_stderr().print(
                f"{made.unknown:,} items of the log are no completions; their reviews say nothing here"
            )
