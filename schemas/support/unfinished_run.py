"""The folder of an unfinished run, .OUT.unfinished: for one set of settings, and one process at a time.

with hold_run(work, {"seed": 0}, restart=False, error=TrainingError, differing=differing):
    …       # work/run.json has the settings; work/lock is locked until the block ends or the process dies
    finish(work)
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import PreceptorError, StoreError
from .files import tell_watchers, write_text

NOTE, LOCK = "run.json", "lock"


@contextmanager
def hold_run(
    work: Path,
    run: Mapping[str, Any],
    restart: bool,
    error: type[PreceptorError],
    differing: Callable[[str], str] | None = None,
) -> Iterator[None]:
    """Make or reopen the folder of an unfinished run, and lock it until the block ends.

    It is emptied first if `restart`, or if it has no note of its settings. `differing` gets the text of the
    note and names what differs from `run`. Raises the given error if another process has locked the folder,
    or if the folder is of a run with other settings.
    """
    with _held(work, error):
        tell_watchers(work)
        note, text = work / NOTE, json.dumps(run, sort_keys=True, indent=1)
        if restart or not note.is_file():  # files of unknown settings
            _empty(work)
        if not note.is_file():  # written whole: half a note would make the other files useless
            write_text(note, text)
        elif (old := note.read_text(encoding="utf-8")) != text:
            what = f" ({differing(old)})" if differing else ""
            raise error(
                f"{work}: holds an unfinished run of other settings or data{what}; --restart throws "
                "it away, or choose another --out"
            )
        yield


def finish(work: Path) -> None:
    """Remove the folder, inside the block that locks it; the lock goes last, to keep others out."""
    _empty(work)
    (work / LOCK).unlink(missing_ok=True)
    with suppress(OSError):  # another process has started in it
        work.rmdir()


def remove_run(work: Path) -> None:
    """Remove the folder of an unfinished run. Raises StoreError if a process is at it."""
    with _held(work, StoreError):
        finish(work)


@contextmanager
def _held(work: Path, error: type[PreceptorError]) -> Iterator[None]:
    """Make the folder and lock it; the lock is released when the block ends or the process dies."""
    while True:
        try:
            work.mkdir(parents=True, exist_ok=True)
            lock = (work / LOCK).open("ab")
        except (FileNotFoundError, FileExistsError):  # the process that locked it is removing it
            if work.exists() and not work.is_dir():
                raise
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise error(
                    f"{work}: another process is at this run; let it finish, or choose another --out"
                ) from None
            except OSError:  # a file system without locks
                pass
            if not _stands(work / LOCK, lock):
                continue
            yield
            return


def _stands(path: Path, lock: BinaryIO) -> bool:
    """True if the path is still the open file, not a new file made after its removal."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _empty(work: Path) -> None:
    for entry in work.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
