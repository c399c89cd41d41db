"""Ingest the sources of a project, or try to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import PreceptorError, SourceError
from ...ingest.files.numbered_lines import Input, OnBytes
from ...ingest.formats import FORMATS
from ...ingest.formats.find_files import find_inputs, hash_files
from ...ingest.run import IngestReport, ingest
from ...ingest.trial import find_trial_key, open_trial, read_first_rows
from ...store.connection import Store, query
from .entry import Entry, make_context, make_origin


def find_files(entry: Entry) -> list[Input]:
    """Find the files of an entry. Raises SourceError as `find_inputs` does."""
    return find_inputs(FORMATS[entry.format], [Path(path) for path in entry.paths])


def ingest_entry(
    con: Store,
    entry: Entry,
    *,
    replacing: bool = False,
    on_bytes: OnBytes = lambda _: None,
    key_file: Path | None = None,
) -> IngestReport:
    """Read the files of an entry into its source, all or nothing. Raises SourceError as `ingest` does."""
    format = FORMATS[entry.format]
    return ingest(
        con,
        format,
        find_files(entry),
        make_context(entry, format),
        make_origin(entry),
        replacing=replacing,
        strict=entry.strict,
        on_bytes=on_bytes,
        key_file=key_file,
    )


def try_entries(
    store: Path, entries: Sequence[Entry], *, replacing: bool = False, on_bytes: OnBytes = lambda _: None
) -> Iterator[tuple[IngestReport, dict[str, pl.DataFrame]]]:
    """Read entries, one after another, and store nothing; the first rows as they would be stored, by table.

    A later entry may name what an earlier one would have stored. Raises SourceError as `ingest_entry` does.
    """
    with open_trial(store) as con:
        for entry in entries:
            report = ingest_entry(
                con, entry, replacing=replacing, on_bytes=on_bytes, key_file=find_trial_key(con)
            )
            yield report, read_first_rows(con, report)


def ingest_entries(
    con: Store, entries: Sequence[Entry], *, replacing: bool = False, on_bytes: OnBytes = lambda _: None
) -> Iterator[IngestReport]:
    """Read entries in order, each all or nothing; those whose bytes the store has already add nothing.

    With `replacing`, sources whose files changed are read again. Raises SourceError that names the source;
    the sources before it stay, and the same call goes on from there.
    """
    for entry in entries:
        try:
            yield ingest_entry(
                con,
                entry,
                replacing=replacing and not _is_same(con, entry),
                on_bytes=on_bytes,
            )
        except PreceptorError as error:
            raise SourceError(f"source '{entry.source}': {error}") from error


def _is_same(con: Store, entry: Entry) -> bool:
    """True if the store holds these bytes under this name, read by this format."""
    present = query(con, "SELECT sha256, reader FROM sources WHERE name = ?", [entry.source]).rows()
    return present == [(hash_files(find_files(entry)), entry.format)]
