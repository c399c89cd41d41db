"""`preceptor influence`: whose signals decide which pairs."""

from typing import Any

import click

from ....schemas.support.text import clean, dump_json
from ..options import Choice, Common, add_source_option, common, make_table, open_stderr, open_stdout, say

LISTED = 20  # units shown; --json has all
PAIRS = 5  # pairs shown


@click.command()
@click.option(
    "--by",
    type=Choice(["annotator", "learner", "source", "campaign"]),
    default="annotator",
    show_default=True,
    help="What is left out, one after another: all signals of an annotator, learner, source or campaign.",
)
@add_source_option("The fit of this source only. May be repeated. Default: the fit of all sources.")
@click.option(
    "--no-refit",
    is_flag=True,
    help="Do not fit again where the fit's draws do not tell; such rows say refit needed.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for scripts: all units, and all pairs that move."
)
@common
def influence(settings: Common, by: str, sources: tuple[str, ...], no_refit: bool, as_json: bool) -> None:
    """Show which pairs would flip, and how p would move, if one annotator (or other unit) were left out.

    Weights the stored draws of the newest fit (Pareto-smoothed importance sampling), which takes seconds. k
    says whether that can be trusted: where it is above 0.7 for some pair, or what all prompts share would
    shift by more than 0.6, the model is fitted again without the unit, unless --no-refit is given. A pair
    flips if p crosses a half; it moves if p changes by more than 0.05. Nothing is stored.
    """
    from ...store.connection import open_store
    from ..progress import show_bar

    with open_store(settings.store, read_only=True) as con:
        from ...fusion.influence.influence import measure_influence

        with show_bar("influence", open_stderr()) as update:
            found = measure_influence(con, by, sources, not no_refit, update)
    units, changes = found.units.to_dicts(), found.changes.to_dicts()
    if as_json:
        say(dump_json({"fit": found.fit, "by": by, "units": units, "changes": changes}))
        return
    out = open_stdout()
    out.print(
        make_table(
            f"fit {found.fit[:8]} without each {by}",
            (by, "signals ", "pairs ", "flips ", "moved ", "largest ", "k ", "shift ", "by"),
            map(_list_unit, units[:LISTED]),
        )
    )
    if len(units) > LISTED:
        out.print(f"{len(units) - LISTED:,} more with fewer flips: --json lists all")
    if changes:
        rows = [
            (
                clean(c["unit"], 30),
                f"{c['completion_a'][:8]} {c['completion_b'][:8]}",
                f"{c['p']:.2f} -> {c['without']:.2f}",
            )
            for c in changes[:PAIRS]
        ]
        out.print(make_table("largest changes of p", (f"without {by}", "pair", "p"), rows))


def _list_unit(unit: dict[str, Any]) -> tuple[str, ...]:
    return (
        clean(unit["unit"], 30),
        *(f"{unit[name]:,}" for name in ("signals", "pairs", "flips", "moved")),
        f"{unit['largest']:.2f}",
        "" if unit["k"] == float("-inf") else f"{unit['k']:.2f}",
        f"{unit['shift']:.2f}",
        unit["by"],
    )
