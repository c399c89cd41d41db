"""NUCLE's SGML: documents of paragraphs, mistakes by paragraph and character offset.

    <DOC nid="12">
    <TEXT><P>
    I has a dog .
    </P></TEXT>
    <ANNOTATION teacher_id="8">
    <MISTAKE start_par="0" start_off="2" end_par="0" end_off="5">
    <TYPE>SVA</TYPE><CORRECTION>have</CORRECTION>
    </MISTAKE></ANNOTATION></DOC>

Dahlmeier, Ng and Wu, Building a Large Annotated Corpus of Learner English (2013). A title counts
as a paragraph. A mistake without a correction, or of type Um, was seen, not corrected.
A row is a document or a mistake. Documents are parsed one by one: NUCLE has 1,400.
"""

import html
import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from ..batch import Batch, Context
from ..files.numbered_lines import Input, OnBytes, read_lines
from .edits.character_edits import make_batch, make_frame
from .edits.error_types import DETECTION_ONLY
from .edits.whole import ANYONE

_DOC_END = re.compile(r"</DOC>", re.I)
_TEXT = re.compile(r"<TEXT>(.*?)</TEXT>", re.I | re.S)
_PARAGRAPH = re.compile(r"<(P|TITLE)>(.*?)</\1>", re.I | re.S)
_ANNOTATION = re.compile(r"<ANNOTATION([^>]*)>(.*?)</ANNOTATION>", re.I | re.S)
_MISTAKE = re.compile(r"<MISTAKE([^>]*)>(.*?)(?:</MISTAKE>|(?=<MISTAKE)|\Z)", re.I | re.S)
_ATTRIBUTE = re.compile(r'(\w+)\s*=\s*"([^"]*)"')
_OFFSETS = ("start_par", "start_off", "end_par", "end_off")


def read_nucle(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the paragraphs and mistakes of one SGML file, a block of documents at a time. Raises SourceError
    if the file cannot be read.
    """
    position, rest, first = 0, "", 1
    for block in read_lines(file, on_bytes=on_bytes):
        text = rest + "".join(f"{line}\n" for line in block["raw"])
        ends = [found.end() for found in _DOC_END.finditer(text)]
        cut = ends[-1] if ends else 0
        batch = _batch(text[:cut], first, file.name, context, position)
        position += batch.tables["sentences"].height
        first += text.count("\n", 0, cut)
        rest = text[cut:]
        yield batch
    if rest.strip():
        reject = _reject(
            file.name,
            first + _blank_lines(rest),
            rest.strip()[:200],
            "expected <DOC …> … </DOC>, found no end of the document",
        )
        yield make_batch(
            pl.DataFrame(schema={"doc": pl.Int64}),
            pl.DataFrame(schema={"doc": pl.Int64}),
            pl.DataFrame([reject]),
            context,
            position,
        )


def _batch(text: str, first: int, path: str, context: Context, position: int) -> Batch:
    documents: list[dict[str, Any]] = []
    edits: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    at = 0
    for n, end in enumerate(_DOC_END.finditer(text)):
        doc = text[at : end.end()]
        line = first + text.count("\n", 0, at) + _blank_lines(doc)
        _document(doc, n, line, path, documents, edits, rejects)
        at = end.end()
    schema = {"path": pl.String, "line": pl.Int64, "raw": pl.String, "reason": pl.String}
    return make_batch(
        make_frame(documents), make_frame(edits), pl.DataFrame(rejects, schema=schema), context, position
    )


def _document(
    doc: str,
    n: int,
    line: int,
    path: str,
    documents: list[dict[str, Any]],
    edits: list[dict[str, Any]],
    rejects: list[dict[str, Any]],
) -> None:
    """One DOC's text and mistakes, or rejects."""
    head, body = re.search(r"<DOC([^>]*)>", doc, re.I), _TEXT.search(doc)
    if head is None or body is None:
        rejects.append(_reject(path, line, doc.strip()[:200], "expected <DOC …> with a <TEXT> of paragraphs"))
        return
    paragraphs = [html.unescape(p.group(2)).strip("\n") for p in _PARAGRAPH.finditer(body.group(1))]
    starts = [0]
    for paragraph in paragraphs:
        starts.append(starts[-1] + len(paragraph) + 1)
    annotators, lost = [], []
    for annotation in _ANNOTATION.finditer(doc):
        annotator = dict(_ATTRIBUTE.findall(annotation.group(1))).get("teacher_id", "0")
        annotators.append(annotator)
        for mistake in _MISTAKE.finditer(annotation.group(2)):
            where = line + doc.count(
                "\n", len(doc) - len(doc.lstrip()), annotation.start(2) + mistake.start()
            )
            try:
                start, end = _span(mistake.group(1), paragraphs, starts)
            except ValueError as error:
                rejects.append(_reject(path, where, mistake.group(0).strip(), str(error)))
                lost.append(annotator)
                continue
            kind, correction = _field(mistake.group(2), "TYPE"), _field(mistake.group(2), "CORRECTION")
            edits.append(
                {
                    "doc": n,
                    "annotator": annotator,
                    "start": start,
                    "end": end,
                    "error_type": kind or "",
                    "correction": None if kind in DETECTION_ONLY else correction,
                    "path": path,
                    "line": where,
                    "comment": _field(mistake.group(2), "COMMENT"),
                    "raw": mistake.group(0).strip(),
                }
            )
        if left := _MISTAKE.sub("", annotation.group(2)).strip():
            where = line + doc.count("\n", len(doc) - len(doc.lstrip()), annotation.start())
            rejects.append(_reject(path, where, left[:200], "expected <MISTAKE …> … </MISTAKE>"))
            lost.append(annotator)
    if left := _DOC_END.sub("", _ANNOTATION.sub("", doc[body.end() :])).strip():
        rejects.append(_reject(path, line, left[:200], "expected <ANNOTATION …> … </ANNOTATION>"))
        lost.append(ANYONE)
    number = dict(_ATTRIBUTE.findall(head.group(1))).get("nid", f"{path}:{line}")
    documents.append(
        {
            "doc": n,
            "document": number,
            "text": "\n".join(paragraphs),
            "path": path,
            "line": line,
            "annotators": list(dict.fromkeys(annotators)),
            "lost": list(dict.fromkeys(lost)),
        }
    )


def _span(attributes: str, paragraphs: list[str], starts: list[int]) -> tuple[int, int]:
    """Return offsets in the whole text. Raises ValueError, which says what is wrong."""
    given = dict(_ATTRIBUTE.findall(attributes))
    try:
        start_par, start_off, end_par, end_off = (int(given[name]) for name in _OFFSETS)
    except (KeyError, ValueError):
        raise ValueError(f"expected numbers in {', '.join(_OFFSETS)}") from None
    for par, off in ((start_par, start_off), (end_par, end_off)):
        if not 0 <= par < len(paragraphs) or not 0 <= off <= len(paragraphs[par]):
            raise ValueError(f"paragraph {par}, character {off} lies outside the document's text")
    return starts[start_par] + start_off, starts[end_par] + end_off


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"<{name}>(.*?)</{name}>", text, re.I | re.S)
    if found is None:
        return "" if re.search(rf"<{name}\s*/>", text, re.I) else None
    return html.unescape(found.group(1)).strip("\n")


def _blank_lines(text: str) -> int:
    return text.count("\n", 0, len(text) - len(text.lstrip()))


def _reject(path: str, line: int, raw: str, reason: str) -> dict[str, Any]:
    return {"path": path, "line": line, "raw": raw, "reason": reason}
