"""Read from a model's folder which data it was trained on (preceptor.json, written by preceptor train).

{"stage": "dpo", "dataset": {"name": "gec-corrections", "digest": "9f…"}, "base": {"dataset": {…}}, …}
"""

from pathlib import Path
from typing import Any

from ...schemas.support.adapter_folders import ABOUT
from ...schemas.support.json_text.values import parse_json
from .items import HeldOut


def read_training(folder: Path, held: HeldOut) -> dict[str, Any] | None:
    """Read the names and digests of the stages' datasets; warn if the prompts may be among their rows.

    Returns {"datasets": […], "warning": "…"}, without a warning if there is none; None if the folder has no
    record.
    """
    try:
        said = parse_json((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    datasets = []
    while isinstance(said, dict):
        if isinstance(data := said.get("dataset"), dict):
            datasets.append({key: data.get(key) for key in ("name", "config", "digest", "revision")})
        said = said.get("base")
    warning = _warning(datasets, held)
    return {"datasets": datasets} | ({"warning": warning} if warning else {})


def _warning(datasets: list[dict[str, Any]], held: HeldOut) -> str | None:
    others = [data["name"] for data in datasets if data["digest"] != held.digest]
    if others:
        named = ", ".join(dict.fromkeys(map(str, others)))
        return (
            f"was trained on another build than the one that is evaluated ({named}), so these prompts "
            "may be among what it learned"
        )
    if datasets and held.split == "train":
        return "was trained on this very split, so its answers tell nothing of other prompts"
    return None
