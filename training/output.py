"""Write the files beside a trained model's weights: provenance, figures, curves and a card.

preceptor.json  {"stage": "dpo", "base_model": "…", "dataset": {"name": "gec-corrections", "digest": "…"}, …}
metrics.json    {"steps": 30, "train": {…}, "evaluation": {…}, "warnings": [], "history": [{"step": 1, …}]}
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..schemas.support.adapter_folders import ABOUT, CARD, CURVES, METRICS, hash_model
from ..schemas.support.json_text.values import parse_json
from ..schemas.support.text import escape_markdown
from ..schemas.support.versions import read_versions
from .config import TrainingConfig
from .data import LoadedData
from .stages.registry import STAGES
from .trainer.commit import find_commit

LIBRARIES = (
    "preceptor",
    "trl",
    "transformers",
    "peft",
    "torch",
    "accelerate",
    "datasets",
    "tokenizers",
    "bitsandbytes",
)


def write_about(
    folder: Path,
    config: TrainingConfig,
    loaded: LoadedData,
    trainer: Any,
    result: Mapping[str, float],
    warnings: Sequence[str],
    preflight: Mapping[str, Any],
) -> dict[str, Any]:
    """Write everything but weights and tokenizer into the folder, and return the run's metrics.

    `result` are the figures of the trainer's train(), `warnings` those of the watch, `preflight` its report.
    The metrics are those of metrics.json without the history.
    """
    history = [_plain(row) for row in trainer.state.log_history]
    metrics = {
        "steps": trainer.state.global_step,
        "train": _plain({k: v for k, v in result.items() if k != "total_flos"}),
        "last": next((row for row in reversed(history) if "loss" in row), {}),
        "evaluation": _evaluation(trainer.state, history),
        "warnings": list(warnings),
    }
    base, of_base = _base(config)
    about = {
        "stage": config.stage,
        "base_model": base,
        "base_model_revision": getattr(trainer.model.config, "_commit_hash", None),
        "base": of_base,
        "dataset": loaded.describe(),
        "recipe": {
            "file": config.path.name,
            "text": config.text,
            "variant": config.variant,
            "set": [_placeless(s) for s in config.sets],
        },
        "settings": {k: _placeless(v) for k, v in config.values.items() if k != "output_dir"},
        "preflight": preflight,
        "seed": trainer.args.seed,
        "versions": read_versions(LIBRARIES),
        "commit": find_commit(config.path.resolve().parent),
        "metrics": metrics,
    }
    _write(folder / ABOUT, about)
    _write(folder / METRICS, metrics | {"history": history})
    draw_curves(history, STAGES[config.stage].figures.curves, folder / CURVES)
    (folder / CARD).write_text(render_card(about, bool(config.values.get("use_peft"))), encoding="utf-8")
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, with paths of this machine
    return metrics


def _placeless(value: Any) -> Any:
    """Shorten absolute paths to their last part: "/home/me/gec" -> "gec", also after key=."""
    if not isinstance(value, str):
        return value
    key, equals, place = value.rpartition("=")
    return key + equals + (Path(place).name if Path(place).is_absolute() else place)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Replace NaN and infinities, which JSON lacks, by null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _evaluation(state: Any, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The evaluation of the saved weights: the best checkpoint's, or the last one."""
    found = [row for row in history if any(name.startswith("eval_") for name in row)]
    best = getattr(state, "best_global_step", None) if state.best_model_checkpoint else None
    kept = [row for row in found if row.get("step") == best] or found
    return dict(kept[-1]) if kept else {}


def _base(config: TrainingConfig) -> tuple[str | None, dict[str, Any] | None]:
    """The base model on the Hub, and the provenance of an earlier stage in a local folder."""
    name = str(config.values["model_name_or_path"])
    folder = Path(name)
    if not folder.is_dir():
        return name, None
    try:
        about = parse_json((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, {"folder": folder.name, "sha256": hash_model(folder)}
    kept = {key: about.get(key) for key in ("stage", "base_model", "base_model_revision", "base", "dataset")}
    return about.get("base_model"), {"folder": folder.name, "sha256": hash_model(folder), **kept}


def draw_curves(
    history: Sequence[Mapping[str, Any]], curves: Sequence[tuple[str, Sequence[str]]], path: Path
) -> None:
    """Draw figures of the log over steps, a panel for each of `curves`: (title, keys of the log).

    Panels without any figure are left out.
    """
    from matplotlib.figure import Figure

    panels = [(title, names) for title, names in curves if any(n in row for row in history for n in names)]
    figure = Figure(figsize=(5 * max(len(panels), 1), 3.5), layout="constrained")
    all_axes = figure.subplots(1, max(len(panels), 1), squeeze=False)[0]
    for axes, (title, names) in zip(all_axes, panels, strict=False):
        for name in names:
            points = [(row["step"], row[name]) for row in history if row.get(name) is not None]
            if points:
                kind = "held out" if name.startswith("eval_") else "training"
                side = name.rpartition("/")[2] + ", " if "logps" in name else ""
                style = "o--" if name.startswith("eval_") else "-" if len(points) > 1 else "s"
                axes.plot(*zip(*points, strict=True), style, label=side + kind, markersize=3)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step")
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def render_card(about: Mapping[str, Any], adapter: bool) -> str:
    """Render the model card: base model and dataset in the Hub's YAML, then figures and provenance.

    `about` is the content of preceptor.json; `adapter` is false for whole models.
    """
    import yaml

    dataset, metrics = about["dataset"], about["metrics"]
    head: dict[str, Any] = {"library_name": "peft" if adapter else "transformers"}
    if about["base_model"]:
        head["base_model"] = about["base_model"]
    if dataset["repo"]:
        head["datasets"] = [dataset["repo"]]
    head |= {
        "pipeline_tag": "text-generation",
        "tags": ["preceptor", "trl", about["stage"], *["lora"] * adapter],
    }
    at = f" at `{dataset['revision']}`" if dataset["revision"] else ""
    licences = escape_markdown(", ".join(dataset["licenses"])) or "not stated"
    carded = {name for stage in STAGES.values() for name in stage.figures.card}
    kept = {
        k: v
        for k, v in (metrics["evaluation"] or metrics["last"]).items()
        if isinstance(v, float) and k in carded
    }
    figures = {
        f"train {k.removeprefix('train_')}": v for k, v in metrics["train"].items() if k == "train_loss"
    } | kept
    what = "A LoRA adapter" + " merged into its model" * bool(about.get("merged"))
    what = what if adapter or about.get("merged") else "All weights"
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False).strip(),
        "---",
        "",
        f"# {escape_markdown(about['base_model'] or _first_folder(about) or 'A model')} after "
        f"{about['stage']} on {escape_markdown(dataset['name'])}",
        "",
        f"{what}, trained with `preceptor train` "
        f"(stage `{about['stage']}`, {metrics['steps']} steps, seed {about['seed']}).",
        "",
        f"- Dataset: {escape_markdown(dataset['name'])}{at}, config `{dataset['config']}`, "
        f"{dataset['rows']['train']} rows; sha256 `{dataset['digest']}`",
        f"- Licences of its sources: {licences}"
        + ("" if dataset["publishable"] else ". The dataset was a local build, NOT FOR PUBLICATION."),
    ]
    if about["base"] and about["base"].get("stage"):
        earlier = about["base"]
        lines.append(
            f"- Before it: {earlier['stage']} on {escape_markdown(earlier['dataset']['name'])} "
            f"(sha256 `{earlier['dataset']['digest']}`)"
        )
    lines += ["", "| figure | value |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.4g} |" for name, value in figures.items() if value is not None]
    lines += [
        "",
        *(f"**Warning.** {escape_markdown(said)}.\n" for said in metrics["warnings"]),
        "![Curves](curves.png)",
        "",
    ]
    lines += ["`preceptor.json` holds the recipe, versions and settings; `metrics.json` every log.", ""]
    return "\n".join(lines)


def _first_folder(about: Mapping[str, Any]) -> str | None:
    """The name of the local folder that the first stage started from."""
    name, base = None, about.get("base")
    while base:
        name, base = base.get("folder"), base.get("base")
    return name
