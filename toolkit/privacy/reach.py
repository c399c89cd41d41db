"""What `forget` does not reach of itself: copies outside the store, and what was learnt from them.

    ~/.cache/huggingface/datasets/preceptor-5f0c…  rows of dist/gec, as training read them
    models/gec/preceptor.json                      trained on dist/gec
    .models/gec.unfinished/run.json                the same, not finished
    forms-ada.csv, out.m2, report.html             noted when they were written (store/places.py)
    http://127.0.0.1:6900                          questions that were pushed to Argilla

Models, evaluations and caches state the sha256 of the manifest of their dataset.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...schemas.manifest import MANIFEST, parse_manifest
from ...schemas.support.files import remove_leftovers
from ...schemas.support.unfinished_run import NOTE, remove_run
from ..store.connection import Store, query
from ..store.folders import find_store_file
from ..store.places import list_places
from .traces import list_datasets

MODEL, EVALUATION, SERVER = "preceptor.json", "answers.jsonl", "argilla.db"
_ABOUT = (MODEL, "metrics.json", NOTE)  # files that state a digest of a dataset
_REMEDIES = {
    "form": "delete it once its answers are imported",
    "export": "delete it, or export again",
    "report": "delete it, or write it again",
    "published dataset": "publish again, which names the tags and the history that keep rows",
    "Argilla's database": "delete its records in Argilla, or the folder once the answers are pulled",
    "questions in Argilla": "delete the dataset there once the answers are pulled",
    "model": "train it again on the new dataset",
    "evaluation": "delete it, or evaluate again",
    "unfinished run": "delete it, or give its command again with --restart",
    "cache": "delete it; it is made again when it is needed",
    "store": "forget the person there too",
    "study": "pull it (preceptor study pull), which takes the person out of its journal",
    "campaign": "pull it (preceptor annotate pull), which takes person and texts out of its journal",
}
_MADE_AGAIN = ("export", "report", "unfinished run", "cache")


@dataclass(frozen=True)
class OutsidePlace:
    """A place that may hold rows of the person, and what to do about it."""

    where: str
    what: str
    about: str = ""
    """Why it may, where that is known."""

    @property
    def remedy(self) -> str:
        """What the user can do."""
        return _REMEDIES[self.what]


def find_beyond(con: Store, holding: Sequence[Path], look_in: Sequence[Path] = ()) -> list[OutsidePlace]:
    """Find places outside the store that may hold rows of a person, other than datasets.

    `holding` are the datasets that do. Places that state a dataset without such rows are left out.
    """
    found = list_datasets(con, look_in)
    of_digest = {_digest(folder): folder for folder in found}
    suspect = {digest: folder for digest, folder in of_digest.items() if folder in holding}
    clean = of_digest.keys() - suspect.keys()
    tops = _list_tops(con, found, look_in)
    places = [
        *_find_noted(con),
        *_find_servers(con, tops),
        *_find_derived(tops, look_in, suspect, clean),
        *_find_caches(suspect, clean),
        *_find_stores(con, tops),
    ]
    return list({place.where: place for place in places}.values())


def remove_beyond(places: Iterable[OutsidePlace], holding: Iterable[Path]) -> list[str]:
    """Remove what can be made again: caches, exports, reports, unfinished runs, and the datasets `holding`.

    Returns what was removed. What a running process holds stays.
    """
    gone = []
    for place in places:
        if place.what in _MADE_AGAIN:
            with suppress(OSError):
                _remove(Path(place.where), place.what)
                gone.append(place.where)
    for folder in holding:
        with suppress(OSError):
            _remove_dataset(folder)
            gone.append(str(folder))
    return gone


def _remove(path: Path, what: str) -> None:
    if what == "unfinished run":
        remove_run(path)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove_dataset(folder: Path) -> None:
    """Remove the files that a manifest lists, the manifest last, and the folders that are empty then."""
    manifest = parse_manifest((folder / MANIFEST).read_bytes()) or {}
    files = [folder / name for name in manifest.get("files", {}) if ".." not in Path(name).parts]
    for file in (*files, folder / MANIFEST):
        if file.is_relative_to(folder):
            file.unlink(missing_ok=True)
    for inside in (*{file.parent for file in files}, folder):
        with suppress(OSError):
            inside.rmdir()
    remove_leftovers(folder)


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def _list_tops(con: Store, datasets: Iterable[Path], look_in: Sequence[Path]) -> list[Path]:
    """List the folders in which copies may lie: the store's own, those of datasets and of places noted."""
    file = find_store_file(con)
    noted = [Path(out) for out in (list_places(file) if file else ()) if "://" not in out]
    own = [file.parent] if file else []
    tops = dict.fromkeys([*own, *(path.parent for path in (*datasets, *noted)), *look_in])
    return [top for top in tops if top.is_dir()]


def _find_noted(con: Store) -> Iterator[OutsidePlace]:
    file = find_store_file(con)
    for where, what in (list_places(file) if file else {}).items():
        if what in _REMEDIES and what != "unfinished run":
            yield OutsidePlace(where, what)


def _find_servers(con: Store, tops: Sequence[Path]) -> Iterator[OutsidePlace]:
    """Find Argilla's databases, and the servers to which questions were pushed."""
    pushed = query(
        con, "SELECT name, url FROM sources WHERE reader = 'annotate' AND url IS NOT NULL ORDER BY name"
    )
    for name, url in pushed.rows():
        yield OutsidePlace(url, "questions in Argilla", f"campaign {name}")
    for top in tops:
        for database in sorted([*top.glob(SERVER), *top.glob(f"*/{SERVER}")]):
            yield OutsidePlace(str(database.parent), "Argilla's database")


def _find_derived(
    tops: Sequence[Path], look_in: Sequence[Path], suspect: dict[str, Path], clean: Iterable[str]
) -> Iterator[OutsidePlace]:
    """Find models, evaluations and unfinished runs, by the digests of datasets that they state."""
    files = {file for top in tops for name in _ABOUT for file in top.glob(f"*/{name}")}
    files |= {file for top in look_in for name in _ABOUT for file in top.rglob(name)}
    for file in sorted(files):
        what = _tell_kind(file)
        if not what:
            continue
        try:
            stated = set(re.findall(r"\b[0-9a-f]{64}\b", file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError):
            stated = set()
        if of := sorted(str(suspect[digest]) for digest in stated & suspect.keys()):
            yield OutsidePlace(str(file.parent), what, f"made from {', '.join(of)}")
        elif stated.isdisjoint(clean):
            yield OutsidePlace(str(file.parent), what, "made from a dataset that is not there any more")


def _tell_kind(file: Path) -> str:
    if file.name == NOTE:
        return "unfinished run" if file.parent.name.endswith(".unfinished") else ""
    if file.name == MODEL:
        return "model"
    return "evaluation" if file.with_name(EVALUATION).is_file() else ""


def _find_caches(suspect: dict[str, Path], clean: Iterable[str]) -> Iterator[OutsidePlace]:
    """Find rows that training read, which `datasets` keeps by the digest of their dataset."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser()
    place = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets").expanduser()
    known = {digest[:16]: folder for digest, folder in suspect.items()}
    others = {digest[:16] for digest in clean}
    for folder in sorted(place.glob("preceptor-*")):
        digest = folder.name.removeprefix("preceptor-")
        if digest in known:
            yield OutsidePlace(str(folder), "cache", f"rows of {known[digest]}")
        elif digest not in others:
            yield OutsidePlace(str(folder), "cache", "rows of a dataset that is not there any more")


def _find_stores(con: Store, tops: Sequence[Path]) -> Iterator[OutsidePlace]:
    own = find_store_file(con)
    for top in tops:
        for other in sorted(top.glob("*.duckdb")):
            if own is None or not other.samefile(own):
                yield OutsidePlace(str(other), "store")
