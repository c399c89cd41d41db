"""Datasets that were built, as tables: rows of every config beside their meta data, from the folders."""

from pathlib import Path
from typing import Any

from ...schemas.errors import StoreError
from ...schemas.manifest import MANIFEST, read_manifest_bytes, require_manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built dataset; StoreError where the folder holds none."""
    return require_manifest(read_manifest_bytes(folder, StoreError), str(folder / MANIFEST), StoreError)


def shards(folder: Path, table: str) -> list[str]:
    """Files of a table in order, over all splits."""
    return [str(path) for path in sorted((folder / table).glob("*.parquet"))]


def rows_sql(files: list[str]) -> str:
    """Rows of a table with split, and file and row, by which a table and its meta data are joined."""
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"""SELECT *, regexp_extract(filename, '([^/]+)[.]parquet$', 1) AS file,
        regexp_extract(filename, '(train|validation|test)[^/]*[.]parquet$', 1) AS split
        FROM read_parquet([{listed}], filename = true, file_row_number = true)"""
