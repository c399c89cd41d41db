"""`preceptor build RECIPE --out DIR`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import Common, common, make_table, open_stdout

if TYPE_CHECKING:
    from ...dataset.gates.gate import GateResult


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write the dataset to.")
@click.option("--fit", help="Key of the fit, or its first digits. Default: the newest fit.")
@click.option(
    "--local", is_flag=True, help="Build for local use only: licences are not checked, and the card says so."
)
@common
def build(settings: Common, recipe: Path, out: Path, fit: str | None, local: bool) -> None:
    """Build a dataset by RECIPE, from a fit or from edits; a failed gate stops it (exit code 1)."""
    from ....schemas.errors import GateError
    from ....schemas.recipe import read_recipe
    from ...campaign.agreement import summarise_agreement
    from ...dataset.build import build as run_build
    from ...store.connection import open_store

    read = read_recipe(recipe)
    if local:
        read = read.model_copy(update={"publish_under": None})
    with open_store(settings.store) as con:
        try:
            done = run_build(con, read, out, fit, partial(summarise_agreement, con))
        except GateError as error:
            if error.gates:
                _say(f"{read.name}: not built", error.gates)
            raise
    console = open_stdout()
    _say(f"{read.name} ({f'fit {done.fit[:8]}' if done.fit else 'without a fit'})", done.gates)
    for config, splits in done.counts.items():
        console.print(f"{config}: {', '.join(f'{n:,} {split}' for split, n in splits.items()) or 'no rows'}")
    if done.dropped:
        console.print(f"dropped: {', '.join(f'{n:,} {why}' for why, n in done.dropped.items())}")
    console.print(f"written to {done.out}; read {done.out / 'README.md'}")


def _say(title: str, gates: "Sequence[GateResult]") -> None:
    """Print every gate's verdict and number."""
    rows = [
        (gate.name, "passed" if gate.passed else "FAILED", f"{gate.number:g}", gate.verdict) for gate in gates
    ]
    open_stdout().print(make_table(title, ("gate", "", "number ", ""), rows))
