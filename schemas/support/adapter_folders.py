"""Find the base model of a LoRA adapter, which adapter_config.json names.

models/gec/adapter_config.json  {"base_model_name_or_path": "/home/me/models/gec-sft", …}
-> models/gec-sft, where both folders were moved together; HuggingFaceTB/SmolLM2-135M is a name on the Hub
"""

import hashlib
from pathlib import Path
from typing import Any

from .json_text.values import parse_json

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
        known = parse_json((adapter / ABOUT).read_text(encoding="utf-8")).get("base")
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
