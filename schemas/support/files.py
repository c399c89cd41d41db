"""Files and folders that appear whole or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .. import manifest
from ..errors import StoreError

MANIFEST = manifest.MANIFEST


def file_sha256(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def user_cache() -> Path:
    """Folder of what can be made again: Preceptor's part of the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preceptor"


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never half."""
    with whole_file(path) as stream:
        stream.write(text.encode())


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which becomes `path` when the block ends without an error."""
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder; make it first, or write elsewhere")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` when the block ends without an error.

    An earlier build at `out` (a folder with a manifest) makes way at the last moment and is
    brought back if a crash fell between the two renames. Anything else at `out` is left alone:
    StoreError.
    """
    aside = out.with_name(f".{out.name}.replaced")
    if aside.exists() and not out.exists():
        aside.rename(out)
    if out.exists() and not (out / MANIFEST).exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(
            f"{out}: is not a dataset that Preceptor built, and will not be overwritten; "
            "choose another --out, or move it away"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    partial.chmod(0o755)
    try:
        yield partial
        if aside.exists():
            shutil.rmtree(aside)
        if out.exists():
            out.rename(aside)
        partial.rename(out)
        if aside.exists():
            shutil.rmtree(aside)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
