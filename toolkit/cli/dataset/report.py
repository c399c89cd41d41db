"""`preceptor report`: one page with pictures about a fit."""

from dataclasses import asdict
from pathlib import Path

import click

from ....schemas.tables import SIGNALS, select_signals
from ..options import Common, common, stdout

# Sources whose named annotators judged what the fit is about.
_JUDGED = f"""SELECT DISTINCT source FROM (
    {select_signals(", source", [s for s in SIGNALS if s.annotator], "annotator IS NOT NULL")})
WHERE completion IN (SELECT completion FROM effectiveness WHERE fit = $1) ORDER BY 1"""


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
    """Write a one-page HTML report with pictures about a fit."""
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        from ....schemas.support.files import write_text
        from ...campaign.agreement import measure_source
        from ...dataset.build import find_fit
        from ...report.page import render_report
        from ...store.connection import query

        key = find_fit(con, fit)["key"]
        judged = query(con, _JUDGED, [key])["source"]
        agreed = [asdict(measure_source(con, source)) for source in judged]
        write_text(out, render_report(con, key, agreed=agreed))
    stdout().print(f"written to {out}; open it in a browser")
