"""Databases in temporary files, for inputs that may not fit in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from ...schemas.support.files import keep_files_private
from .connection import LITTLE, Store, close_but, run, run_over
from .places import hold_temporary_folder


@contextmanager
def open_spool(files: Sequence[str | Path] = ()) -> Iterator[Store]:
    """Open a database in a temporary file, for an input that must be regrouped and may not fit in memory.

    It lies beside the store in use. SQL can read and write `files`, and no others.
    """
    with hold_temporary_folder() as folder:
        with keep_files_private():
            con = duckdb.connect(str(folder / "spool.duckdb"))
        try:
            close_but(con, files)
            run(con, "SET force_compression = 'uncompressed'")  # read once and thrown away
            run(con, LITTLE)
            yield con
        finally:
            con.close()


def append(con: Store, name: str, frame: pl.DataFrame) -> None:
    """Add rows to a table of a `spool`, made from the first frame."""
    run_over(con, frame, f'CREATE TABLE IF NOT EXISTS "{name}" AS FROM incoming LIMIT 0')
    run_over(con, frame, f'INSERT INTO "{name}" FROM incoming')
