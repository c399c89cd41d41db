"""`preceptor report`: one page with pictures about a fit."""

from pathlib import Path

import click

from .options import Common, common, stdout


@click.command()
@click.option("--fit", help="Key of the fit, or its first digits; the newest if left out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="HTML file to write.",
)
@common
def report(settings: Common, fit: str | None, out: Path) -> None:
    """Write a one-page HTML report with pictures about a fit."""  # fmt: skip
    from ..store import open_store

    with open_store(settings.store, read_only=True) as con:
        from ..build import find_fit
        from ..files import write_text
        from ..report.page import render_report

        key = find_fit(con, fit)["key"]
        write_text(out, render_report(con, key))
    stdout().print(f"written to {out}; open it in a browser")
