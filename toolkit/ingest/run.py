"""Ingest files as a source, in one transaction, all or nothing.

If the process is killed, the store has the whole source or none of it. The same bytes again add
nothing. rows + rejects = rows read, checked for every block.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ...schemas.allowance import Allowance
from ...schemas.errors import SourceError, StoreError
from ...schemas.licenses import NONE_STATED, License, read_license
from ...schemas.support.nearest import suggest
from ...schemas.support.text import clean
from ...schemas.tables import REJECTS, SOURCES, TABLES, Table
from ..privacy.orphans import remove_orphans
from ..privacy.pseudonyms import FORM, find_key_file, make_forgotten_check, make_naming
from ..store.connection import Store, insert, limit_memory, query, remove_source, transaction
from ..store.rejects import count_rejects, list_rejects
from .batch import FORGOTTEN_REASON, Batch, Context
from .files.numbered_lines import Input, OnBytes, check_options, note_encoding
from .files.values import note_unmet
from .formats import FORMATS, Format
from .formats.find_files import find_inputs, hash_files
from .lopsided import check_lopsided, list_remedies
from .people import name_learners, settle_kinds
from .preferences.known import add_known
from .recognise.other_programs import check_downloads, describe_file, name_program
from .recognise.remedies import join_lines, list_mends

# DuckDB works on tables in parts of 122,880 rows: with a few parts at once both cores are used.
_INSERT_ROWS = 500_000
_INSERT_BYTES = 256 << 20  # if rows are long: dialogues repeat earlier messages


@dataclass(frozen=True)
class IngestReport:
    """Result of an ingest."""

    source: str
    rows: int
    rejects: int
    added: dict[str, int]
    reject_lines: list[str]  # a table of rejected values and reasons, with counts; [] without rejects
    mend_lines: list[str]  # a table of what mends them
    notes: list[str] = field(default_factory=list)  # notes of the reader for users
    already_there: bool = False


@dataclass(frozen=True)
class Origin:
    """Facts about a source that the user gives."""

    license: License
    url: str | None = None
    revision: str | None = None


def ingest_files(
    con: Store,
    format: str,
    paths: Sequence[Path],
    source: str,
    *,
    license: str | None = None,
    replacing: bool = False,
    strict: bool = False,
    **about: Any,
) -> IngestReport:
    """Read files or folders in a format, such as "votes", into a source of the store, all or nothing.

    `license` is an SPDX id; `about` are fields of `Context`, such as language, about, columns or levels.
    Raises SourceError for an unknown format or license, a missing file, and as `ingest` does.
    """
    if format not in FORMATS:
        raise SourceError(f"no format '{format}': {suggest(format, FORMATS, 'known formats')}")
    known = FORMATS[format]
    context = Context(source, **{"language": known.language, **about})
    origin = Origin(read_license(license))
    return ingest(con, known, find_inputs(known, paths), context, origin, replacing=replacing, strict=strict)


def ingest(
    con: Store,
    format: Format,
    files: Sequence[Input],
    context: Context,
    origin: Origin,
    *,
    replacing: bool = False,
    strict: bool = False,
    on_bytes: OnBytes = lambda _: None,
    notes: Sequence[str] = (),
    key_file: Path | None = None,
) -> IngestReport:
    """Read `files` into the source `context.source`; `notes` about the files are kept with the reader's.

    `key_file` is another key of pseudonyms than the user's own.
    With `strict` any reject stops it; with `replacing` a source of that name goes in the same transaction.
    Raises SourceError for input that cannot be read and a source without a name; nothing changes then.
    """
    if not context.source.strip():
        raise SourceError("the name of the source is empty; name it, such as week-1")
    files = _with_options(files, context)
    check_downloads(files)
    sha256 = hash_files(files, on_bytes)
    present = query(con, "SELECT * FROM sources WHERE name = ?", [context.source]).to_dicts()
    if present and not replacing:
        _check_same(present[0], format, context, origin, sha256)
        return IngestReport(
            context.source, present[0]["rows"], present[0]["rejects"], {}, [], [], already_there=True
        )
    with limit_memory(con), transaction(con), name_program(files[0], format.name):
        gone_with_it = remove_source(con, context.source) if present else []
        if format.needs_known(files, context):
            context = add_known(con, context, format.about)
        if format.people:
            named, gone = make_naming(con, key_file or find_key_file()), make_forgotten_check(con)
            context = replace(context, pseudonyms=named, forgotten=gone)
            files = name_learners(files, context)
        encodings = _note_encodings(files)
        report = _read_all(con, format, files, context, on_bytes)
        _check(report, format, files, strict)
        _check_ids(con, context.source)
        last = format.finish_rows(con, context, report.added)
        report.notes.extend([*encodings, *last, *_unknown_names(con, context), *notes])
        if present:
            remove_orphans(con)
        insert(con, SOURCES, _source_row(format, context, origin, sha256, report))
    report.notes.extend(gone_with_it)  # of this command, not of the source
    return report


def _with_options(files: Sequence[Input], context: Context) -> list[Input]:
    """The files, to be read in this encoding and sheet."""
    if context.learner and len(files) > 1 and not context.one_learner:
        raise SourceError(
            f"--learner: all {len(files)} files would be the log of '{context.learner}'; if they are, say "
            "--one-learner too; if the path of each names its learner, use --learner-from-path PATTERN"
        )
    given: dict[str, Any] = {"encoding": context.encoding, "sheet": context.sheet}
    given["allowance"] = Allowance(context.max_unpacked)
    files = [replace(file, notes=[], **given) for file in files]
    for file in files:
        check_options(file)
    return files


def _note_encodings(files: Sequence[Input]) -> list[str]:
    """Notes about files that are not read as UTF-8."""
    notes = [note for file in files if (note := note_encoding(file))]
    more = [f"and {len(notes) - 3} more files of another encoding"] if len(notes) > 3 else []
    return notes[:3] + more


def _check_same(old: dict[str, Any], format: Format, context: Context, origin: Origin, sha256: str) -> None:
    """Raise SourceError unless the source of this name has these bytes, licence, language and address."""
    name = context.source
    if (old["sha256"], old["reader"]) != (sha256, format.name):
        raise SourceError(
            f"source '{name}' already holds other input (read as {old['reader']}, sha256 "
            f"{old['sha256'][:12]}…); give this one another --source, or --replace that one"
        )
    if context.sheet and f"sheet '{context.sheet}'" not in (old["notes"] or ""):
        raise SourceError(
            f"source '{name}' already holds another sheet of this file; give this one another --source, or "
            "--replace that one"
        )
    license = None if origin.license.id == NONE_STATED else origin.license.id
    said = {"language": context.language, "license": license, "url": origin.url, "revision": origin.revision}
    for key, value in said.items():
        if value is not None and value != old[key]:
            raise SourceError(
                f"source '{name}' already holds these bytes, with {key} {old[key]}; "
                f"say --replace to read them again with {key} {value}"
            )


def _check_ids(con: Store, source: str) -> None:
    """Raise SourceError if two completions share an id: signals would be ambiguous."""
    twice = query(
        con,
        """SELECT ref, min(place) AS one, max(place) AS other FROM (
            SELECT ref, path || ':' || line AS place FROM completions WHERE source = ? AND ref IS NOT NULL
        ) GROUP BY ref HAVING count(*) > 1 ORDER BY ref""",
        [source],
    )
    if twice.height:
        ref, one, other = twice.row(0)
        listed = ", ".join(f"'{clean(name, 40)}'" for name in twice["ref"][1:6])
        more = f"; so have {twice.height - 1:,} other ids, such as {listed}" if listed else ""
        raise SourceError(
            f"{one} and {other} both have a completion '{ref}'{more}; an id must name one text of a source: "
            "rename it, or ingest the files as two sources"
        )


def _unknown_names(con: Store, context: Context) -> list[str]:
    """Note each name that was given to an annotator who does not occur."""
    if not context.annotator_names:
        return []
    found = query(con, "SELECT DISTINCT annotator FROM edits WHERE source = ?", [context.source])
    present = set(found["annotator"])
    return [
        f"no annotator '{id}' occurs, so the name {name} was not given"
        for id, name in context.annotator_names.items()
        if name not in present
    ]


def _read_all(
    con: Store, format: Format, files: Sequence[Input], context: Context, on_bytes: OnBytes
) -> IngestReport:
    read = taken = rejects = not_text = gone = 0
    added: dict[str, int] = {}
    notes: list[str] = []
    pending: list[Batch] = []
    values: list[pl.DataFrame] = []
    met: set[tuple[str, str]] = set()
    for batch in _ahead(format.read(files, context, on_bytes)):
        _check_balance(batch, files)
        read, taken, rejects = read + batch.read, taken + batch.taken, rejects + batch.rejects.height
        notes += [note for note in batch.notes if note not in notes]
        met |= batch.met
        gone += int((batch.rejects["reason"] == FORGOTTEN_REASON).sum())
        values += [] if batch.values is None else [batch.values]
        not_text += int((batch.rejects["reason"] == "not valid UTF-8").sum())
        pending.append(batch)
        if _many(pending):
            _insert_all(con, pending, context, added)
            pending = []
    _insert_all(con, pending, context, added)
    notes += [note for file in files for note in file.notes]
    if not read:
        holds = "is empty, holds no rows" if not files[0].path.stat().st_size else "holds no rows"
        raise SourceError(f"{files[0].path}: {holds}; expected {format.summary}")
    counts = count_rejects(con, context.source) if rejects else None
    lines, mends = (list_rejects(counts), list_mends(counts)) if counts is not None else ([], [])
    if taken and not context.allow_rejects:
        check_lopsided(values, taken, rejects - gone, files[0].path, mends)
    if not taken and (remedies := list_remedies(values)):
        notes.append("\n".join(remedies))
    if not_text:
        again = "--replace " if taken else ""
        notes.append(
            f"{not_text:,} {'row is' if not_text == 1 else 'rows are'} not valid UTF-8; if the file is in "
            f"another encoding, such as Latin-1 or Windows-1251, give {again}--encoding latin-1 or "
            f"{again}--encoding windows-1251"
        )
    notes += note_unmet(context.values, met)
    return IngestReport(context.source, taken, rejects, added, lines, mends, notes)


def _many(batches: list[Batch]) -> bool:
    """True if the batches are worth an insert: DuckDB is faster with many rows at once."""
    size = sum(frame.estimated_size() for batch in batches for frame in batch.tables.values())
    return size >= _INSERT_BYTES or sum(batch.read for batch in batches) >= _INSERT_ROWS


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the same batches; the next one is read while this one is stored."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _insert_all(con: Store, batches: list[Batch], context: Context, added: dict[str, int]) -> None:
    """Insert the batches' rows, table by table, and count what was added."""
    for name in {name: None for batch in batches for name in batch.tables}:
        frames = [batch.tables[name] for batch in batches if name in batch.tables]
        for frame in frames:
            _check_people(TABLES[name], frame)
        settled = settle_kinds(con, pl.concat(frames, how="diagonal"), context, name)
        added[name] = added.get(name, 0) + insert(con, TABLES[name], settled)
    if rejects := [batch.rejects for batch in batches]:
        insert(con, REJECTS, pl.concat(rejects).with_columns(pl.lit(context.source).alias("source")))


def _check_people(table: Table, frame: pl.DataFrame) -> None:
    """Check that a column of pseudonyms has no person's own id. Raises StoreError."""
    for column in table.columns:
        if column.person and column.name in frame.columns:
            names = frame[column.name].drop_nulls()
            if len(names) and not names.cast(pl.String).str.contains(FORM).all():
                raise StoreError(f"{table.name}.{column.name}: not a pseudonym; please report this defect")


def _check_balance(batch: Batch, files: Sequence[Input]) -> None:
    """Check that every row read was either taken or rejected. Raises StoreError."""
    if batch.read != batch.taken + batch.rejects.height:
        names = ", ".join(str(file.path) for file in files[:3])
        raise StoreError(
            f"{names}: {batch.read} rows read, but {batch.taken} taken and "
            f"{batch.rejects.height} rejected; nothing was stored; please report this defect"
        )


def _check(report: IngestReport, format: Format, files: Sequence[Input], strict: bool) -> None:
    listed, mends = "\n  ".join(report.reject_lines), join_lines(report.mend_lines)
    if report.rejects and not report.rows:
        raise SourceError(
            f"{files[0].path}: none of its {report.rejects} rows could be taken; is it this format?\n"
            f"  {listed}{describe_file(files[0], format.lists, report.reject_lines[1:], report.notes)}"
            f"{mends}"
        )
    if strict and report.rejects:
        raise SourceError(
            f"--strict: {report.rejects} rows could not be taken, so nothing was stored; mend them, "
            f"or leave --strict out to keep them in rejects\n  {listed}{mends}"
        )


def _source_row(
    format: Format, context: Context, origin: Origin, sha256: str, report: IngestReport
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "name": [context.source],
            "kind": [format.kind],
            "language": [context.language],
            "license": [origin.license.id],
            "redistribution": [origin.license.redistribution],
            "commercial_use": [origin.license.commercial_use],
            "share_alike": [origin.license.share_alike],
            "url": [origin.url],
            "revision": [origin.revision],
            "sha256": [sha256],
            "reader": [format.name],
            "notes": ["\n".join(report.notes) or None],
            "rows": [report.rows],
            "rejects": [report.rejects],
            "ingested_at": [datetime.now(UTC)],
        }
    )
