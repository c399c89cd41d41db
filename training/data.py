"""Datasets as a trainer takes them, with where they are from.

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
from .config import DATASET_CONFIG, Config
from .keys import Stage
from .trainer.logging import quiet

COLUMNS = {
    "sft": ("prompt", "completion"),
    "dpo": ("prompt", "chosen", "rejected"),
    "ipo": ("prompt", "chosen", "rejected"),
    "soft-dpo": ("prompt", "chosen", "rejected", "p"),
    "kto": ("prompt", "completion", "label"),
}


@dataclass(frozen=True)
class Loaded:
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
    """sha256 of the build's manifest, which holds those of its files; of the rows where there is none."""
    licenses: tuple[str, ...]
    publishable: bool
    """False for a local build, whose sources' licences nobody checked."""

    def about(self) -> dict[str, Any]:
        """What outputs say of the dataset."""
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


def load(config: Config) -> Loaded:
    """The rows that a recipe names; TrainingError where they are missing, changed or of another shape.

    Evaluation rows are those of dataset_test_split (validation if the recipe says nothing), where the
    recipe evaluates at all.
    """
    quiet()
    values = config.values
    name = str(values["dataset_name"])
    table = values.get("dataset_config") or DATASET_CONFIG[config.stage]
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
    shaped = [_shape(rows, f"{name} ({table})", config.stage, smoothed) for rows in read]
    if not origin["digest"]:
        origin["digest"] = _digest(shaped)
    return Loaded(shaped[0], shaped[1] if len(shaped) > 1 else None, config=table, **origin)


def _folder(folder: Path, table: str) -> dict[str, Any]:
    """Where a built folder is from, its files checked against the manifest."""
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
    """Where a dataset on the Hub is from, at the commit that a revision means."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        info = HfApi().dataset_info(repo, revision=revision)
        try:
            file = hf_hub_download(repo, MANIFEST, repo_type="dataset", revision=info.sha)
        except EntryNotFoundError:
            told = info.card_data.get("license") if info.card_data else None
            licenses = tuple([told] if isinstance(told, str) else told or ())
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
    """One split, read as plain TRL reads it.

    A folder's rows are cached under its digest: datasets (5.2) knows a folder by its last name and its card
    alone, and would answer with the rows of an earlier build.
    """
    from datasets import config, load_dataset

    cache = f"{config.HF_DATASETS_CACHE}/preceptor-{digest[:16]}" if digest else None
    try:
        return load_dataset(name, name=table, split=split, revision=revision, cache_dir=cache)
    except (ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise TrainingError(f"{name}: config {table} has no split {split} to read: {said}") from error


def _shape(rows: Any, where: str, stage: Stage, smoothed: bool) -> Any:
    """The columns that a stage takes, checked; others are left out."""
    wanted = COLUMNS[stage]
    if stage == "soft-dpo" and smoothed and "p" not in rows.column_names:
        wanted = COLUMNS["dpo"]
    missing = [name for name in wanted if name not in rows.column_names]
    if missing:
        raise TrainingError(
            f"{where}: stage {stage} needs {', '.join(missing)}, but the columns are "
            f"{', '.join(rows.column_names)}; choose another config with dataset_config"
            + ("; without p, label_smoothing gives all rows the same" if missing == ["p"] else "")
        )
    if not len(rows):
        raise TrainingError(f"{where}: has no rows; build it from more data")
    if "p" in wanted:
        _check_p(rows, where)
    return rows.select_columns(list(wanted))


def _check_p(rows: Any, where: str) -> None:
    import pyarrow.compute as pc

    column = rows.data.column("p")
    bad = pc.sum(
        pc.invert(pc.fill_null(pc.and_(pc.greater_equal(column, 0.0), pc.less_equal(column, 1.0)), False))
    )
    if n := bad.as_py():
        raise TrainingError(
            f"{where}: {n} rows have no p from 0 to 1; a fit gives it (preceptor fuse), build again"
        )


def _digest(parts: list[Any]) -> str:
    """sha256 of rows, for datasets without a manifest."""
    total = hashlib.sha256()
    for rows in parts:
        for row in rows:
            total.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return total.hexdigest()
