"""Where the model is that a LoRA adapter is put on: what adapter_config.json names as its base.

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
    """The folder that an adapter's base is: as named, seen from the adapter, or of that name beside it.

    None where there is none, as for a name on the Hub. Beside it is looked only where the base is known to
    have been a folder.
    """
    places = [Path(named), adapter / named]
    if was_folder(adapter, named):
        places.append(adapter.resolve().parent / Path(named).name)
    return next((place for place in places if place.is_dir()), None)


def was_folder(adapter: Path, named: str) -> bool:
    """Whether the base was a folder of the machine that trained the adapter, not a model on the Hub."""
    return bool(known_base(adapter)) or named.startswith(("/", ".", "~")) or named.count("/") > 1


def known_base(adapter: Path) -> dict[str, Any]:
    """What training wrote of a base that was a folder; nothing for others."""
    try:
        known = json.loads((adapter / ABOUT).read_text(encoding="utf-8")).get("base")
    except (OSError, ValueError, AttributeError):
        return {}
    return known if isinstance(known, dict) else {}


def fingerprint(folder: Path) -> str | None:
    """sha256 of what says which model a folder holds: preceptor.json, new in every run, or config.json."""
    for name in (ABOUT, "config.json"):
        if (folder / name).is_file():
            return hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return None
