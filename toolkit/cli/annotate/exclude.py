"""`preceptor annotate exclude` and `include`: who counts in fits."""

from typing import TYPE_CHECKING

import click

from ..options import Common, common, open_stdout, say

if TYPE_CHECKING:
    from ...fusion.influence.exclude import Excluded

_names = click.argument("names", nargs=-1, required=True, metavar="NAME…")
_within = click.option(
    "--within",
    metavar="SOURCE",
    help="Only annotators that this source numbers (3, annotator-3). Default: all who are called so.",
)


@click.command()
@_names
@_within
@common
def exclude(settings: Common, names: tuple[str, ...], within: str | None) -> None:
    """Leave annotators out of fits; what they judged stays, and include takes them in again.

    NAME is an id as in the input files, a pseudonym (or its first 6 digits or more), or a model's name.
    Fits made from now on do without them and record so. Printed are the pairs of the newest fit that should
    change, and the datasets that were built from it.
    """
    import polars as pl

    from ...fusion.influence.exclude import exclude_annotators, find_annotators
    from ...fusion.influence.forecast import forecast_change
    from ...store.connection import open_store

    with open_store(settings.store) as con:
        found = find_annotators(con, names, within).filter(pl.col("excluded_at").is_null())
        lines = forecast_change(con, found["pseudonym"].to_list())
        _report(exclude_annotators(con, names, within), "excluded")
    for line in lines:
        open_stdout().print(line)


@click.command()
@_names
@_within
@common
def include(settings: Common, names: tuple[str, ...], within: str | None) -> None:
    """Take annotators into fits again that were left out by exclude.

    NAME is as in preceptor annotate exclude.
    """
    from ...fusion.influence.exclude import include_annotators
    from ...store.connection import open_store

    with open_store(settings.store) as con:
        done = include_annotators(con, names, within)
    _report(done, "included")
    if done.changed:
        say("they count from the next fit on (preceptor fuse)")


def _report(done: "Excluded", state: str) -> None:
    for name in done.changed:
        say(f"{name}: {state}")
    for name in done.unchanged:
        say(f"{name}: was {state} already")
    if done.changed:
        say(
            f"{done.signals:,} votes and ratings "
            f"{'no longer count' if state == 'excluded' else 'count again'}"
        )
