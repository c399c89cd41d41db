"""`preceptor build RECIPE --out DIR`."""

from pathlib import Path

import click

from .options import Common, common, stdout, table


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--fit", help="Key of the fit, or its first digits; the newest if left out.")
@common
def build(settings: Common, recipe: Path, out: Path, fit: str | None) -> None:
    """Build a dataset by a recipe, from a fit or from edits; a red gate stops it (exit code 1)."""
    from ...schemas.recipe import read_recipe
    from ..build import build as run_build
    from ..store import open_store

    read = read_recipe(recipe)
    with open_store(settings.store) as con:
        done = run_build(con, read, out, fit)
    console = stdout()
    origin = f"fit {done.fit[:8]}" if done.fit else "without a fit"
    rows = [(gate.name, "passed", gate.verdict) for gate in done.gates]
    console.print(table(f"{read.name} ({origin})", ("gate", "", ""), rows))
    kept = ", ".join(f"{n:,} {split}" for split, n in done.counts.items())
    dropped = ", ".join(f"{n:,} {reason}" for reason, n in done.dropped.items())
    console.print(f"pairs: {kept}" + (f"; dropped: {dropped}" if dropped else ""))
    console.print(f"written to {done.out}; read {done.out / 'README.md'}")
