"""`preceptor publish`: a dataset folder -> a revision of a dataset on the Hub, loaded back from there.

One commit adds the card, the data and the manifest (`commit.py`). If the card came after its data, `configs`
of another build would stay for a while, and two configs would then load silently as one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import datasets
import polars as pl
from huggingface_hub import constants

from ...schemas.errors import HubError
from ...schemas.manifest import parse_manifest
from ...schemas.support.files import MANIFEST
from ..store.places import hold_temporary_folder
from .client import Say, call_patiently, check_token, connect, explain_error
from .commit import AGAIN, Parcel, PublishedRevision, Target, check_file, check_target, push
from .dataset_folder import Built, name_repository
from .forgotten import say_kept

DATASET: Literal["dataset"] = "dataset"


def publish(
    built: Built,
    repo: str,
    *,
    tag: str | None = None,
    public: bool = False,
    message: str = "",
    forgotten: pl.DataFrame | None = None,
    say: Say,
) -> tuple[PublishedRevision, int]:
    """Publish a build as the newest revision of `repo`, load it back from there, and tag it.

    Returns what was done, and the number of rows read back, of all configs. A new repository is private
    unless `public`; an existing one keeps its visibility. With the rows of `forgotten.check_forgotten`, tags
    and earlier revisions that keep rows of forgotten people are named. `say` gets progress messages. Raises
    HubError. Until the commit is made, which is one step, the repository is as it was.
    """
    check_target(repo, tag, DATASET)
    check_token()
    to = Target(connect(), repo, DATASET, public, say)
    with name_repository(built, repo) as named:
        parcel = Parcel(
            DATASET,
            named.path,
            named.files,
            MANIFEST,
            _listed,
            "build",
            title=f"Publish {built.manifest['recipe'].get('name', 'dataset')}, build {named.digest[:12]}",
            mend_card="mend the recipe and build again",
        )
        done = push(to, parcel, tag, message, lambda revision: _load_back(to, named, revision))
    if forgotten is not None:
        say_kept(to, forgotten)
    return done


def _listed(manifest: bytes) -> dict[str, str]:
    files: dict[str, str] = (parse_manifest(manifest) or {}).get("files", {})
    return files


def _load_back(to: Target, built: Built, revision: str) -> int:
    """Load all configs from the Hub at that revision into an empty cache; return the number of rows.

    Raises HubError unless every file has the sha256 that the manifest states, and every config its rows.
    """
    place, remedy = f"{to.repo}@{revision[:8]}", f"the commit is there, but is not checked; {AGAIN}"
    try:
        with hold_temporary_folder() as folder, use_fresh_cache(folder):
            for name, sha256 in built.files.items():
                check_file(to, name, revision, sha256)
            return sum(
                _check_config(
                    place, config, splits, call_patiently(_loading(to.repo, config, revision, folder), to.say)
                )
                for config, splits in built.rows.items()
            )
    except HubError:
        raise
    except Exception as error:
        raise explain_error(error, place, "loading it back", remedy) from error


def _loading(repo: str, config: str, revision: str, folder: Path) -> Any:
    return lambda: datasets.load_dataset(repo, config, revision=revision, cache_dir=f"{folder}/datasets")


def _check_config(place: str, config: str, expected: dict[str, int], loaded: Any) -> int:
    found = {str(split): len(rows) for split, rows in loaded.items()}
    if found != expected:
        raise HubError(
            f"{place}: config {config} loads with the rows {found} instead of {expected}; do not use this "
            "revision; is there a .huggingface.yaml beside the build's files?"
        )
    return sum(found.values())


@contextmanager
def use_fresh_cache(folder: Path) -> Iterator[None]:
    """Send downloads to the empty folder `folder`: files in the user's cache would prove nothing.

    `datasets` takes no such folder for its downloads, so the client's own setting is changed for the block.
    """
    counting, cache = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, constants.HF_HUB_CACHE
    bars = datasets.are_progress_bars_disabled()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # a check is no use of the dataset
    constants.HF_HUB_CACHE = f"{folder}/hub"
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, constants.HF_HUB_CACHE = counting, cache
        if not bars:
            datasets.enable_progress_bars()
