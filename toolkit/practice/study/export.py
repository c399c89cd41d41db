"""Write a study's results for other programs: CSV, xAPI statements, or a deck for Anki.

csv    learner,item,shown,at,kind,correct,grade,duration_ms,completion,arm,propensity     pseudonyms alone
xapi   one statement a line; `preceptor ingest xapi` reads them again
anki   one note an item: what is asked, the accepted answer, the explanation that helps most, and the sources
       of all its texts with their licences; the keys of item and explanation are fields that no card shows,
       by which `preceptor ingest anki` knows them again
"""

import csv
import hashlib
import html
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import genanki
import polars as pl

from ....schemas.errors import StudyError
from ....schemas.support.files import open_whole_file, replace_file
from ...store.connection import Store, query
from ...store.places import note_place
from .journal.database import HOME, Journal, locate_journal, open_journal
from .journal.items import find_item

FORMATS = ("csv", "xapi", "anki")
_COLUMNS = (
    "learner", "item", "at", "kind", "correct", "grade", "duration_ms", "completion", "arm", "propensity",
)  # fmt: skip
_ROWS = """
SELECT r.learner, r.item, r.at, r.kind, r.correct, r.grade, r.duration_ms, a.completion, a.arm, a.propensity,
    r.key
FROM reviews r LEFT JOIN assignments a ON a.source = r.source AND a.learner = r.learner AND a.item = r.item
    AND a.at < r.at
WHERE r.source = ? ORDER BY r.at, r.path, r.line, r.n"""
_BEST = """
SELECT prompt, arg_max(completion, mean) AS completion FROM incoming
JOIN (SELECT completion, mean FROM effectiveness WHERE fit = (SELECT key FROM fits WHERE converged
    ORDER BY fitted_at DESC, key LIMIT 1)) USING (completion) GROUP BY prompt"""


def export_study(con: Store, store: Path, study: str, format: str, out: Path, home: Path = HOME) -> int:
    """Write a study's results to a file that only its owner can read; return how many rows or notes.

    Raises StudyError if the study was not pulled, or for `anki` its journal is not in `home`.
    """
    if not query(con, "SELECT 1 FROM studies WHERE source = ?", [study]).height:
        raise StudyError(f"'{study}' is no study of this store; preceptor status lists its sources")
    note_place(store, out.absolute(), "export")
    if format == "anki":
        return _write_deck(con, study, out, home)
    rows = query(con, _ROWS, [study])
    lines = _list_statements(rows, study) if format == "xapi" else _list_csv(rows)
    with open_whole_file(out, 0o600) as stream:
        for line in lines:
            stream.write(line.encode())
    return rows.height


def _list_csv(rows: pl.DataFrame) -> Iterator[str]:
    yield f"{','.join(_COLUMNS)}\n"
    for row in rows.select(_COLUMNS).iter_rows():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(
            ["" if v is None else v.isoformat() if isinstance(v, datetime) else v for v in row]
        )
        yield text.getvalue()


def _list_statements(rows: pl.DataFrame, study: str) -> Iterator[str]:
    """Write attempts as xAPI 1.0.3 statements; a statement's id is the row's: sent twice it is one."""
    for row in rows.filter(pl.col("correct").is_not_null()).iter_rows(named=True):
        digest = hashlib.sha256(row["key"].encode()).hexdigest()
        result: dict[str, Any] = {"success": row["correct"]}
        if row["duration_ms"] is not None:
            result["duration"] = f"PT{row['duration_ms'] / 1000:g}S"
        statement = {
            "id": f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}",
            "actor": {"account": {"homePage": "https://preceptor.invalid", "name": row["learner"]}},
            "verb": {"id": "http://adlnet.gov/expapi/verbs/answered"},
            "object": {"id": f"urn:preceptor:{study}:{row['item']}"},
            "result": result,
            "timestamp": row["at"].isoformat(),
        }
        yield json.dumps(statement, ensure_ascii=False) + "\n"


def _write_deck(con: Store, study: str, out: Path, home: Path) -> int:
    with open_journal(locate_journal(home, study)) as journal:
        ids = [
            row[0] for row in journal.execute("SELECT id FROM items WHERE NOT withdrawn ORDER BY position")
        ]
        items = [item for id in ids if (item := find_item(journal, id))]
        best = choose_explanations(con, journal)
    licences = dict(query(con, "SELECT name, license FROM sources").rows())
    number = int(hashlib.sha256(study.encode()).hexdigest()[:7], 16)
    model = genanki.Model(
        number + 2,  # another number than of decks whose notes had four fields
        "Preceptor",
        fields=[{"name": name} for name in ("Front", "Back", "Explanation", "Item", "Completion", "Sources")],
        templates=[
            {
                "name": "Card",
                "qfmt": "{{Front}}",
                "afmt": "{{FrontSide}}<hr id=answer>{{Back}}<p>{{Explanation}}",
            }
        ],
    )
    deck = genanki.Deck(number, study)
    for item in items:
        back = item["answers"][0] if item["answers"] else ""
        sources = "; ".join(f"{name} ({licences.get(name, 'gone')})" for name in item["sources"])
        completion, explanation = best.get(item["prompt"], ("", ""))
        parts = (item["shown"], back, explanation, item["id"], completion, sources)
        fields = [_escape(part) for part in parts]
        deck.add_note(genanki.Note(model=model, fields=fields, guid=item["id"], tags=[item["kind"]]))
    with replace_file(out) as partial:
        genanki.Package(deck).write_to_file(str(partial), timestamp=1_700_000_000)
        with suppress(OSError):
            partial.chmod(0o600)
    return len(items)


def choose_explanations(con: Store, journal: Journal) -> dict[str, tuple[str, str]]:
    """Choose each prompt's best explanation by the newest fit, else the first: key and text by prompt."""
    rows = journal.execute("SELECT prompt, completion, content FROM arms ORDER BY prompt, label").fetchall()
    arms = pl.DataFrame(
        [tuple(row) for row in rows],
        schema=dict.fromkeys(("prompt", "completion", "content"), pl.String),
        orient="row",
    )
    con.register("incoming", arms.to_arrow())
    try:
        best = query(con, _BEST)
    finally:
        con.unregister("incoming")
    first = arms.unique("prompt", keep="first", maintain_order=True)
    chosen = arms.join(best, on=["prompt", "completion"]) if best.height else arms.clear()
    return {
        prompt: (completion, content)
        for rows in (first, chosen)
        for prompt, completion, content in rows.select("prompt", "completion", "content").rows()
    }


def _escape(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")
