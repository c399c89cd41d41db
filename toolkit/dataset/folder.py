"""Read built datasets: the manifest, and the rows of each config with their _meta rows."""

import re
from pathlib import Path
from typing import Any

from ...schemas.errors import StoreError
from ...schemas.manifest import MANIFEST, read_manifest_bytes, require_manifest
from ...schemas.support.files import find_leading_out
from ..store.quoting import quote_text


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a built dataset. Raises StoreError if the folder has none."""
    return require_manifest(read_manifest_bytes(folder, StoreError), str(folder / MANIFEST), StoreError)


def list_shards(folder: Path, table: str) -> list[str]:
    """List the files of a table, over all splits, in order.

    Raises StoreError for a name that a manifest should not have, and for a link to a file elsewhere.
    """
    plain = re.fullmatch(r"[a-z_]+", table)
    files = sorted((folder / table).glob("*.parquet")) if plain else []
    out = find_leading_out(folder, (file.relative_to(folder) for file in files)) if plain else [table]
    if out:
        raise StoreError(f"{folder}: {out[0]!r} leads out of the folder; build the dataset again")
    return [str(file) for file in files]


def select_rows(files: list[str]) -> str:
    """Write the SELECT of a table's rows from its files.

    Adds split, and file and file_row_number, by which a table and its _meta table are joined.
    """
    listed = ", ".join(quote_text(file) for file in files)
    return f"""SELECT *, regexp_extract(filename, '([^/]+)[.]parquet$', 1) AS file,
        regexp_extract(filename, '(train|validation|test)[^/]*[.]parquet$', 1) AS split
        FROM read_parquet([{listed}], filename = true, file_row_number = true)"""
