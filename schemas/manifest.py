"""The manifest of a built dataset, manifest.json: what it holds and from what it was made.

{"recipe": {…}, "files": {"sft/train.parquet": "3f…"}, "gates": […], "counts": {"sft": {"train": 812}}, …}
"""

import json
from pathlib import Path
from typing import Any

from .errors import PreceptorError

MANIFEST = "manifest.json"
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


def manifest_or(text: bytes, where: str, error: type[PreceptorError]) -> dict[str, Any]:
    """A manifest of ours; the error, which names `where` it stands, for anything else."""
    found = as_manifest(text)
    if found is None:
        raise error(f"{where}: is not the manifest of a build; {_AGAIN}")
    return found


def manifest_bytes(folder: Path, error: type[PreceptorError]) -> bytes:
    """The manifest's file in the folder of a built dataset; the error where there is none."""
    path = folder / MANIFEST
    if not path.is_file():
        raise error(
            f"{folder}: holds no {MANIFEST}, so it is no dataset that preceptor build wrote; "
            "name the folder that was its --out"
        )
    return path.read_bytes()
