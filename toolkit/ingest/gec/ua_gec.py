r"""UA-GEC: Ukrainian documents with corrections inside the text, and their metadata.

    Привіт{=>,:::error_type=Punctuation} {Настя=>Насте:::error_type=G/Case}!

Syvokon et al. (2023). annotated/0006.a1.ann is document 0006 by annotator 1; a line end inside a
correction is written \\n; {word:::error_type=…} is an error without a correction; several
corrections are separated by bars. gec-only and gec-fluency are two layers over the same texts: each
is a separate source. metadata.csv is read if it is in the layer's folder or the one above;
region, gender and occupation of the authors are left out. A row is a document by one annotator,
or a correction.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ..batch import FORGOTTEN_REASON, Batch, Context
from ..files.numbered_lines import Input, OnBytes, read_lines
from .edits.character_edits import make_batch, make_frame

_MARK = re.compile(r"\{([^{}]*?)(?:=>([^{}]*?))?:::(?!:)([^{}]*?)\}")
_NAME = re.compile(r"^(.+?)(?:\.a(\w+))?\.ann$")
_CONTEXT = ("submission_type", "source_language", "is_native", "partition")
_METADATA = "metadata.csv"


def find_ua_gec(path: Path) -> list[Path] | None:
    """Find the .ann files of a layer and its metadata.

    Raises SourceError if the folder has no or two layers.
    """
    if not path.is_dir():
        return None
    found = sorted(path.rglob("*.ann"))
    layers = sorted({file.parents[1] if file.parent.name == "annotated" else file.parent for file in found})
    if len({layer.name for layer in layers}) > 1:
        names = ", ".join(str(layer) for layer in layers)
        raise SourceError(
            f"{path}: holds several layers over the same texts; ingest each as a source: {names}"
        )
    if not found:
        raise SourceError(f"{path}: holds no *.ann; name a layer's folder, such as gec-only")
    near = (path, *layers, *(layer.parent for layer in layers))
    metadata = [folder / _METADATA for folder in near if (folder / _METADATA).is_file()]
    return [*metadata[:1], *found]


def read_ua_gec(
    files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None
) -> Iterator[Batch]:
    """Read the documents of a layer, all annotators of a text together.

    Raises SourceError if the metadata or the name of a file has another form.
    """
    authors = {}
    for file in files:
        if file.path.name == _METADATA:
            authors = _authors(file, context, on_bytes)
    position = 0
    for name, group in _by_document(files).items():
        batch = _batch(name, group, authors.get(name, {}), context, position, on_bytes)
        position += batch.tables["sentences"].height
        yield batch


def _authors(file: Input, context: Context, on_bytes: OnBytes) -> dict[str, dict[str, str]]:
    """Read the metadata by document: the author's pseudonym, and whether that author was forgotten."""
    text, damage = _text(file, on_bytes)
    rows = list(csv.DictReader(io.StringIO(text)))
    if damage or (rows and "id" not in rows[0]):
        raise SourceError(f"{file.path}: expected a table in UTF-8 with a column id")
    ids = pl.Series([row.get("author_id") or None for row in rows], dtype=pl.String)
    names = context.pseudonyms(ids)
    gone = context.forgotten(names)
    return {
        row["id"]: row | {"learner": name or "", "forgotten": "yes" if is_gone else ""}
        for row, name, is_gone in zip(rows, names, gone, strict=True)
    }


def _by_document(files: Sequence[Input]) -> dict[str, list[tuple[str, Input]]]:
    """Annotators and files of each document."""
    found: dict[str, list[tuple[str, Input]]] = {}
    for file in files:
        name = _NAME.match(file.path.name)
        if name:
            found.setdefault(name.group(1), []).append((name.group(2) or "1", file))
        elif file.path.name != _METADATA:
            raise SourceError(f"{file.path}: expected files named like 0006.a1.ann")
    return found


def _batch(
    name: str,
    group: list[tuple[str, Input]],
    author: dict[str, str],
    context: Context,
    position: int,
    on_bytes: OnBytes,
) -> Batch:
    """A document's sentences and every annotator's edits. Texts that differ are separate documents."""
    documents: dict[str, dict[str, object]] = {}
    edits: list[dict[str, object]] = []
    rejects: list[dict[str, object]] = []
    taken = 0
    extra = {key: author[key] for key in _CONTEXT if author.get(key)}
    for annotator, file in group:
        if author.get("forgotten"):
            rejects.append({"path": file.name, "line": 1, "raw": "", "reason": FORGOTTEN_REASON})
            continue
        text, damage = _text(file, on_bytes)
        if damage:
            rejects.append(damage)
            continue
        source, found, bad = _parse(text)
        document = documents.setdefault(
            source,
            {
                "doc": len(documents),
                "document": name if not documents else f"{name}.a{annotator}",
                "text": source,
                "annotators": [],
                "lost": [],
                "path": file.name,
                "line": 1,
                "learner": author.get("learner") or None,
                "context": json.dumps(extra, ensure_ascii=False) if extra else None,
            },
        )
        document["annotators"].append(annotator)  # type: ignore[attr-defined]
        taken += 1
        edits += [
            edit | {"doc": document["doc"], "annotator": annotator, "path": file.name} for edit in found
        ]
        rejects += [reject | {"path": file.name} for reject in bad]
        if bad:
            document["lost"].append(annotator)  # type: ignore[attr-defined]
    schema = {"path": pl.String, "line": pl.Int64, "raw": pl.String, "reason": pl.String}
    batch = make_batch(
        make_frame(list(documents.values())),
        make_frame(edits),
        pl.DataFrame(rejects, schema=schema),
        context,
        position,
    )
    again = taken - len(documents)  # texts that another annotator had already
    return Batch(batch.read + again, batch.taken + again, batch.tables, batch.rejects)


def _parse(text: str) -> tuple[str, list[dict[str, object]], list[dict[str, object]]]:
    """The learner's text, the corrections in it, and marks that are not closed."""
    pieces: list[str] = []
    edits: list[dict[str, object]] = []
    rejects: list[dict[str, object]] = []
    size = done = 0
    for mark in _MARK.finditer(text):
        before = text[done : mark.start()]
        done = mark.end()
        line = text.count("\n", 0, mark.start()) + 1
        source = mark.group(1).replace("\\n", "\n")
        correction, _, others = (mark.group(2) or "").replace("\\n", "\n").partition("|")
        start = size + len(before)
        tags = dict(field.partition("=")[::2] for field in mark.group(3).split(":::"))
        edits.append(
            {
                "start": start,
                "end": start + len(source),
                "line": line,
                "raw": mark.group(0),
                "correction": None if mark.group(2) is None else correction,
                "error_type": tags.get("error_type", ""),
                "comment": f"or: {others}" if others else None,
            }
        )
        pieces += [before, source]
        size = start + len(source)
    pieces.append(text[done:])
    for stray in re.finditer(r"\{[^{}\n]*=>[^{}\n]*|[^\s{}]*:::[^\s{}]*", "".join(pieces)):
        line = "".join(pieces).count("\n", 0, stray.start()) + 1
        rejects.append(
            {"line": line, "raw": stray.group(0), "reason": "expected {source=>correction:::error_type=…}"}
        )
    return "".join(pieces), edits, rejects


def _text(file: Input, on_bytes: OnBytes) -> tuple[str, dict[str, object] | None]:
    """The whole file; and the first line that is not UTF-8, as a reject."""
    parts: list[str] = []
    bad = None
    for block in read_lines(file, on_bytes=on_bytes):
        parts += block["raw"].to_list()
        if bad is None and block["damaged"].any():
            line, raw = block.filter("damaged").select("line", "raw").row(0)
            bad = {
                "path": file.name,
                "line": line,
                "raw": raw,
                "reason": "not valid UTF-8: the document was left out",
            }
    return "\n".join(parts), bad
