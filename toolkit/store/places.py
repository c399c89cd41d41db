"""Places outside the store where commands on it write what people said, and where they work meanwhile.

    .preceptor.duckdb.places     {"out": "dist/gec", "what": "", "partial": ".gec.partial-k2j4x8aa"}
                                 {"out": "forms-ada.csv", "what": "form", "partial": ""}
    .preceptor.duckdb.partial-…  a command's temporary files, locked while it runs

So the next command on the store finds what a killed one left, wherever that was, and `forget` finds the rest.
The file can be lost: what is then not found is what lies outside the store's folder and those of its builds.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ...schemas.manifest import MANIFEST
from ...schemas.support.files import (
    hold_partial_folder,
    remove_leftovers,
    remove_unlocked,
    settle_replaced,
    watch_partial_folders,
)

_KILLED = ", which a command that was killed had left"
_in_use: list[Path] = []


@dataclass(frozen=True)
class Place:
    """A file or folder that a command on the store wrote or was about to write."""

    out: str  # relative to the store's folder where it lies inside; or where it is, such as a Hub's address
    what: str = ""  # such as form; empty for what is of no interest once it is whole
    partial: str = ""  # name of the folder beside it, until it was moved


@contextmanager
def use_store(store: Path) -> Iterator[None]:
    """Keep temporary files beside the store within the block, and note what is written elsewhere."""
    whole = store.absolute()

    def tell(out: Path, partial: Path | None) -> None:
        if out.absolute() != whole:
            note_place(store, out, "" if partial else "unfinished run", partial)

    _in_use.append(whole)
    first = _in_use.count(whole) == 1
    try:
        with watch_partial_folders(tell) if first else nullcontext():
            yield
    finally:
        _in_use.remove(whole)


@contextmanager
def hold_temporary_folder(store: Path | None = None) -> Iterator[Path]:
    """Make a folder that nobody else can read, beside the store (by default the one in use), for the block.

    If the process is killed, the next command on the store removes it. Where no store is in use, or its
    folder is read-only, it is in the system's folder for temporary files.
    """
    beside = store or next((one for one in reversed(_in_use) if one.is_file()), None)
    if beside is not None and os.access(beside.parent, os.W_OK):
        with hold_partial_folder(beside) as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="preceptor-") as name:
            yield Path(name)


def note_place(store: Path, out: Path | str, what: str, partial: Path | None = None) -> None:
    """Note where a command on the store writes what people said.

    `out` is a path, or an address. Nothing is noted where there is no store, or its folder is read-only.
    """
    if not store.is_file():
        return
    home = store.absolute().parent.resolve()
    if isinstance(out, Path):
        whole = out.absolute().resolve()
        out = whole.relative_to(home).as_posix() if whole.is_relative_to(home) else str(whole)
    place = Place(out, what, partial.name if partial else "")
    with suppress(OSError), _locked(store) as (places, file):
        if place not in places:
            os.write(file, (json.dumps(asdict(place), ensure_ascii=False) + "\n").encode())


def list_places(store: Path) -> dict[str, str]:
    """List what is noted, in order: {file, folder or address: what it is}; paths are whole."""
    file = _find_file(store)
    places = _parse(file.read_bytes()) if file.is_file() else []
    known: dict[str, str] = {}
    for place in places:
        where = place.out if "://" in place.out else str(_locate(store, place))
        known[where] = place.what or known.get(where, "")
    return known


def clear_places(store: Path) -> list[str]:
    """Remove what killed commands left beside the store and in the places noted; say what was done.

    What a running process holds stays.
    """
    done = [f"removed {left}{_KILLED}" for left in remove_leftovers(store)]
    if not _find_file(store).is_file():
        return done
    with suppress(OSError), _locked(store) as (places, _):
        for place in places:
            left = _find_partial(store, place)
            if left and remove_unlocked(left):
                done.append(f"removed {left}{_KILLED}")
        outs = {_locate(store, place) for place in places if _find_partial(store, place)}
        with suppress(OSError):
            done += filter(None, map(settle_replaced, sorted(outs)))
        kept = [one for place in dict.fromkeys(places) if (one := _keep(store, place))]
        if kept != places:
            _write(store, kept)
    return done


def _keep(store: Path, place: Place) -> Place | None:
    """Return the note as it is to be kept; None if there is nothing left to find."""
    out = _locate(store, place)
    left = _find_partial(store, place)
    if left and left.is_dir():
        return place
    if "://" in place.out or (place.what and out.exists()):
        return Place(place.out, place.what)
    # A command that was killed after it had moved a dataset there could not tell the store of it.
    return Place(place.out, "dataset") if (out / MANIFEST).is_file() else None


def _find_partial(store: Path, place: Place) -> Path | None:
    """Find the folder beside what was being written; None if its name is not that of such a folder."""
    out = _locate(store, place)
    if "/" in place.partial or not place.partial.startswith(f".{out.name}.partial-"):
        return None
    return out.with_name(place.partial)


def _locate(store: Path, place: Place) -> Path:
    return store.absolute().parent.resolve() / place.out


def _find_file(store: Path) -> Path:
    return store.with_name(f".{store.name}.places")


@contextmanager
def _locked(store: Path) -> Iterator[tuple[list[Place], int]]:
    """Open the notes for the block: what they say, and the file to append to. No other process has them."""
    path = _find_file(store)
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file)):
                with os.fdopen(os.dup(file), "rb") as stream:
                    places = _parse(stream.read())
                yield places, file
                return
        finally:
            os.close(file)


def _write(store: Path, places: list[Place]) -> None:
    """Write the notes anew, or remove their file if there are none."""
    path = _find_file(store)
    if not places:
        path.unlink()
        return
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(
        os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as stream:
        stream.writelines(json.dumps(asdict(place), ensure_ascii=False) + "\n" for place in places)
    new.replace(path)


def _parse(content: bytes) -> list[Place]:
    """Read notes; a line that is none, such as one that a kill cut off, is passed over."""
    places = []
    for line in content.splitlines():
        with suppress(ValueError, TypeError, RecursionError):
            place = Place(**json.loads(line))
            if all(isinstance(value, str) and "\0" not in value for value in asdict(place).values()):
                places.append(place)
    return places
