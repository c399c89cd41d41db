"""A model folder that `preceptor train` or `merge` wrote, made ready to leave this machine.

models/gec (adapter_model.safetensors, adapter_config.json, README.md, preceptor.json, checkpoints/, …)
-> the same without checkpoints and pickles; a card with licence, base model and datasets; an adapter
   that names a model on the Hub; preceptor.json with the sha256 of each file, and of paths in
       the recipe only their last part
"""

import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...schemas.errors import HubError, HubNameError, SourceError
from ...schemas.licenses import HUB_NAMES, find_hub_name, read_license
from ...schemas.support.adapter_folders import ABOUT, ADAPTER
from ...schemas.support.files import find_leading_out, hash_file
from ...schemas.support.json_text.values import parse_json
from ...schemas.support.nearest import suggest
from ...schemas.support.settings_files.yaml_values import parse_yaml
from .client import Kind, check_repo_id
from .commit import Parcel
from .dataset_folder import CARD
from .secrets import cut_paths, find_private

MODEL: Kind = "model"
SENT = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "*.txt",
    "*.md",
    "*.png",
    "*.svg",
    "*.gguf",
    "*.Modelfile",
    "LICENSE*",
    "NOTICE*",
)
# Of models, which are no SPDX ids; the Hub's names.
MODEL_LICENSES = (
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "llama4",
    "gemma",
    "openrail",
    "bigscience-openrail-m",
    "bigcode-openrail-m",
    "apple-amlr",
    "other",
)


@dataclass(frozen=True)
class ModelFolder:
    """A model folder that may be published."""

    path: Path
    names: tuple[str, ...]
    """Names of the files to send."""
    left_out: tuple[str, ...]
    about: Mapping[str, Any]
    adapter: bool
    head: Mapping[str, Any]
    """The card's YAML, with licence and base model."""
    body: str
    base: str
    """Name of the base model on the Hub."""
    local_base: Mapping[str, Any] | None
    """Training's record of a base that was a folder of this machine; None if the base was on the Hub."""
    keep_private: str
    """Why it must not be public; empty if it may be."""


def read_model_folder(path: Path, license: str | None, base: str | None) -> ModelFolder:
    """Read a model folder and check that it may leave this machine.

    `license` is the model's, as the Hub or SPDX names it, if the card states none; `base` the model on the
    Hub that an adapter of a local folder belongs to. Raises HubError, which says what must not leave or what
    is missing, and what to do.
    """
    about = _about(path)
    names, left_out = _names(path)
    if out := find_leading_out(path, names):
        raise HubError(
            f"{path}: {out[0]} leads out of the folder, and will not be sent; put the file itself there"
        )
    adapter = ADAPTER in names
    _check_weights(path, names, adapter)
    head, body = _card(path)
    stands_on, local = _base(path, about, adapter, base)
    licence = _license(license) if license else head.get("license")
    if not licence:
        raise HubError(
            f"{path}: no licence is stated: --license ID, that of {stands_on} (its page on the "
            "Hub says it) or one as strict, such as --license apache-2.0"
        )
    head = head | {"license": licence, "base_model": stands_on}
    reasons = "; ".join(dict.fromkeys(_reasons(about, str(licence))))
    return ModelFolder(path, names, left_out, about, adapter, head, body, stands_on, local, reasons)


def _about(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise HubNameError(f"{path}: no such folder; name one that preceptor train or merge wrote")
    if (path / "manifest.json").is_file() and not (path / ABOUT).is_file():
        raise HubNameError(f"{path}: is a dataset; preceptor publish {path} OWNER/NAME sends it")
    try:
        about = parse_json((path / ABOUT).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HubNameError(
            f"{path}: holds no {ABOUT}, so it is no model that preceptor train or merge "
            "wrote; name the folder that was the --out"
        ) from error
    except ValueError as error:
        raise HubError(f"{path / ABOUT}: is not JSON: {error}") from error
    if not isinstance(about, dict) or not isinstance(about.get("dataset"), dict):
        raise HubError(f"{path / ABOUT}: does not say what the model was trained on; train it again")
    return about


def _names(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List the files to send, and those left out: folders such as checkpoints, pickles, optimizer states."""
    found = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    sent = tuple(name for name in found if any(fnmatch.fnmatchcase(name, kind) for kind in SENT))
    return sent, tuple(name for name in found if name not in sent)


def _check_weights(path: Path, names: tuple[str, ...], adapter: bool) -> None:
    """Check the weights. Raises HubError if they are missing, or only a pickle, which may run code."""
    first = "adapter_model.safetensors" if adapter else "model.safetensors"
    index = f"{first}.index.json"
    wanted = {first}
    if index in names:
        wanted = set(parse_json((path / index).read_text(encoding="utf-8"))["weight_map"].values())
    if missing := sorted(wanted - set(names)):
        raise HubError(
            f"{path}: {', '.join(missing[:3])} missing; weights go to the Hub as safetensors, "
            "which preceptor train and merge write; run that again"
        )
    if not adapter and "config.json" not in names:
        raise HubError(f"{path}: config.json missing; name a folder that preceptor train or merge wrote")


def _card(path: Path) -> tuple[dict[str, Any], str]:
    """Read the card: its YAML and the text below."""
    try:
        text = (path / CARD).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise HubError(f"{path}: holds no {CARD}; preceptor train writes one") from error
    opening, _, rest = text.partition("---\n")
    header, end, body = rest.partition("\n---\n")
    head = parse_yaml(header, path / CARD, HubError)[1] if not opening and end else None
    if not isinstance(head, dict):
        raise HubError(
            f"{path / CARD}: begins with no YAML between lines of ---, which the Hub reads; mend it"
        )
    return head, body


def _base(
    path: Path, about: Mapping[str, Any], adapter: bool, named: str | None
) -> tuple[str, Mapping[str, Any] | None]:
    """Find the base model on the Hub, and what is known about it if it was a folder of this machine."""
    if named is not None:
        check_repo_id(named, MODEL)
    of_base = about.get("base")
    if not adapter:
        known = about.get("base_model") or named
        if not known:
            raise HubError(f"{path}: does not say what model it was made of; name it: --base OWNER/NAME")
        if named not in (None, known):
            raise HubNameError(f"--base {named}: {path} was made of {known}; leave --base out")
        return str(known), None
    try:
        said = str(parse_json((path / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError) as error:
        raise HubError(f"{path / ADAPTER}: names no base_model_name_or_path; train it again") from error
    if not (of_base or said.count("/") != 1 or said[0] in "/.~" or Path(said).exists()):
        if named not in (None, said):
            raise HubNameError(f"--base {named}: {path} was trained on {said}; leave --base out")
        return said, None
    folder = (of_base or {}).get("folder") or Path(said).name
    if named is None:
        raise HubError(
            f"{path}: is an adapter of {folder}, a folder of this machine, which nobody else has. Publish "
            f"both as one: preceptor merge {path} --out {path}-merged, and then that folder; or publish "
            f"{folder} first and name it: --base OWNER/NAME"
        )
    return named, of_base or {"folder": folder}


def _license(text: str) -> str:
    """Find the Hub's name of a licence."""
    low = text.lower()
    if low in MODEL_LICENSES or low in HUB_NAMES:
        return low
    try:
        found = read_license(text)
    except SourceError as error:
        near = suggest(low, MODEL_LICENSES, "of models' own there are")
        raise HubNameError(f"{str(error).partition('; For other')[0]}; {near}") from error
    if not found.redistribution and "ND" not in found.id.split("-"):
        raise HubNameError(
            f"--license {text}: says nothing of what others may do; name the licence, such as apache-2.0"
        )
    return find_hub_name(found.id)


def _trained_on(about: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The datasets of this stage and of those before it."""
    at: Any = about
    while isinstance(at, dict):
        if isinstance(at.get("dataset"), dict):
            yield at["dataset"]
        at = at.get("base")


def _reasons(about: Mapping[str, Any], licence: str) -> Iterator[str]:
    """List the reasons why a model must stay private, from its training data."""
    for dataset in _trained_on(about):
        name, of = dataset.get("name"), dataset.get("licenses") or [None]
        if not dataset.get("publishable"):
            yield (
                f"{name}, which it was trained on, was a local build, NOT FOR PUBLICATION; build it with "
                "publish_under and train again"
            )
            continue
        for one in of:
            try:
                terms = read_license(HUB_NAMES.get(str(one).lower(), one))  # of a card on the Hub: odc-by
            except SourceError:
                terms = read_license(None)
            if not terms.redistribution:
                yield (
                    f"{name}, which it was trained on, is under {one or 'no stated licence'}, which "
                    "allows no adaptations"
                )
            elif not terms.commercial_use and _is_commercial(licence):
                yield (
                    f"{name}, which it was trained on, is non-commercial ({one}), and {licence} is not; "
                    "choose one such as --license CC-BY-NC-4.0"
                )


def _is_commercial(licence: str) -> bool:
    try:
        return read_license(HUB_NAMES.get(licence, licence)).commercial_use
    except SourceError:  # of a model's own kind
        return True


def pack(folder: ModelFolder, work: Path, revision: str | None = None) -> Parcel:
    """Make the published copy in the empty folder `work`: links to unchanged files, the rest rewritten.

    `revision` is the commit of an adapter's base on the Hub. Raises HubError, which names each file that
    holds a path of this machine or a secret.
    """
    for name in folder.names:
        (work / name).symlink_to((folder.path / name).resolve())
    _rewrite(work / CARD, _card_text(folder))
    if folder.adapter:
        config = parse_json((work / ADAPTER).read_text(encoding="utf-8"))
        if folder.local_base is not None:
            config |= {"base_model_name_or_path": folder.base, "revision": revision}
            _rewrite(work / ADAPTER, _json(config))
    about = cut_paths(folder.about)  # of all files the one that holds what the user wrote: the recipe
    _rewrite(work / ABOUT, _json(about))
    amiss = [f"{name}: {found}" for name in folder.names for found in find_private(work / name)]
    if amiss:
        more = f"; and {len(amiss) - 3} more" if len(amiss) > 3 else ""
        raise HubError(
            f"{folder.path}: not sent, for what is of this machine or secret: "
            f"{'; '.join(amiss[:3])}{more}; take it out of the files"
        )
    files = {name: hash_file(work / name) for name in folder.names if name != ABOUT}
    _rewrite(work / ABOUT, _json(about | {"files": files}))
    files[ABOUT] = hash_file(work / ABOUT)
    stage, data = folder.about.get("stage", "model"), folder.about["dataset"].get("name", "dataset")
    return Parcel(
        MODEL,
        work,
        files,
        ABOUT,
        list_files,
        "model",
        title=f"Publish {stage} on {data}, {files[ABOUT][:12]}",
        mend_card="choose another --license, or mend README.md",
        keep_private=folder.keep_private,
    )


def list_files(about: bytes) -> dict[str, str]:
    """List the files in a published preceptor.json with their sha256; {} if it is not ours."""
    try:
        files = parse_json(about).get("files")
    except (ValueError, AttributeError):
        return {}
    return files if isinstance(files, dict) else {}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _rewrite(link: Path, text: str) -> None:
    link.unlink()
    link.write_text(text, encoding="utf-8")


def _card_text(folder: ModelFolder) -> str:
    """The card with licence, base model, datasets on the Hub, and figures as the Hub reads them."""
    head = dict(folder.head)
    repos = [data["repo"] for data in _trained_on(folder.about) if data.get("repo")]
    if repos:
        head["datasets"] = sorted({*repos, *(head.get("datasets") or [])})
    figures = {name.removeprefix("eval_"): value for name, value in _evaluation(folder.about).items()}
    if figures:
        data = folder.about["dataset"]
        of = {"name": data["name"], "type": data.get("repo") or data["name"], "split": "validation"}
        metrics = [
            {"type": name, "value": value, "name": f"held-out {name}"} for name, value in figures.items()
        ]
        task = {"type": "text-generation"}
        head["model-index"] = [
            {
                "name": f"{folder.base} after {folder.about.get('stage')} on {data['name']}",
                "results": [{"task": task, "dataset": of, "metrics": metrics}],
            }
        ]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{folder.body}"


def _evaluation(about: Mapping[str, Any]) -> dict[str, float]:
    """Collect held-out loss and accuracy of tokens and rewards, if the run has them."""
    found = (about.get("metrics") or {}).get("evaluation") or {}
    told = ("eval_loss", "eval_mean_token_accuracy", "eval_rewards/accuracies")
    return {name: found[name] for name in told if isinstance(found.get(name), float)}
