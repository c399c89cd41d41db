"""Try an ingest: read everything, and store nothing.

with open_trial(path) as con:       a copy of the store, or an empty one, which is thrown away
    report = ingest(con, …, key_file=find_trial_key(con))
    rows = read_first_rows(con, report)     {"votes": the first three}
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from ...schemas.tables import OF_A_SOURCE
from ..privacy.pseudonyms import find_key_file
from ..store.connection import Store, copy_store, open_store, query
from ..store.places import hold_temporary_folder
from .run import IngestReport

ROWS = 3
_KEYS = ("completion", "completion_a", "completion_b", "prompt")  # shown as ids, which people know


@contextmanager
def open_trial(path: Path) -> Iterator[Store]:
    """Open a copy of the store, or an empty one if there is none; nothing of it stays.

    Raises StoreError as `open_store` does, also while another process writes into the store.
    """
    with hold_temporary_folder(path if path.is_file() else None) as folder:
        copy = folder / "trial.duckdb"
        if path.is_file():
            copy_store(path, copy)
        with open_store(copy, create=True) as con:
            yield con


def find_trial_key(con: Store) -> Path:
    """Find the key of pseudonyms; where there is none yet, a path for one that goes with the copy."""
    path = find_key_file()
    known = query(con, "SELECT key_digest FROM preceptor").item()
    if known is not None or path.exists():
        return path
    (file,) = query(con, "SELECT path FROM duckdb_databases() WHERE path IS NOT NULL")["path"].to_list()
    return Path(file).with_name("trial.key")


def read_first_rows(con: Store, report: IngestReport, n: int = ROWS) -> dict[str, pl.DataFrame]:
    """Read the first rows of a source that was just ingested, by table, as people know them.

    Columns are texts; what is the same in every row of a source, empty columns and keys are left out.
    Completions and prompts have their ids where they have one.
    """
    found = {}
    for table in OF_A_SOURCE:
        if not report.added.get(table.name):
            continue
        hidden = ("key", "source", "path", "ranking", "n")
        columns = [name for name in (c.name for c in table.stored) if name not in hidden]
        selected = ", ".join(_show(name) for name in columns)
        order = ", ".join(f'"{name}"' for name in ("path", "line", "n") if name in table.names) or "1"
        rows = query(
            con,
            f"""SELECT {selected} FROM (
                SELECT * FROM "{table.name}" WHERE source = ? ORDER BY {order} LIMIT ?) t""",
            [report.source, n],
        )
        full = [name for name in rows.columns if rows[name].null_count() < rows.height]
        found[table.name] = rows.select(full)
    return found


def _show(name: str) -> str:
    """SQL of a column as text: a key as the id it stands for, messages as the last one's words."""
    if name == "messages":
        return 't.messages[-1].content AS "messages"'
    if name in _KEYS:
        known = "prompts" if name == "prompt" else "completions"
        known_id = f'SELECT any_value(ref) FROM {known} k WHERE k.key = t."{name}"'
        return f'coalesce(({known_id}), t."{name}") AS "{name}"'
    return f't."{name}"::VARCHAR AS "{name}"'
