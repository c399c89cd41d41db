"""Hold questions against facts: triples of subject, relation and object.

    subject,relation,object
    Estonia,capital,Tallinn

A question is about a fact if subject and relation stand in it as whole words: "What is the capital of
Estonia?". Its answer contradicts the facts if it is none of their objects. A question that no fact is about
stays.
"""

from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import Column, Table
from ...ingest.batch import Context
from ...ingest.files.fields import Columns
from ...ingest.files.numbered_lines import Input
from ...ingest.files.objects import read_objects
from ...store.connection import Store, parse_json_rows
from ...store.temporary import make_from_frame

NAMES = ("subject", "relation", "object")
FACTS = Table(
    "practice_facts",
    "something that is known to be true",
    tuple(Column(name, "text", f"the {name}, as words") for name in NAMES),
)
WORDS = "trim(regexp_replace(lower(nfc_normalize({0})), '[^\\pL\\pN]+', ' ', 'g'))".format
"""A text as its words alone, as SQL."""


def match_words(text: str, words: str) -> str:
    """Write the SQL condition that `words` stand in `text`, both as WORDS makes them; false without any."""
    return f"({words} <> '' AND contains(' ' || {text} || ' ', ' ' || {words} || ' '))"


# Columns: id, words of the question and of the answer, as `question` and `answer`.
FIND_CONTRADICTED = f"""
SELECT q.id FROM {{0}} q JOIN (
    SELECT {", ".join(f"{WORDS(name)} AS {name}" for name in NAMES)} FROM practice_facts) f
ON {match_words("q.question", "f.subject")} AND {match_words("q.question", "f.relation")}
GROUP BY q.id HAVING NOT bool_or({match_words("q.answer", "f.object")}
    OR {match_words("f.object", "q.answer")})""".format


def make_facts(con: Store, path: Path | None) -> int:
    """Make `practice_facts` of a file's triples (CSV, TSV, JSON Lines, Parquet), or empty; return how many.

    Raises SourceError for a file that cannot be read or lacks a column, and for a line without one of the
    three: facts that are only partly read would let contradictions pass.
    """
    facts = _read_facts(path) if path else pl.DataFrame(schema=dict.fromkeys(NAMES, pl.String))
    make_from_frame(con, FACTS, facts)
    return facts.height


def _read_facts(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise SourceError(f"{path}: no such file; --facts names a file with columns {', '.join(NAMES)}")
    frames = []
    file, context = Input(path, path.name), Context(source="facts", language="und")
    for lines, unread in read_objects(file, context, Columns(NAMES, ())):
        rows, bad = parse_json_rows(lines, dict.fromkeys(NAMES, "VARCHAR"))
        empty = pl.any_horizontal(pl.col(name).fill_null("").str.strip_chars() == "" for name in NAMES)
        wrong = [*pl.concat([bad, unread]).select("line", "reason").rows()]
        wrong += rows.filter(empty).select("line", pl.lit("subject, relation or object is missing")).rows()
        if wrong:
            line, reason = min(wrong)
            raise SourceError(f"{path}:{line}: {reason}; mend the line, or take it out")
        frames.append(rows.select(NAMES))
    if not any(frame.height for frame in frames):
        raise SourceError(f"{path}: holds no facts; leave --facts out")
    return pl.concat(frames).unique(maintain_order=True)
