"""Files of a trained model's folder, and the base model of a LoRA adapter.

models/gec/adapter_config.json  {"base_model_name_or_path": "/home/me/models/gec-sft", …}
-> models/gec-sft, where both folders were moved together; HuggingFaceTB/SmolLM2-135M is a name on the Hub
"""

import hashlib
import json
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
    """Find the folder of an adapter's base model: as named, relative to the adapter, or beside it.

    Only a base that is known to have been a folder is searched beside the adapter. None without a folder, as
    for a name on the Hub.
    """
    places = [Path(named), adapter / named]
    if was_folder(adapter, named):
        places.append(adapter.resolve().parent / Path(named).name)
    return next((place for place in places if place.is_dir()), None)


def was_folder(adapter: Path, named: str) -> bool:
    """Whether the base was a folder on the training machine, not a model on the Hub."""
    return bool(known_base(adapter)) or named.startswith(("/", ".", "~")) or named.count("/") > 1


def known_base(adapter: Path) -> dict[str, Any]:
    """Read the provenance that training wrote of a base that was a folder; {} for others."""
    try:
        known = json.loads((adapter / ABOUT).read_text(encoding="utf-8")).get("base")
    except (OSError, ValueError, AttributeError):
        return {}
    return known if isinstance(known, dict) else {}


def fingerprint(folder: Path) -> str | None:
    """Compute the sha256 of preceptor.json (new in every run), or else of config.json; None without both."""
    for name in (ABOUT, "config.json"):
        if (folder / name).is_file():
            return hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return None
