"""A dataset folder that `preceptor build` wrote, checked before it leaves.

DIR/README.md        the card; its YAML names the files of each config and split
DIR/…/….parquet      whatever files the manifest lists
DIR/manifest.json    {"recipe": …, "files": {"README.md": "<sha256>", …}, "gates": […],
                      "counts": {"preference": {"train": 80}}, "licenses": […]}
"""

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

from ...schemas.errors import HubError, HubNameError, PreceptorError, StoreError
from ...schemas.licenses import HUB_IDS
from ...schemas.support.files import MANIFEST, find_leading_out, hash_file
from ..dataset.card import REPOSITORY
from ..dataset.folder import read_manifest
from ..store.places import hold_temporary_folder
from .gates_again import check_folder

CARD = "README.md"
_SIZES = (
    *("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"),
    *("10B<n<100B", "100B<n<1T", "n>1T"),
)
_AGAIN = "build it again (preceptor build RECIPE --out DIR)"


@dataclass(frozen=True)
class Built:
    """A folder whose files are those of its manifest."""

    path: Path
    manifest: dict[str, Any]
    files: dict[str, str]  # path -> sha256, the manifest's own too
    rows: dict[str, dict[str, int]]  # config -> split -> rows, of every config that the card names

    @property
    def digest(self) -> str:
        """sha256 of the manifest, which holds those of all other files."""
        return self.files[MANIFEST]

    @cached_property
    def card(self) -> str:
        """The card's text."""
        return (self.path / CARD).read_text(encoding="utf-8")

    @property
    def licence(self) -> dict[str, Any]:
        """The verdict of the build's licence gate."""
        found: dict[str, Any] = next(g for g in self.manifest["gates"] if g["name"] == "licence")
        return found

    def get_size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        return (self.path / name).stat().st_size


def read_built(path: Path) -> Built:
    """Read a built folder and check it against its manifest, its gates and its card.

    Raises HubError, which says what is wrong.
    """
    manifest = _manifest(path)
    listed = {name: str(digest) for name, digest in manifest["files"].items()}
    _check_files(path, listed)
    _check_leave(path, manifest)
    files = {**listed, MANIFEST: hash_file(path / MANIFEST)}
    built = Built(path, manifest, files, _rows(path, manifest, listed))
    _check_gates(path, manifest)
    return built


@contextmanager
def name_repository(built: Built, repo: str) -> Iterator[Built]:
    """Give the build as it is published: its card names the repository, its manifest has that card's digest.

    The folder itself is not changed; the other files are links to its own.
    """
    if REPOSITORY not in built.card:
        yield built
        return
    with hold_temporary_folder() as folder:
        for file in built.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if file not in (CARD, MANIFEST):
                (folder / file).symlink_to((built.path / file).absolute())
        (folder / CARD).write_text(built.card.replace(REPOSITORY, repo), encoding="utf-8")
        listed = {n: d for n, d in built.files.items() if n != MANIFEST} | {CARD: hash_file(folder / CARD)}
        manifest = built.manifest | {"files": listed}
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        yield Built(folder, manifest, listed | {MANIFEST: hash_file(folder / MANIFEST)}, built.rows)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        return read_manifest(path)
    except StoreError as error:
        raise HubNameError(str(error)) from error


def _check_files(path: Path, listed: dict[str, str]) -> None:
    """Check the files. Raises HubError if one is missing, changed, or not in the manifest."""
    found = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    _check_inside(path, [*found, *listed])
    found.discard(MANIFEST)
    kinds = {
        "missing": sorted(listed.keys() - found),
        "changed since the build": [
            n for n in sorted(listed.keys() & found) if hash_file(path / n) != listed[n]
        ],
        "not of the build": sorted(found - listed.keys()),
    }
    amiss = [f"{_some(names)} {kind}" for kind, names in kinds.items() if names]
    if CARD not in listed:
        amiss.append(f"{CARD} not in the manifest")
    if amiss:
        only_more = not kinds["missing"] and not kinds["changed since the build"] and CARD in listed
        remedy = f"move what is not of the build away, or {_AGAIN}" if only_more else _AGAIN
        raise HubError(f"{path}: differs from its {MANIFEST}: {'; '.join(amiss)}; {remedy}")


def _check_inside(path: Path, names: Iterable[str]) -> None:
    """Raise HubError if a file that would be sent is not inside the folder, but linked or named elsewhere."""
    if out := sorted(set(find_leading_out(path, names))):
        raise HubError(
            f"{path}: {_some(out)} leads out of the folder, and will not be sent; put the file itself there, "
            f"or {_AGAIN}"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _check_leave(path: Path, manifest: dict[str, Any]) -> None:
    """Check that the build may be published. Raises HubError if not."""
    if not manifest["recipe"].get("publish_under"):
        licences = ", ".join(manifest.get("licenses") or ["none stated"])
        raise HubError(
            f"{path}: is a local build, NOT FOR PUBLICATION: its recipe names no licence to publish under "
            f"(its sources: {licences}); set publish_under in the recipe, such as publish_under: "
            "CC-BY-4.0, and build again"
        )
    gates = {gate["name"]: gate for gate in manifest["gates"]}
    red = [f"{name}: {gate['verdict']}" for name, gate in gates.items() if not gate["passed"]]
    if red:
        raise HubError(f"{path}: did not pass its gates; mend this and build again: {'; '.join(red)}")
    if "licence" not in gates:
        raise HubError(f"{path}: its licences were not checked; {_AGAIN}")


def _check_gates(path: Path, manifest: dict[str, Any]) -> None:
    """Run gates again on the rows. Raises HubError if one is red, whatever the manifest says of it."""
    try:
        red = [f"{gate.name}: {gate.verdict}" for gate in check_folder(path, manifest) if not gate.passed]
    except (PreceptorError, duckdb.Error, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:300]
        raise HubError(f"{path}: its gates cannot be run again: {said}; {_AGAIN}") from error
    if red:
        raise HubError(
            f"{path}: does not pass its gates, though its {MANIFEST} says so; mend this and build again: "
            f"{'; '.join(red)}"
        )


def _rows(path: Path, manifest: dict[str, Any], listed: dict[str, str]) -> dict[str, dict[str, int]]:
    """Count rows per config and split. Raises HubError unless card, files and manifest agree.

    The card is read as huggingface_hub and `datasets` read it. A config that the card forgets would not load,
    and a card without configs would load all of them as one.
    """
    place = path / CARD
    try:
        data = DatasetCard.load(place).data
        DatasetInfosDict.from_dataset_card_data(data)
        configs = MetadataConfigs.from_dataset_card_data(data)
    except Exception as error:  # of several libraries, each with its own kinds
        raise HubError(f"{place}: is not a valid card: {' '.join(str(error).split())}; {_AGAIN}") from error
    if wrong := list_card_faults(vars(data)):
        raise HubError(
            f"{place}: the Hub would refuse the card: {'; '.join(wrong)}; mend the recipe and build again"
        )
    stored = {name: _stored(path / name) for name in listed if name.endswith(".parquet")}
    rows: dict[str, dict[str, int]] = {}
    used: set[str] = set()
    for config, about in configs.items():
        rows[config] = {}
        for part in about["data_files"]:
            patterns = part["path"] if isinstance(part["path"], list) else [part["path"]]
            mine = [n for n in stored if any(fnmatch.fnmatchcase(n, pattern) for pattern in patterns)]
            rows[config][part["split"]] = sum(stored[name] for name in mine)
            used.update(mine)
    _check_rows(place, rows, manifest["counts"], stored.keys() - used)
    return rows


def list_card_faults(card: dict[str, Any]) -> list[str]:
    """List what the Hub refuses in a card's YAML: licence, languages, sizes and tags."""
    faults = []
    if card.get("license") not in HUB_IDS:
        faults.append(f"license {card.get('license')!r} is none of the Hub's")
    if card.get("license") == "other" and not card.get("license_name"):
        faults.append("license other needs a license_name")
    for key, form, expected in (
        ("language", r"[a-z]{2,3}", "a code of ISO 639, such as en"),
        ("size_categories", "|".join(map(re.escape, _SIZES)), f"one of {', '.join(_SIZES)}"),
        ("tags", r".{1,100}", "text of 1 to 100 characters"),
    ):
        values = card.get(key) or []
        for one in values if isinstance(values, list) else [values]:
            if not isinstance(one, str) or not re.fullmatch(form, one):
                faults.append(f"{key} {one!r} is not {expected}")
    return faults


def _stored(file: Path) -> int:
    try:
        rows: int = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError) as error:
        raise HubError(f"{file}: is not Parquet; {_AGAIN}") from error
    return rows


def _check_rows(
    place: Path, rows: dict[str, dict[str, int]], counts: dict[str, dict[str, int]], unused: set[str]
) -> None:
    """Check the card. Raises HubError if its rows are not those that the manifest counts."""
    if unused:
        raise HubError(f"{place}: no config of the card has {_some(sorted(unused))}; {_AGAIN}")
    if forgotten := counts.keys() - rows.keys():
        raise HubError(f"{place}: has no config {_some(sorted(forgotten))}; {_AGAIN}")
    for config, splits in rows.items():
        counted = counts.get(config, counts.get(config.removesuffix("_meta"), splits))
        if splits != counted:
            raise HubError(
                f"{place}: config {config} has the rows {splits}, but {MANIFEST} counts {counted}; {_AGAIN}"
            )
