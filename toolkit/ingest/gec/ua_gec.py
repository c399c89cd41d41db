r"""UA-GEC: Ukrainian documents with corrections inside the text, and their metadata.

    Привіт{=>,:::error_type=Punctuation} {Настя=>Насте:::error_type=G/Case}!

Syvokon et al. (2023). annotated/0006.a1.ann is document 0006 by annotator 1; a line end inside a
correction is written \\n; {word:::error_type=…} and NO_SUGGESTIONS are errors without a correction; of
several corrections between bars any is right. gec-only and gec-fluency are two layers over the same texts:
each is a separate source, with train/ and test/ or one of them. metadata.csv is read if it is in a layer's
folder or up to two above; region, gender and occupation of the authors are left out. A row is a document by
one annotator, or a correction.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects
from ..files.numbered_lines import Input, OnBytes, read_lines
from .edits.character_edits import make_batch, make_frame

_MARK = re.compile(r"\{([^{}]*?)(?:=>([^{}]*?))?:::(?!:)([^{}]*?)\}")
_NAME = re.compile(r"^(.+?)(?:\.a(\w+))?\.ann$")
_CONTEXT = ("submission_type", "source_language", "is_native", "partition")
_METADATA = "metadata.csv"
_DOCUMENTS = 200  # read at once
_ABOVE = 5  # folders from a document up: annotated, train, gec-only, data, and one more
_PARTITIONS = ("train", "test", "dev", "valid", "validation")
_NO_SUGGESTIONS = "NO_SUGGESTIONS"


def find_ua_gec(path: Path) -> list[Path] | None:
    """Find the .ann files of a layer and its metadata.

    Raises SourceError if the folder has no or two layers.
    """
    if not path.is_dir():
        return None
    found = sorted(path.rglob("*.ann"))
    layers = sorted({_layer(file) for file in found})
    if len({layer.name for layer in layers}) > 1:
        names = ", ".join(str(layer) for layer in layers)
        raise SourceError(
            f"{path}: holds several layers over the same texts; ingest each as a source: {names}"
        )
    if not found:
        raise SourceError(f"{path}: holds no *.ann; name a layer's folder, such as gec-only")
    near = (path, *(folder for file in found for folder in list(file.absolute().parents)[:_ABOVE]))
    metadata = [folder / _METADATA for folder in dict.fromkeys(near) if (folder / _METADATA).is_file()]
    return [*metadata[:1], *found]


def _layer(file: Path) -> Path:
    """The folder of the layer: gec-only of gec-only/train/annotated/0006.a1.ann."""
    folder = file.absolute().parent
    for own in (("annotated",), _PARTITIONS):
        folder = folder.parent if folder.name in own else folder
    return folder


def read_ua_gec(
    files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None
) -> Iterator[Batch]:
    """Read the documents of a layer, all annotators of a text together.

    Raises SourceError if the metadata or the name of a file has another form.
    """
    authors: dict[str, dict[str, str]] = {}
    tables = [file for file in files if file.path.name == _METADATA]
    for file in tables:
        authors |= _authors(file, context, on_bytes)
    position = 0
    documents = _by_document(files)
    for first in range(0, len(documents), _DOCUMENTS):
        group = list(documents.items())[first : first + _DOCUMENTS]
        batch = _batch(group, authors, context, position, on_bytes)
        position += batch.tables["sentences"].height
        yield batch
    missing = [name for name in documents if not authors.get(name, {}).get("learner")]
    yield Batch(0, 0, {}, collect_rejects([], files[0].name), _note_missing(missing, len(documents), tables))


def _note_missing(missing: list[str], documents: int, tables: Sequence[Input]) -> tuple[str, ...]:
    """Say whose author is not known."""
    if not tables:
        return (
            f"no {_METADATA} found beside or above the documents, so none of the {documents:,} has a learner "
            f"(whom `forget` needs); give the path of {_METADATA} as well to read it",
        )
    if not missing:
        return ()
    return (
        f"{tables[0].name}: names no author of {len(missing):,} of {documents:,} documents, the first "
        f"{missing[0]}: their sentences have no learner",
    )


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
            group = found.setdefault(name.group(1), [])
            annotator = name.group(2) or "1"
            for other, earlier in group:
                if other == annotator:
                    raise SourceError(
                        f"{file.path} and {earlier.path} are one document by one annotator; layers over the "
                        "same texts are two sources: ingest each by itself"
                    )
            group.append((annotator, file))
        elif file.path.name != _METADATA:
            raise SourceError(f"{file.path}: expected files named like 0006.a1.ann")
    return found


def _batch(
    group: Sequence[tuple[str, list[tuple[str, Input]]]],
    authors: dict[str, dict[str, str]],
    context: Context,
    position: int,
    on_bytes: OnBytes,
) -> Batch:
    """The documents' sentences and every annotator's edits. Texts that differ are separate documents."""
    documents: list[dict[str, object]] = []
    edits: list[dict[str, object]] = []
    rejects: list[dict[str, object]] = []
    taken = 0
    for name, files in group:
        of_name: dict[str, dict[str, object]] = {}
        about = _describe(authors.get(name, {}), files)
        for annotator, file in files:
            if authors.get(name, {}).get("forgotten"):
                rejects.append({"path": file.name, "line": 1, "raw": "", "reason": FORGOTTEN_REASON})
                continue
            text, damage = _text(file, on_bytes)
            if damage:
                rejects.append(damage)
                continue
            source, found, bad = _parse(text)
            if source not in of_name:
                of_name[source] = about | {
                    "doc": len(documents),
                    "document": name if not of_name else f"{name}.a{annotator}",
                    "text": source,
                    "annotators": [],
                    "lost": [],
                    "path": file.name,
                    "line": 1,
                }
                documents.append(of_name[source])
            document = of_name[source]
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
        make_frame(documents), make_frame(edits), pl.DataFrame(rejects, schema=schema), context, position
    )
    again = taken - len(documents)  # texts that another annotator had already
    return Batch(batch.read + again, batch.taken + again, batch.tables, batch.rejects)


def _describe(author: dict[str, str], files: list[tuple[str, Input]]) -> dict[str, object]:
    """The learner and context of a document; its partition from its folder where the table has none."""
    extra = {key: author[key] for key in _CONTEXT if author.get(key)}
    parts = [part for _, file in files for part in file.path.parts[-3:-1] if part in _PARTITIONS]
    if parts:
        extra.setdefault("partition", parts[0])
    return {
        "learner": author.get("learner") or None,
        "context": json.dumps(extra, ensure_ascii=False) if extra else None,
    }


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
        correction, *others = (mark.group(2) or "").replace("\\n", "\n").split("|")
        others = [other for other in dict.fromkeys(others) if other != correction]
        start = size + len(before)
        tags = dict(field.partition("=")[::2] for field in mark.group(3).split(":::"))
        edits.append(
            {
                "start": start,
                "end": start + len(source),
                "line": line,
                "raw": mark.group(0),
                "correction": None if mark.group(2) in (None, _NO_SUGGESTIONS) else correction,
                "alternatives": others or None,
                "error_type": tags.get("error_type", ""),
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
