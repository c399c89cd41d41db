"""Read built datasets: the manifest, and the rows of each config with their _meta rows."""

from pathlib import Path
from typing import Any

from ...schemas.errors import StoreError
from ...schemas.manifest import MANIFEST, read_manifest_bytes, require_manifest
from ..store.quoting import quote_text


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a built dataset. Raises StoreError if the folder has none."""
    return require_manifest(read_manifest_bytes(folder, StoreError), str(folder / MANIFEST), StoreError)


def list_shards(folder: Path, table: str) -> list[str]:
    """List the files of a table, over all splits, in order."""
    return [str(path) for path in sorted((folder / table).glob("*.parquet"))]


def select_rows(files: list[str]) -> str:
    """Write the SELECT of a table's rows from its files.

    Adds split, and file and file_row_number, by which a table and its _meta table are joined.
    """
    listed = ", ".join(quote_text(file) for file in files)
    return f"""SELECT *, regexp_extract(filename, '([^/]+)[.]parquet$', 1) AS file,
        regexp_extract(filename, '(train|validation|test)[^/]*[.]parquet$', 1) AS split
        FROM read_parquet([{listed}], filename = true, file_row_number = true)"""
