"""The manifest of a built dataset, manifest.json: its contents and its origin.

{"recipe": {…}, "files": {"sft/train.parquet": "3f…"}, "gates": […], "counts": {"sft": {"train": 812}}, …}
"""

import json
from pathlib import Path
from typing import Any

from .errors import PreceptorError
from .support import files

MANIFEST = files.MANIFEST
_KEYS = {"recipe": dict, "files": dict, "gates": list, "counts": dict}
_AGAIN = "build it again (preceptor build RECIPE --out DIR)"


def parse_manifest(text: bytes) -> dict[str, Any] | None:
    """Parse a manifest of a build; None if the text is anything else."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    ours = isinstance(read, dict) and all(isinstance(read.get(k), kind) for k, kind in _KEYS.items())
    return read if ours else None


def require_manifest(text: bytes, where: str, error: type[PreceptorError]) -> dict[str, Any]:
    """Parse a manifest of a build that must be one.

    Raises the given error, which names `where` the text is from, if it is anything else.
    """
    found = parse_manifest(text)
    if found is None:
        raise error(f"{where}: is not the manifest of a build; {_AGAIN}")
    return found


def read_manifest_bytes(folder: Path, error: type[PreceptorError]) -> bytes:
    """Read manifest.json in the folder of a built dataset.

    Raises the given error if there is none.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise error(
            f"{folder}: holds no {MANIFEST}, so it is no dataset that preceptor build wrote; "
            "name the folder that was its --out"
        )
    return path.read_bytes()
