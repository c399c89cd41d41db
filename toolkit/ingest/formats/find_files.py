"""Find the files of a format, and hash them."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ....schemas.errors import SourceError
from ....schemas.support.files import find_leading_out
from ..files.numbered_lines import Input, OnBytes
from .format import Format


def find_inputs(format: Format, paths: Sequence[Path]) -> list[Input]:
    """Find the files to read, in order, each once, named relative to the folder that was given.

    Raises SourceError for a path that does not exist or a folder without such files.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise SourceError(f"{path}: no such file or folder; check the path")
        before = len(found)
        own = format.find(path)
        if own is not None:
            found += own
        elif path.is_dir():
            inside = sorted({p for g in format.patterns for p in path.rglob(g) if p.is_file()})
            if not inside:
                raise SourceError(
                    f"{path}: holds no {' or '.join(format.patterns)}; name the files themselves"
                )
            found += inside
        else:
            found.append(path)
        if path.is_dir():
            _check_inside(path, found[before:])
    files = {path.resolve(): Path(os.path.normpath(path.absolute())) for path in reversed(found)}
    folders = [path if path.is_dir() else path.parent for path in paths]
    top = os.path.commonpath([os.path.normpath(folder.absolute()) for folder in folders])
    return [
        Input(path, path.relative_to(top).as_posix() if path.is_relative_to(top) else path.name)
        for path in reversed(files.values())
    ]


def _check_inside(folder: Path, files: Sequence[Path]) -> None:
    """Raise SourceError for a file of a folder that is a link to a file elsewhere: nobody named that one."""
    names = [os.path.relpath(file, folder) for file in files]
    inside = [name for name in names if not name.startswith("..")]  # else the format names it
    if out := find_leading_out(folder, inside):
        raise SourceError(
            f"{folder}: {out[0]} is a link that leads out of the folder; name the file itself if it is "
            "meant, or put it there"
        )


def hash_files(files: Sequence[Input], on_bytes: OnBytes = lambda _: None) -> str:
    """Hash one file with sha256; several: sha256 of the output of `sha256sum` for them.

    Raises SourceError for a file that cannot be read.
    """
    sums = []
    for file in files:
        state = hashlib.sha256()
        try:
            with file.path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    state.update(block)
                    on_bytes(len(block))
        except OSError as error:
            raise SourceError(f"{file.path}: {error.strerror}; check the file") from error
        sums.append(state.hexdigest())
    if len(files) == 1:
        return sums[0]
    listing = "".join(f"{s}  {f.name}\n" for s, f in zip(sums, files, strict=True))
    return hashlib.sha256(listing.encode()).hexdigest()
