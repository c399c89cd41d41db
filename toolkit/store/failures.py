"""What DuckDB's errors about a store's file mean: what happened, where, what to do.

IO Error: Could not set lock on file "s.duckdb": … (PID 41)  -> is open in another program (process 41); …
Corrupt database file: computed checksum 1 does not match …  -> is damaged (…); restore it from a copy …
Binder Error: Referenced column "x" not found                -> none of these: a mistake in the program
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ...schemas.errors import StoreError

_DAMAGED = (
    "is damaged ({}); put a copy of it in its place, or move it away and ingest the sources again into a "
    "new one"
)
_FULL = "no space is left on its disk, or a limit on it is reached; nothing was changed; free some, try again"
_MEMORY = (
    "memory ran out; nothing was changed; close other programs, or give this one more memory, and try again"
)
_DENIED = (
    "may not be {}; nothing was changed; change the permissions of the file and its folder, or copy both"
)
# The first that is found in a message says what happened.
_MEANINGS = (
    (r"set lock on file", "is open in another program{by}; close that one, or wait for it"),
    (r"No space left|disk quota|max_temp_directory_size|File too large|Could not write all", _FULL),
    (
        r"version number (\d+)|newer version of DuckDB|older version of DuckDB",
        "was written by another version of DuckDB; open it with the Preceptor that wrote it, or ingest again "
        "into a new --store",
    ),
    (r"not a valid DuckDB|external extensions", "is not a DuckDB file; point --store at a Preceptor store"),
    (r"(?i)read-only file system|in read-only mode", _DENIED.format("changed")),
    (r"(?i)permission denied|operation not permitted", _DENIED.format("opened")),
    (r"(?i)is a directory", "is a folder; point --store at a file"),
    (r"(?i)no such file or directory", "is gone, or a part of it; put a copy of it in its place"),
    (r"(?i)input/output error", _DAMAGED),
    (
        r"(?i)corrupt|checksum|could not read enough|failed to deserialize|serializ|has been invalidated"
        r"|replaying wal|transaction is aborted|\bWAL\b|read from file|INTERNAL Error|bounds"
        r"|attempted to (read|access)",
        _DAMAGED,
    ),
)
_OF_A_FILE = (
    duckdb.IOException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.SerializationException,
)


# A commit that fails says why in an error of its own kind.
_MAGIC = slice(8, 12)  # bytes of a DuckDB file's header
_OTHER_FORMATS = {".json", ".jsonl", ".ndjson"}
_IN_OTHER_ERRORS = r"(?i)corrupt|invalidated|failed to commit|failed to checkpoint|transaction is aborted"


@contextmanager
def name_failures(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn DuckDB's errors about the store `path` into StoreError; mistakes in the program pass.

    While it is being opened, nothing has been asked of it: any error is one of the file.
    """
    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise StoreError(f"{path}: {_FULL if 'max_temp' in str(error) else _MEMORY}") from error
    except (duckdb.Error, UnicodeDecodeError) as error:
        said = _explain(error, opening)
        if said is None:
            raise
        raise StoreError(f"{path}: {said}") from error


def _explain(error: Exception, opening: bool) -> str | None:
    """Say what happened to the file and what to do; None if the error is of another kind."""
    text = str(error)
    first = next(iter(text.splitlines()), "") or type(error).__name__
    if not opening and not isinstance(error, _OF_A_FILE) and not re.search(_IN_OTHER_ERRORS, text):
        return None
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, text):
            holder = text.partition("(PID ")[2].partition(")")[0]
            return meaning.format(_shorten(first), by=f" (process {holder})" if holder else "")
    return _DAMAGED.format(_shorten(first)) if opening else f"{_shorten(first)}; nothing was changed"


def _shorten(first: str) -> str:
    """Return the start of a message, without DuckDB's class of error."""
    plain = re.sub(
        r"^((TransactionContext|IO|INTERNAL|FATAL|Serialization|Invalid Input) Error: )+", "", first
    )
    return plain if len(plain) <= 160 else f"{plain[:160]}…"


def check_store_file(path: Path) -> None:
    """Raise StoreError for a path that DuckDB would not open as a database file.

    It reads JSON and SQLite files by extensions, into memory or by a download, and a few names, such as
    :memory:, as something else than a file.
    """
    if not path.exists():
        if str(path).startswith(":") or re.match(r"\w{2,}:", str(path)) or path.suffix in _OTHER_FORMATS:
            raise StoreError(f"{path}: cannot be a store's name; choose another, such as preceptor.duckdb")
        return
    with path.open("rb") as file:
        begin = file.read(_MAGIC.stop)
    if begin[_MAGIC] != b"DUCK":
        raise StoreError(f"{path}: is not a DuckDB file; point --store at a Preceptor store")
