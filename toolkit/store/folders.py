"""Folders that the store remembers, such as those of builds.

    store /home/ada/tutor/preceptor.duckdb, folder /home/ada/tutor/dist/gec -> dist/gec
    store /home/ada/tutor/preceptor.duckdb, folder /data/gec                -> /data/gec

A folder inside the store's own is kept relative to it, so that both may move together.
"""

from pathlib import Path

from .connection import Store, run
from .places import note_place


def record_folder(con: Store, folder: Path) -> str:
    """Return a folder as the store keeps it."""
    whole, home = folder.absolute().resolve(), _find_home(con)
    return whole.relative_to(home).as_posix() if whole.is_relative_to(home) else str(whole)


def locate_folder(con: Store, kept: str) -> Path:
    """Return the path of a folder that the store keeps."""
    return _find_home(con) / kept


def shorten_path(path: Path) -> str:
    """Return a path for people: relative to the working folder where it lies inside."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def find_store_file(con: Store) -> Path | None:
    """Find the store's file; None for a store in memory."""
    ((path,),) = run(con, "SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
    return Path(path).absolute() if path else None


def note_written(con: Store, file: Path, what: str) -> None:
    """Note that a file with what people said is written, such as a form: `forget` names it."""
    if store := find_store_file(con):
        note_place(store, file, what)


def _find_home(con: Store) -> Path:
    """Find the folder of the store's file; of a store in memory, the working folder."""
    file = find_store_file(con)
    return (file.parent if file else Path.cwd()).resolve()
