"""What stands beside a trained model's weights: provenance, figures, curves and a card.

preceptor.json  {"stage": "dpo", "base_model": "…", "dataset": {"name": "gec-corrections", "digest": "…"}, …}
metrics.json    {"steps": 30, "train": {…}, "evaluation": {…}, "warnings": [], "history": [{"step": 1, …}]}
"""

import json
import math
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..schemas.support.adapter_folders import hash_model
from ..schemas.support.versions import read_versions
from .config import Config
from .data import Loaded

ABOUT = "preceptor.json"
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
CURVES = (
    ("loss", ("loss", "eval_loss")),
    ("reward accuracy", ("rewards/accuracies", "eval_rewards/accuracies")),
    (
        "log-probability of completions",
        ("logps/chosen", "logps/rejected", "eval_logps/chosen", "eval_logps/rejected"),
    ),
)


def write_about(
    folder: Path,
    config: Config,
    loaded: Loaded,
    trainer: Any,
    result: Mapping[str, float],
    warnings: Sequence[str],
    preflight: Mapping[str, Any],
) -> dict[str, Any]:
    """Write everything but weights and tokenizer into the folder; the figures of metrics.json but history."""
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
        "dataset": loaded.about(),
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
        "commit": _commit(config.path),
        "metrics": metrics,
    }
    _write(folder / ABOUT, about)
    _write(folder / "metrics.json", metrics | {"history": history})
    draw(history, folder / "curves.png")
    (folder / "README.md").write_text(card(about, bool(config.values.get("use_peft"))), encoding="utf-8")
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, with paths of this machine
    return metrics


def _placeless(value: Any) -> Any:
    """Names of folders of this machine without where they are: "/home/me/gec" -> "gec", also after key=."""
    if not isinstance(value, str):
        return value
    key, equals, told = value.rpartition("=")
    return key + equals + (Path(told).name if Path(told).is_absolute() else told)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that JSON has: not-a-number becomes null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _evaluation(state: Any, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The evaluation of the weights that are kept: the best checkpoint's, or the last one."""
    found = [row for row in history if any(name.startswith("eval_") for name in row)]
    best = getattr(state, "best_global_step", None) if state.best_model_checkpoint else None
    kept = [row for row in found if row.get("step") == best] or found
    return dict(kept[-1]) if kept else {}


def _base(config: Config) -> tuple[str | None, dict[str, Any] | None]:
    """The model on the Hub that this one stands on, and what an earlier stage in a local folder was."""
    name = str(config.values["model_name_or_path"])
    folder = Path(name)
    if not folder.is_dir():
        return name, None
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, {"folder": folder.name, "sha256": hash_model(folder)}
    kept = {key: about.get(key) for key in ("stage", "base_model", "base_model_revision", "base", "dataset")}
    return about.get("base_model"), {"folder": folder.name, "sha256": hash_model(folder), **kept}


def _commit(recipe: Path) -> str | None:
    """The commit of the repository that the recipe is in; + where the recipe's folder has changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(  # noqa: S603
            ["git", "-C", str(recipe.resolve().parent), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def draw(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss, reward accuracy and log-probabilities over steps, as far as the run has them."""
    from matplotlib.figure import Figure

    panels = [(title, names) for title, names in CURVES if any(n in row for row in history for n in names)]
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


def card(about: Mapping[str, Any], adapter: bool) -> str:
    """The model card: base model and dataset in the YAML that the Hub reads, figures and provenance below."""
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
    licences = ", ".join(dataset["licenses"]) or "not stated"
    kept = {
        k: v
        for k, v in (metrics["evaluation"] or metrics["last"]).items()
        if isinstance(v, float) and _telling(k)
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
        f"# {about['base_model'] or _first_folder(about) or 'A model'} after {about['stage']} on "
        f"{dataset['name']}",
        "",
        f"{what}, trained with `preceptor train` "
        f"(stage `{about['stage']}`, {metrics['steps']} steps, seed {about['seed']}).",
        "",
        f"- Dataset: {dataset['name']}{at}, config `{dataset['config']}`, "
        f"{dataset['rows']['train']} rows; sha256 `{dataset['digest']}`",
        f"- Licences of its sources: {licences}"
        + ("" if dataset["publishable"] else ". The dataset was a local build, NOT FOR PUBLICATION."),
    ]
    if about["base"] and about["base"].get("stage"):
        earlier = about["base"]
        lines.append(
            f"- Before it: {earlier['stage']} on {earlier['dataset']['name']} "
            f"(sha256 `{earlier['dataset']['digest']}`)"
        )
    lines += ["", "| figure | value |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.4g} |" for name, value in figures.items() if value is not None]
    lines += ["", *(f"**Warning.** {said}.\n" for said in metrics["warnings"]), "![Curves](curves.png)", ""]
    lines += ["`preceptor.json` holds the recipe, versions and settings; `metrics.json` every log.", ""]
    return "\n".join(lines)


def _first_folder(about: Mapping[str, Any]) -> str | None:
    """The name of the local folder that the first stage began with."""
    name, base = None, about.get("base")
    while base:
        name, base = base.get("folder"), base.get("base")
    return name


def _telling(name: str) -> bool:
    return name in ("eval_loss", "eval_mean_token_accuracy") or "rewards/" in name or "logps/" in name
