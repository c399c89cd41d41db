"""Read datasets for a trainer, with their provenance.

dist/gec (manifest.json, config preference) -> prompt, chosen, rejected; digest of the manifest
lab/gec at a commit of the Hub               -> the same, and the commit
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas.errors import TrainingError
from ..schemas.manifest import MANIFEST, read_manifest_bytes, require_manifest
from .config import TrainingConfig
from .stages.registry import STAGES
from .stages.stage import Stage
from .trainer.logging import hide_library_messages


@dataclass(frozen=True)
class LoadedData:
    """Rows to train on and to evaluate with (datasets.Dataset), and their provenance."""

    train: Any
    evaluation: Any | None
    name: str
    """The recipe's name of a built folder, or the repository on the Hub."""
    config: str
    repo: str | None
    """On the Hub; None for a folder."""
    revision: str | None
    """The commit on the Hub."""
    digest: str
    """sha256 of the build's manifest, which lists the sha256 of its files; of the rows if there is none."""
    licenses: tuple[str, ...]
    publishable: bool
    """False for a local build, whose sources' licences were not checked."""

    def describe(self) -> dict[str, Any]:
        """Describe the dataset for preceptor.json."""
        return {
            "name": self.name,
            "config": self.config,
            "repo": self.repo,
            "revision": self.revision,
            "digest": self.digest,
            "licenses": list(self.licenses),
            "publishable": self.publishable,
            "rows": {"train": len(self.train), "evaluation": len(self.evaluation) if self.evaluation else 0},
        }


def load(config: TrainingConfig) -> LoadedData:
    """Load the rows that a recipe names, with the columns of its stage.

    Evaluation rows are those of dataset_test_split (default: validation), if the recipe evaluates.
    TrainingError if rows are missing, changed or have other columns.
    """
    hide_library_messages()
    values = config.values
    name = str(values["dataset_name"])
    table = values.get("dataset_config") or STAGES[config.stage].dataset_config
    splits = [values.get("dataset_train_split", "train")]
    if values.get("eval_strategy", "no") not in ("no", False):
        splits.append(values.get("dataset_test_split", "validation"))
    folder = Path(name)
    if folder.is_dir():
        origin = _folder(folder, table)
        read = [_rows(name, table, split, None, origin["digest"]) for split in splits]
    else:
        if not config.dataset_revision:
            raise TrainingError(
                f"{name}: no such folder here; preceptor build writes one. If it is on the Hub, pin "
                "its commit: --set dataset_revision=COMMIT"
            )
        origin = _hub(name, config.dataset_revision)
        read = [_rows(name, table, split, origin["revision"]) for split in splits]
    smoothed = bool(values.get("label_smoothing"))
    shaped = [_shape(rows, f"{name} ({table})", STAGES[config.stage], smoothed) for rows in read]
    if not origin["digest"]:
        origin["digest"] = _digest(shaped)
    return LoadedData(shaped[0], shaped[1] if len(shaped) > 1 else None, config=table, **origin)


def _folder(folder: Path, table: str) -> dict[str, Any]:
    """Read the provenance of a built folder and check its files against the manifest."""
    content = read_manifest_bytes(folder, TrainingError)
    manifest = require_manifest(content, str(folder / MANIFEST), TrainingError)
    files = {name: digest for name, digest in manifest["files"].items() if name.startswith(f"{table}/")}
    if not files:
        raise TrainingError(
            f"{folder}: has no config {table}, but {', '.join(manifest['counts'])}; add it to configs of the "
            "recipe and build again, or choose another with dataset_config"
        )
    for name, digest in files.items():
        file = folder / name
        if not file.is_file() or _sha256(file) != digest:
            state = "changed since the build" if file.is_file() else "missing"
            raise TrainingError(f"{file}: {state}; build it again (preceptor build RECIPE --out DIR)")
    return {"repo": None, "revision": None, **_origin(content, manifest)}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hub(repo: str, revision: str) -> dict[str, Any]:
    """Read the provenance of a dataset on the Hub, at the commit of a revision."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        info = HfApi().dataset_info(repo, revision=revision)
        try:
            file = hf_hub_download(repo, MANIFEST, repo_type="dataset", revision=info.sha)
        except EntryNotFoundError:
            stated = info.card_data.get("license") if info.card_data else None
            licenses = tuple([stated] if isinstance(stated, str) else stated or ())
            return {
                "name": repo,
                "repo": repo,
                "revision": info.sha,
                "digest": "",
                "licenses": licenses,
                "publishable": True,
            }
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise TrainingError(
            f"{repo}: cannot be had from the Hub at {revision}: {' '.join(str(error).split())}"
        ) from error
    content = Path(file).read_bytes()
    about = _origin(content, require_manifest(content, f"{repo}/{MANIFEST}", TrainingError))
    return {"repo": repo, "revision": info.sha, **about, "name": repo}


def _origin(content: bytes, manifest: Mapping[str, Any]) -> dict[str, Any]:
    under = manifest["recipe"].get("publish_under")
    return {
        "name": manifest["recipe"].get("name", "dataset"),
        "digest": hashlib.sha256(content).hexdigest(),
        "licenses": (under,) if under else tuple(manifest.get("licenses") or ()),
        "publishable": bool(under),
    }


def _rows(name: str, table: str, split: str, revision: str | None, digest: str | None = None) -> Any:
    """Read one split as plain TRL reads it.

    A folder's rows are cached under its digest: datasets (5.2) identifies a folder by its last name and its
    card alone, and would return the rows of an earlier build.
    """
    from datasets import config, load_dataset

    cache = f"{config.HF_DATASETS_CACHE}/preceptor-{digest[:16]}" if digest else None
    try:
        return load_dataset(name, name=table, split=split, revision=revision, cache_dir=cache)
    except (ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise TrainingError(f"{name}: config {table} has no split {split} to read: {said}") from error


def _shape(rows: Any, where: str, stage: Stage, smoothed: bool) -> Any:
    """Check and select the columns that a stage reads."""
    named = stage.name
    if stage.instead_of_own and smoothed and not set(stage.own) <= set(rows.column_names):
        stage = STAGES[stage.instead_of_own]
    missing = [column for column in stage.columns if column not in rows.column_names]
    if missing:
        own = stage.instead_of_own and missing == list(stage.own)
        raise TrainingError(
            f"{where}: stage {named} needs {', '.join(missing)}, but the columns are "
            f"{', '.join(rows.column_names)}; choose another config with dataset_config"
            + (f"; without {missing[0]}, label_smoothing gives all rows the same" if own else "")
        )
    if not len(rows):
        raise TrainingError(f"{where}: has no rows; build it from more data")
    if fault := stage.find_bad_rows(rows):
        raise TrainingError(f"{where}: {fault}")
    return rows.select_columns(list(stage.columns))


def _digest(parts: list[Any]) -> str:
    """Compute the sha256 of rows, for datasets without a manifest."""
    total = hashlib.sha256()
    for rows in parts:
        for row in rows:
            total.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return total.hexdigest()
