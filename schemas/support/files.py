"""Files and folders that appear whole or not at all."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .. import manifest
from ..errors import StoreError

MANIFEST = manifest.MANIFEST


def hash_file(path: Path) -> str:
    """Hash a file: its sha256, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_user_cache() -> Path:
    """Find Preceptor's folder in the user's cache, for files that can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preceptor"


def find_user_settings() -> Path:
    """Find Preceptor's folder among the user's settings, for files that cannot be made again."""
    if sys.platform.startswith("win"):
        place = os.environ.get("APPDATA", "~")
    elif sys.platform == "darwin":
        place = "~/Library/Application Support"
    else:
        place = os.environ.get("XDG_CONFIG_HOME", "~/.config")
    return Path(place).expanduser() / "preceptor"


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a text file so that a reader sees the old one or the new one, never half.

    `mode` are its permissions, less those that the umask takes. Raises StoreError if the folder is missing.
    """
    with open_whole_file(path, mode) as stream:
        stream.write(text.encode())


@contextmanager
def open_whole_file(path: Path, mode: int = 0o666, new: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that becomes `path` when the block ends without an error.

    `mode` are its permissions, less those that the umask takes. With `new`, FileExistsError is raised if
    `path` exists by then. Raises StoreError if the folder is missing.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with replace_file(path, new) as partial, os.fdopen(os.open(partial, flags, mode), "wb") as stream:
        yield stream


@contextmanager
def replace_file(path: Path, new: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to, and move what is there to `path`, once it is on the disk.

    Nothing is moved if the block ends with an error. With `new`, FileExistsError is raised if `path` exists
    by then. Raises StoreError if the folder is missing.
    """
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder; make it first, or write elsewhere")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        if new:
            os.link(partial, path)
        else:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def make_partial_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside `out`, to be moved there.

    It is removed at the end of the block if it was not moved.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    partial.chmod(0o755)
    try:
        yield partial
    finally:
        if partial.exists():
            shutil.rmtree(partial)


@contextmanager
def make_whole_folder(out: Path) -> Iterator[Path]:
    """Make a folder to write into, which becomes `out` when the block ends without an error.

    An earlier build at `out` (a folder with a manifest) is replaced at the last moment, and restored if a
    crash fell between the two renames. Raises StoreError if anything else is at `out`, which is left alone.
    """
    aside = out.with_name(f".{out.name}.replaced")
    if aside.exists() and not out.exists():
        aside.rename(out)
    if out.exists() and not (out / MANIFEST).exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(
            f"{out}: is not a dataset that Preceptor built, and will not be overwritten; "
            "choose another --out, or move it away"
        )
    with make_partial_folder(out) as partial:
        yield partial
        if aside.exists():
            shutil.rmtree(aside)
        if out.exists():
            out.rename(aside)
        partial.rename(out)
        if aside.exists():
            shutil.rmtree(aside)
