"""Read folders of models: the base of a LoRA adapter, which adapter_config.json names, and code in them.

models/gec/adapter_config.json  {"base_model_name_or_path": "/home/me/models/gec-sft", …}
-> models/gec-sft, where both folders were moved together; HuggingFaceTB/SmolLM2-135M is a name on the Hub
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

ADAPTER = "adapter_config.json"
"""PEFT's config of an adapter, with the name of its base model."""
ABOUT = "preceptor.json"
"""Provenance, as training writes it."""
METRICS = "metrics.json"
CURVES = "curves.png"
CARD = "README.md"


def find_base(adapter: Path, named: str) -> Path | None:
    """Find the folder of an adapter's base: as named, relative to the adapter, or of that name beside it.

    Looks beside the adapter only if the base is known to have been a folder. None if there is no folder, as
    for a model on the Hub.
    """
    places = [Path(named), adapter / named]
    if was_folder(adapter, named):
        places.append(adapter.resolve().parent / Path(named).name)
    return next((place for place in places if place.is_dir()), None)


def was_folder(adapter: Path, named: str) -> bool:
    """True if the base was a folder of the machine that trained the adapter, not a model on the Hub."""
    return bool(read_known_base(adapter)) or named.startswith(("/", ".", "~")) or named.count("/") > 1


def read_known_base(adapter: Path) -> dict[str, Any]:
    """Read what training recorded about a base that was a folder; {} for other bases."""
    try:
        known = json.loads((adapter / ABOUT).read_text(encoding="utf-8")).get("base")
    except (OSError, ValueError, AttributeError):
        return {}
    return known if isinstance(known, dict) else {}


def hash_model(folder: Path) -> str | None:
    """Hash the file that identifies a folder's model: preceptor.json, new in every run, or config.json.

    Returns the sha256, None if the folder has neither file.
    """
    for name in (ABOUT, "config.json"):
        if (folder / name).is_file():
            return hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return None


def list_code(folder: Path) -> list[str]:
    """List the files of a model's folder that are code, or name code for transformers to run (auto_map)."""
    found = [path for path in folder.rglob("*.py") if path.is_file()]
    for path in folder.rglob("*config*.json"):
        with suppress(OSError, ValueError, RecursionError):  # one that cannot be read names nothing
            if _has_key(json.loads(path.read_bytes()), "auto_map"):
                found.append(path)
    return sorted(str(path.relative_to(folder)) for path in found)


def _has_key(part: Any, name: str) -> bool:
    """True if a key stands anywhere in what JSON says."""
    if isinstance(part, dict):
        return name in part or any(_has_key(one, name) for one in part.values())
    return isinstance(part, list) and any(_has_key(one, name) for one in part)


def explain_code(where: object, error: Exception) -> str | None:
    """Explain that a model needs code of its own; None if transformers says anything else of it."""
    if "trust_remote_code" not in str(error):
        return None
    return (
        f"{where}: needs code of its own, in the model's folder, which could do anything on "
        "this machine; read that code, and give --trust-remote-code if you trust it"
    )
