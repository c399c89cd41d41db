"""Datasets that were built, as tables: rows of every config beside their meta data, from the folders."""

import json
from pathlib import Path
from typing import Any

from ..schemas.errors import StoreError
from .files import MANIFEST

_KEYS = {"recipe": dict, "files": dict, "gates": list, "counts": dict}
_AGAIN = "build it again (preceptor build RECIPE --out DIR)"


def as_manifest(text: bytes) -> dict[str, Any] | None:
    """A manifest of ours, or None for anything else."""
    try:
        read = json.loads(text)
    except ValueError:
        return None
    ours = isinstance(read, dict) and all(isinstance(read.get(k), kind) for k, kind in _KEYS.items())
    return read if ours else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built dataset; StoreError where the folder holds none."""
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(
            f"{folder}: holds no {MANIFEST}, so it is no dataset that preceptor build wrote; "
            "name the folder that was its --out"
        )
    found = as_manifest(path.read_bytes())
    if found is None:
        raise StoreError(f"{path}: is not the manifest of a build; {_AGAIN}")
    return found


def shards(folder: Path, table: str) -> list[str]:
    """Files of a table in order, over all splits."""
    return [str(path) for path in sorted((folder / table).glob("*.parquet"))]


def rows_sql(files: list[str]) -> str:
    """Rows of a table with split, and file and row, by which a table and its meta data are joined."""
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"""SELECT *, regexp_extract(filename, '([^/]+)[.]parquet$', 1) AS file,
        regexp_extract(filename, '(train|validation|test)[^/]*[.]parquet$', 1) AS split
        FROM read_parquet([{listed}], filename = true, file_row_number = true)"""
