"""`preceptor train`: a recipe -> a model folder, by TRL's trainers.

    OUT/adapter_model.safetensors, or model.safetensors    and the tokenizer
    OUT/preceptor.json   dataset with revision and digest, recipe, versions, metrics
    OUT/metrics.json     figures of the run, and of every step that was logged
    OUT/curves.png, OUT/README.md

Until it is whole it stands in .OUT.unfinished, with its checkpoints; the same command goes on from there.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..schemas.errors import TrainingError
from ..schemas.manifest import MANIFEST
from ..schemas.support.unfinished_run import finish, hold_run
from .config import Config
from .data import Loaded, load
from .launch import rank, told_by_first, world
from .output import write_about
from .preflight.preflight import preflight
from .preflight.records import Report, report_json, report_table, settings_from
from .trainer.logging import lines_callback, watched
from .trainer.watch import Watch, watch_callback

# Packages, any of which is enough, of what report_to may name; transformers says the rest.
REPORTS = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    out: Path
    metrics: dict[str, Any]
    """Those of metrics.json but the history; empty in all but the first of several processes."""
    warnings: list[str]
    resumed_from: int | None
    """The step of the checkpoint that the run went on from; None where it was unbroken."""


def train(
    config: Config, out: Path | None = None, restart: bool = False, say: Callable[[str], object] | None = None
) -> Trained:
    """Train as the recipe says and write the model's folder, whole or not at all.

    A run that was broken off goes on from its last checkpoint and ends with the same weights; `restart`
    throws it away. `say` is given what preflight found, as a table, the step that a run goes on from, and a
    line for every log where no terminal shows the trainer's bar. TrainingError where the folder is taken,
    the dataset or model cannot be used, rows are refused, or an unfinished run of another recipe stands
    there.
    """
    target = out or Path(config.values.get("output_dir") or "")
    if target == Path():
        raise TrainingError(f"{config.path}: say where the model goes: --out DIR")
    _check_target(target)
    _check_base(config)
    _check_device(config)
    _check_reports(config)
    with ExitStack() as held:
        return _train(config, target, restart, say, held)


def _check_target(target: Path) -> None:
    """TrainingError where the model's place is taken."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise TrainingError(f"{target}: exists; choose another --out, or move it away")


def _train(
    config: Config, target: Path, restart: bool, say: Callable[[str], object] | None, held: ExitStack
) -> Trained:
    """The run; `held` keeps its folder from others until it ends."""
    loaded = load(config)
    work = target.with_name(f".{target.name}.unfinished")
    os.environ.update(config.environment)
    report = _allowed(config, loaded, say)
    arguments, model_arguments = _arguments(config, work / "checkpoints")
    last = told_by_first(lambda: _enter(work, target, config, loaded, restart, held))
    if not work.is_dir():
        raise TrainingError(
            f"{work}: not to be seen from this machine; --out must be on a file system that "
            "all machines of the run share"
        )
    if say and last and rank() == 0:
        say(f"going on from step {_step(last):,}")
    watch = Watch(config.chosen_fall)
    callbacks = [watch_callback(watch), *([lines_callback(say)] if say and not watched() else [])]
    trainer = _trainer(config, loaded, arguments, model_arguments, callbacks)
    result = trainer.train(resume_from_checkpoint=str(last) if last else None)
    made = work / "model"
    _save(trainer, made)
    metrics: dict[str, Any] = {}
    if rank() == 0:
        told = report_json(report) if report else {}
        metrics = write_about(made, config, loaded, trainer, result.metrics, watch.warnings, told)
        _finish(work, target, config.keep_checkpoints)
    trainer.accelerator.wait_for_everyone()
    trainer.end()
    return Trained(target, metrics, watch.warnings, _step(last) if last else None)


def look(config: Config, loaded: Loaded, processes: int | None = None) -> Report:
    """What preflight says of the rows, by the model's tokenizer and without its weights.

    `processes` share the batches of a step; None: those of this run. TrainingError where no whole model is
    named.
    """
    _check_base(config)
    parts = {"train": loaded.train} | ({"evaluation": loaded.evaluation} if loaded.evaluation else {})
    values = config.values | {"allow": list(config.allow), "num_processes": processes or world()}
    hard = config.stage == "soft-dpo" and "p" not in loaded.train.column_names  # one p for all, by smoothing
    stage = "dpo" if hard else config.stage
    return preflight(parts, str(values["model_name_or_path"]), stage, settings_from(values))


def _allowed(config: Config, loaded: Loaded, say: Callable[[str], object] | None) -> Report | None:
    """Preflight's report, told by the first process; TrainingError where it refuses rows.

    The first process of every machine looks; None for the others, which would find the same.
    """
    if int(os.environ.get("LOCAL_RANK", "0")):
        return None
    report = look(config, loaded)
    if say and rank() == 0:
        say(report_table(report))
    if report.refusals:
        kinds = ", ".join(sorted({defect.kind for defect in report.refusals}))
        told = "; ".join(defect.text for defect in report.refusals)
        raise TrainingError(f"{config.path}: not trained, for {kinds}: {told}")
    return report


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end (its trainer_state.json comes last).

    One of the last step within an epoch only where there is no other: transformers would go on from it with a
    step too many.
    """
    ended = None
    for found in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            state = json.loads((found / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if state.get("global_step", 0) < state.get("max_steps", math.inf) or not state.get("epoch", 0) % 1:
            return found
        ended = ended or found
    return ended


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _check_base(config: Config) -> None:
    """TrainingError where no whole model is named: an adapter that should be merged first, a dataset."""
    base = Path(str(config.values["model_name_or_path"]))
    if (base / MANIFEST).is_file():
        raise TrainingError(
            f"{config.path}: 'model_name_or_path': {base} is a dataset; name the folder of a "
            "model, or one on the Hub"
        )
    if (base / "adapter_config.json").is_file():
        raise TrainingError(
            f"{base}: is an adapter; merge it into its model first: preceptor merge {base} "
            f"--out {base}-merged"
        )
    if not base.exists() and base.parent != Path() and base.parent.is_dir():
        raise TrainingError(
            f"{base}: no such folder, though {base.parent} is one; train it first, or name a model on the Hub"
        )


def _check_device(config: Config) -> None:
    """TrainingError for what only a GPU can do."""
    if config.values.get("load_in_4bit") or config.values.get("load_in_8bit"):
        import torch

        if not torch.cuda.is_available():
            raise TrainingError(
                f"{config.path}: load_in_4bit and load_in_8bit need a GPU; --set load_in_4bit=false"
            )


def _check_reports(config: Config) -> None:
    """TrainingError where a run is to be reported to what is not installed: TRL says so after the weights."""
    wanted = config.values.get("report_to") or []
    for name in [wanted] if isinstance(wanted, str) else wanted:
        packages = REPORTS.get(name)
        if packages and not any(find_spec(package) for package in packages):
            raise TrainingError(
                f"{config.path}: 'report_to': {name} is not installed: pip install {packages[0]}; or "
                "--set report_to=none"
            )


def _arguments(config: Config, checkpoints: Path) -> tuple[Any, Any]:
    """The trainer's config and TRL's ModelConfig; on a machine without a GPU with defaults that suit it."""
    import torch
    import trl

    made: dict[str, Any] = {**config.trainer_values, "output_dir": str(checkpoints)}
    if made.get("use_cpu") or not torch.accelerator.is_available():
        made = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, **made}
    if not watched():
        made = {"disable_tqdm": True, **made}
    kind = {"sft": trl.SFTConfig, "kto": trl.KTOConfig}.get(config.stage, trl.DPOConfig)
    try:
        arguments = kind(**made)
        model = trl.ModelConfig(**config.of("ModelConfig"))
    except (ValueError, TypeError, ImportError) as error:
        raise TrainingError(f"{config.path}: {' '.join(str(error).split())}") from error
    arguments.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **({"device_map": None} if world() > 1 else {}),  # TRL's "auto" under FSDP is for one process
        **(arguments.model_init_kwargs or {}),
    }
    return arguments, model


def _trainer(config: Config, loaded: Loaded, arguments: Any, model: Any, callbacks: list[Any]) -> Any:
    """The stage's trainer, with model, adapter and data prepared."""
    import trl
    from transformers import PrinterCallback

    kind: Any = {"sft": trl.SFTTrainer, "kto": trl.KTOTrainer}.get(config.stage, trl.DPOTrainer)
    if config.stage == "soft-dpo":
        from .trainer.soft_dpo import SoftDPOTrainer

        kind = SoftDPOTrainer
    try:
        trainer = kind(
            model=model.model_name_or_path,
            args=arguments,
            train_dataset=loaded.train,
            eval_dataset=loaded.evaluation,
            quantization_config=trl.get_quantization_config(model),
            peft_config=trl.get_peft_config(model),
            callbacks=callbacks,
        )
    except (ValueError, OSError) as error:
        raise TrainingError(f"{config.path}: {' '.join(str(error).split())}") from error
    trainer.remove_callback(PrinterCallback)  # it prints what has no bar as Python's dictionaries
    return trainer


def _enter(
    work: Path, target: Path, config: Config, loaded: Loaded, restart: bool, held: ExitStack
) -> Path | None:
    """Make the folder of the unfinished run, or go back into it if it is of this very run: its checkpoint."""
    values = {name: value for name, value in config.values.items() if name != "output_dir"}
    run = {"stage": config.stage, "values": values, "dataset": loaded.about()}
    held.enter_context(hold_run(work, run, restart, TrainingError, lambda old: _other(old, run)))
    _check_target(target)  # the same command may have finished meanwhile
    checkpoints, kept = work / "checkpoints", work / "model" / "checkpoints"
    if kept.is_dir() and not checkpoints.exists():  # killed while it was finished
        kept.rename(checkpoints)
    shutil.rmtree(work / "model", ignore_errors=True)
    return None if config.values.get("save_only_model") else last_checkpoint(checkpoints)


def _other(before: str, run: Mapping[str, Any]) -> str:
    """In what an earlier note and this run differ: "seed 0, now 1"."""
    try:
        notes = [
            {"stage": note["stage"], **note["values"], "dataset": note["dataset"]["digest"][:12]}
            for note in (json.loads(before), run)
        ]
    except (ValueError, KeyError, TypeError):
        return "its run.json cannot be read"
    names = sorted({name for name in {**notes[0], **notes[1]} if notes[0].get(name) != notes[1].get(name)})
    return "; ".join(f"{name} {notes[0].get(name)}, now {notes[1].get(name)}" for name in names)


def _save(trainer: Any, made: Path) -> None:
    """Write weights and tokenizer, gathered whole where processes share them; TrainingError if none are."""
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None:  # of shards save_model would write nothing, without a word
        plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(made))
    trainer.accelerator.wait_for_everyone()
    if rank() == 0 and not any(made.glob("*.safetensors")):
        raise TrainingError(
            f"{made}: no weights were written; with DeepSpeed ZeRO-3 its config needs "
            "zero3_save_16bit_model: true. The same command goes on from the last checkpoint"
        )


def _finish(work: Path, target: Path, keep_checkpoints: bool) -> None:
    """The finished folder to its place; then the rest goes."""
    if keep_checkpoints and (work / "checkpoints").is_dir():
        (work / "checkpoints").rename(work / "model" / "checkpoints")
    if target.is_dir():
        target.rmdir()  # an empty one, as was checked
    (work / "model").rename(target)
    finish(work)
