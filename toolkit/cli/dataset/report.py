"""`preceptor report`: one page with pictures about a fit."""

from pathlib import Path

import click

from ..options import Common, common, open_stdout


@click.command()
@click.option("--fit", help="Key of the fit, or its first digits. Default: the newest fit.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="HTML file to write.",
)
@common
def report(settings: Common, fit: str | None, out: Path) -> None:
    """Write a report with pictures about a fit, as one HTML page."""
    from ...report.write import write_report
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        write_report(con, out, fit)
    open_stdout().print(f"written to {out}; open it in a browser")
