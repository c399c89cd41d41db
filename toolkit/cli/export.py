"""`preceptor export FORMAT`: rows of the store as a file that other tools read."""

from pathlib import Path

import click

from .options import Common, common, stderr, stdout


@click.group()
def export() -> None:
    """Write rows of the store for other tools."""


@export.command(
    help="Write sentences and edits as M2.\n\n\b\n"
    "  S This are a sentence .\n"
    "  A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0\n\n"
    "A file that was in the form ERRANT writes comes back byte for byte."
)
@click.option("--source", required=True, help="Source whose sentences and edits are written.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="M2 file to write."
)
@common
def m2(settings: Common, source: str, out: Path) -> None:
    """Write sentences and edits as M2."""
    from ..export import export_m2
    from ..store import open_store

    with open_store(settings.store, read_only=True) as con:
        sentences, numbers = export_m2(con, source, out)
    stdout().print(f"{sentences:,} sentences written to {out}")
    if numbers:
        named = ", ".join(f"{number} = {name}" for name, number in numbers.items())
        stderr().print(f"M2 numbers its annotators: {named}")
