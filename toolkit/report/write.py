"""Write the report page of a fit, with the agreement of the annotators whose judgements it used."""

from dataclasses import asdict
from pathlib import Path

from ...schemas.support.files import write_text
from ...schemas.tables import SIGNALS, select_signals
from ..campaign.agreement import measure_source
from ..dataset.build import find_fit
from ..store.connection import Store, query
from ..store.folders import note_written
from .page import render_report

# Sources whose named annotators judged what the fit is about.
_JUDGED = f"""SELECT DISTINCT source FROM (
    {select_signals(", source", [s for s in SIGNALS if s.annotator], "annotator IS NOT NULL")})
WHERE completion IN (SELECT completion FROM effectiveness WHERE fit = $1) ORDER BY 1"""


def write_report(con: Store, out: Path, fit: str | None = None) -> None:
    """Write the HTML page about a fit: the newest, or the one whose key begins with `fit`.

    Raises StoreError if there is none, or several keys begin so.
    """
    key = find_fit(con, fit)["key"]
    agreed = [asdict(measure_source(con, source, fit=key)) for source in query(con, _JUDGED, [key])["source"]]
    text = render_report(con, key, agreed=agreed)
    note_written(con, out, "report")
    write_text(out, text)
