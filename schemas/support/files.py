"""Files and folders that appear whole or not at all.

Until it is whole, what becomes `out` lies in a folder `.out.partial-…` that its process has locked. What a
killed process left is thus known, and removed when the next one writes there (`remove_leftovers`).
`watch_partial_folders` tells others where to look for it.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .. import manifest
from ..errors import StoreError

MANIFEST = manifest.MANIFEST
Watcher = Callable[[Path, Path | None], None]
_watchers: list[Watcher] = []


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
def keep_files_private() -> Iterator[None]:
    """Let nobody else read the files that libraries make within the block, which must be short.

    The umask is the whole process's.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def replace_file(path: Path, new: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to, and move what is there to `path`, once it is on the disk.

    Nothing is moved if the block ends with an error. With `new`, FileExistsError is raised if `path` exists
    by then. Raises StoreError if the folder is missing.
    """
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder; make it first, or write elsewhere")
    with hold_partial_folder(path) as folder:
        partial = folder / path.name
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        if new:
            os.link(partial, path)
        else:
            partial.replace(path)


@contextmanager
def make_partial_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside `out`, to be moved there.

    It is removed at the end of the block if it was not moved.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with hold_partial_folder(out) as partial:
        partial.chmod(0o755)
        yield partial


@contextmanager
def hold_partial_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside `out` that only its owner can read, and lock it.

    It is removed at the end of the block if it was not moved.
    """
    remove_leftovers(out)
    partial, opened = _make_locked(out)
    try:
        tell_watchers(out, partial)
        yield partial
    finally:
        if partial.exists():
            shutil.rmtree(partial)
        os.close(opened)


@contextmanager
def watch_partial_folders(tell: Watcher) -> Iterator[None]:
    """Within the block, call `tell` with each `out` and the folder beside it, before that is filled.

    It is called with None for what is worked on in its place, such as an unfinished run.
    """
    _watchers.append(tell)
    try:
        yield
    finally:
        _watchers.remove(tell)


def tell_watchers(out: Path, partial: Path | None = None) -> None:
    """Tell those who watch what is about to be written."""
    for tell in _watchers:
        tell(out, partial)


def _make_locked(out: Path) -> tuple[Path, int]:
    """Make and lock a folder; return it with the file descriptor that holds the lock."""
    while True:
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
        with suppress(FileNotFoundError):  # taken for a leftover before it was locked: make another
            opened = _open_folder(partial)
            if _lock(opened) is not False and partial.is_dir():
                return partial, opened
            os.close(opened)


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _lock(opened: int) -> bool | None:
    """Lock what is open, until it is closed or the process dies.

    False if another process has locked it, None where the file system has no locks.
    """
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def remove_leftovers(out: Path) -> list[Path]:
    """Remove what killed processes left of writing `out`; return what was removed.

    What a running process writes is locked, and stays; so does what may not be removed.
    """
    prefix = f".{out.name}.partial-"
    there = sorted(entry for entry in out.parent.glob(".*.partial-*") if entry.name.startswith(prefix))
    return [left for left in there if remove_unlocked(left)]


def remove_unlocked(folder: Path) -> bool:
    """Remove a folder that no process has locked; True if that was done."""
    with suppress(OSError):
        opened = _open_folder(folder)
        try:
            if _lock(opened):
                shutil.rmtree(folder)
                return True
        finally:
            os.close(opened)
    return False


def settle_replaced(out: Path) -> str:
    """Settle a folder that a killed process had moved aside to replace it; say what was done, if anything.

    It is put back where nothing took its place, and else removed.
    """
    aside = out.with_name(f".{out.name}.replaced")
    begun = f".{out.name}.partial-"
    if not aside.is_dir() or aside.is_symlink():
        return ""
    if any(entry.name.startswith(begun) for entry in out.parent.glob(".*.partial-*")) or _is_held(out):
        return ""  # by a process that is at work
    if out.exists():
        shutil.rmtree(aside)
        return f"removed {aside}, which a command that was killed had moved there"
    if not (aside / MANIFEST).is_file():
        return ""
    aside.rename(out)
    return f"put back {out}, which a command that was killed had moved"


def _is_held(folder: Path) -> bool:
    """True if a process has locked a folder, as the one that made it does until its end."""
    try:
        opened = _open_folder(folder)
    except OSError:
        return False
    try:
        return _lock(opened) is False
    finally:
        os.close(opened)


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
