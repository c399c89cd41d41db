"""`preceptor train`: a recipe -> a model folder, by TRL's trainers.

    OUT/adapter_model.safetensors, or model.safetensors    and the tokenizer
    OUT/preceptor.json   dataset with revision and digest, recipe, versions, metrics
    OUT/metrics.json     figures of the run, and of every logged step
    OUT/curves.png, OUT/README.md

An unfinished run is in .OUT.unfinished with its checkpoints; the same command resumes it.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..schemas.errors import TrainingError
from ..schemas.manifest import MANIFEST
from ..schemas.support.adapter_folders import ADAPTER, explain_code
from ..schemas.support.json_text.values import parse_json
from ..schemas.support.unfinished_run import finish, hold_run
from .config import TrainingConfig
from .data import LoadedData, load
from .launch import call_in_first, count_processes, get_rank
from .output import write_about
from .preflight.preflight import run_preflight
from .preflight.records import PreflightReport, convert_report, format_report
from .preflight.trainer_values import check_trainer, make_arguments
from .stages.registry import STAGES
from .stages.settings import pick_settings
from .trainer.logging import is_watched, make_lines_callback
from .trainer.watch import Watch, make_watch_callback


@dataclass(frozen=True)
class TrainedModel:
    """A finished run."""

    out: Path
    metrics: dict[str, Any]
    """Those of metrics.json without the history; empty in all but the first of several processes."""
    warnings: list[str]
    resumed_from: int | None
    """The step of the checkpoint that the run resumed from; None for an unbroken run."""


def train(
    config: TrainingConfig,
    out: Path | None = None,
    restart: bool = False,
    say: Callable[[str], object] | None = None,
) -> TrainedModel:
    """Train by a recipe and write the model's folder, whole or not at all.

    `out` replaces the recipe's output_dir. A run that was interrupted resumes from its last checkpoint and
    ends with the same weights; `restart` deletes it first. `say` is called with preflight's table, the step
    that a run resumes from, and a line for every log if stderr is no terminal. TrainingError if the folder
    is taken, the dataset or model cannot be used, rows are refused, or an unfinished run has another recipe.
    """
    target = out or Path(config.values.get("output_dir") or "")
    if target == Path():
        raise TrainingError(f"{config.path}: say where the model goes: --out DIR")
    _check_target(target)
    _check_base(config)
    _check_device(config)
    with ExitStack() as held:
        return _train(config, target, restart, say, held)


def _check_target(target: Path) -> None:
    """TrainingError if the model's folder exists and is not empty."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise TrainingError(f"{target}: exists; choose another --out, or move it away")


def _train(
    config: TrainingConfig, target: Path, restart: bool, say: Callable[[str], object] | None, held: ExitStack
) -> TrainedModel:
    """Run the training; `held` locks its folder until it ends."""
    loaded = load(config)
    work = target.with_name(f".{target.name}.unfinished")
    os.environ.update(config.environment)
    made = make_arguments(config, work / "checkpoints")
    report = _allowed(config, loaded, say, made)
    last = call_in_first(lambda: _enter(work, target, config, loaded, restart, held))
    if not work.is_dir():
        raise TrainingError(
            f"{work}: not to be seen from this machine; --out must be on a file system that "
            "all machines of the run share"
        )
    if say and last and get_rank() == 0:
        say(f"going on from step {_step(last):,}")
    watch, words = Watch(config.chosen_fall), STAGES[config.stage].figures.logged
    callbacks = [
        make_watch_callback(watch),
        *([make_lines_callback(say, words)] if say and not is_watched() else []),
    ]
    trainer = _trainer(config, loaded, *made, callbacks)
    result = _run(trainer, config, last)
    written = work / "model"
    _save(trainer, written)
    metrics: dict[str, Any] = {}
    if get_rank() == 0:
        found = convert_report(report) if report else {}
        metrics = write_about(written, config, loaded, trainer, result.metrics, watch.warnings, found)
        _finish(work, target, config.keep_checkpoints)
    trainer.accelerator.wait_for_everyone()
    trainer.end()
    return TrainedModel(target, metrics, watch.warnings, _step(last) if last else None)


def _forget_unbegun(work: Path, parents: Sequence[Path]) -> None:
    """Remove the locked folder of a run that fails without a checkpoint, and the folders made for it.

    One that is killed stays; the next command in its place empties it.
    """
    if any((work / "checkpoints").glob("checkpoint-*")) or (work / "model").exists():
        return
    finish(work)
    for place in parents:  # the innermost first
        with suppress(OSError):  # someone else's files are in it
            place.rmdir()


def _run(trainer: Any, config: TrainingConfig, last: Path | None) -> Any:
    """Train to the end; TrainingError for whatever the libraries raise, with what to do."""
    try:
        return trainer.train(resume_from_checkpoint=str(last) if last else None)
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        if "out of memory" in said:
            mend = (
                "lower per_device_train_batch_size (and raise gradient_accumulation_steps) or max_length, or "
                "set gradient_checkpointing: true"
            )
        else:
            mend = "preceptor --debug train … shows where"
        raise TrainingError(
            f"{config.path}: training stopped at step {trainer.state.global_step:,}: {said}; {mend}. "
            "The same command goes on from the last checkpoint, if there is one"
        ) from error


def check_rows(
    config: TrainingConfig,
    loaded: LoadedData | None = None,
    processes: int | None = None,
    made: tuple[Any, Any] | None = None,
) -> PreflightReport:
    """Run preflight on the recipe's rows and values, with the model's tokenizer and without its weights.

    `loaded` are the rows if they are loaded already, `made` the configs of `make_arguments` if they are made.
    `processes` share the batches of a step (default: those of this run). TrainingError if the recipe names no
    whole model or has values that no config takes, or the rows cannot be loaded.
    """
    loaded = loaded or load(config)
    _check_base(config)
    made = made or make_arguments(config, Path("checkpoints"))
    parts = {"train": loaded.train} | ({"evaluation": loaded.evaluation} if loaded.evaluation else {})
    values = config.values | {"allow": list(config.allow), "num_processes": processes or count_processes()}
    stage = STAGES[config.stage]
    if stage.instead_of_own and not set(stage.own) <= set(
        loaded.train.column_names
    ):  # one value for all rows
        stage = STAGES[stage.instead_of_own]
    report = run_preflight(parts, str(values["model_name_or_path"]), stage.name, pick_settings(values))
    found = (*check_trainer(config, *made), *report.defects)
    return replace(report, defects=tuple(sorted(found, key=lambda defect: not defect.refused)))


def _allowed(
    config: TrainingConfig,
    loaded: LoadedData,
    say: Callable[[str], object] | None,
    made: tuple[Any, Any],
) -> PreflightReport | None:
    """Run preflight in the first process of every machine; the others return None.

    The first process of all shows the report. TrainingError if rows are refused.
    """
    if int(os.environ.get("LOCAL_RANK", "0")):
        return None
    report = check_rows(config, loaded, made=made)
    if say and get_rank() == 0:
        say(format_report(report))
    if report.refusals:
        kinds = ", ".join(sorted({defect.kind for defect in report.refusals}))
        texts = "; ".join(defect.text for defect in report.refusals)
        raise TrainingError(f"{config.path}: not trained, for {kinds}: {texts}")
    return report


def find_last_checkpoint(folder: Path) -> Path | None:
    """Find the newest complete checkpoint (trainer_state.json is written last); None without one.

    A checkpoint of the run's last step within an epoch is the last choice: transformers would resume from it
    with a step too many.
    """
    ended = None
    for found in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            state = parse_json((found / "trainer_state.json").read_text(encoding="utf-8"), finite=False)
        except (OSError, ValueError):
            continue
        if state.get("global_step", 0) < state.get("max_steps", math.inf) or not state.get("epoch", 0) % 1:
            return found
        ended = ended or found
    return ended


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _check_base(config: TrainingConfig) -> None:
    """TrainingError if the recipe names no whole model but a dataset, or an adapter to be merged first."""
    base = Path(str(config.values["model_name_or_path"]))
    if (base / MANIFEST).is_file():
        raise TrainingError(
            f"{config.path}: 'model_name_or_path': {base} is a dataset; name the folder of a "
            "model, or one on the Hub"
        )
    if (base / ADAPTER).is_file():
        raise TrainingError(
            f"{base}: is an adapter; merge it into its model first: preceptor merge {base} "
            f"--out {base}-merged"
        )
    if not base.exists() and base.parent != Path() and base.parent.is_dir():
        raise TrainingError(
            f"{base}: no such folder, though {base.parent} is one; train it first, or name a model on the Hub"
        )


def _check_device(config: TrainingConfig) -> None:
    """TrainingError for quantisation without a GPU."""
    if config.values.get("load_in_4bit") or config.values.get("load_in_8bit"):
        import torch

        if not torch.cuda.is_available():
            raise TrainingError(
                f"{config.path}: load_in_4bit and load_in_8bit need a GPU; --set load_in_4bit=false"
            )


def _trainer(
    config: TrainingConfig, loaded: LoadedData, arguments: Any, model: Any, callbacks: list[Any]
) -> Any:
    """Make the stage's trainer, with model, adapter and data prepared."""
    import trl
    from transformers import PrinterCallback

    try:
        trainer = STAGES[config.stage].load_trainer()(
            model=model.model_name_or_path,
            args=arguments,
            train_dataset=loaded.train,
            eval_dataset=loaded.evaluation,
            quantization_config=trl.get_quantization_config(model),
            peft_config=trl.get_peft_config(model),
            callbacks=callbacks,
        )
    except Exception as error:  # TRL, transformers and PEFT raise of every kind
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        if of_code := explain_code(model.model_name_or_path, error):
            raise TrainingError(of_code) from error
        raise TrainingError(
            f"{config.path}: the trainer cannot be made: {said}; change the recipe, or give another value "
            "with --set KEY=VALUE"
        ) from error
    trainer.remove_callback(PrinterCallback)  # it prints logs as Python dictionaries
    return trainer


def _enter(
    work: Path, target: Path, config: TrainingConfig, loaded: LoadedData, restart: bool, held: ExitStack
) -> Path | None:
    """Make the folder of the unfinished run, or reopen it; the checkpoint to resume from, if any."""
    values = {name: value for name, value in config.values.items() if name != "output_dir"}
    run = {"stage": config.stage, "values": values, "dataset": loaded.describe()}
    made = [place for place in work.parents if not place.exists()]
    held.enter_context(hold_run(work, run, restart, TrainingError, lambda old: _other(old, run)))
    held.push(lambda kind, *_: _forget_unbegun(work, made) if kind else None)
    _check_target(target)  # the same command may have finished meanwhile
    checkpoints, kept = work / "checkpoints", work / "model" / "checkpoints"
    if kept.is_dir() and not checkpoints.exists():  # killed while it was finished
        kept.rename(checkpoints)
    shutil.rmtree(work / "model", ignore_errors=True)
    return None if config.values.get("save_only_model") else find_last_checkpoint(checkpoints)


def _other(before: str, run: Mapping[str, Any]) -> str:
    """Word the differences between an earlier run's note and this run: "seed 0, now 1"."""
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
    """Write weights and tokenizer, gathered from all processes; TrainingError if no weights were written."""
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if plugin is not None:  # save_model would silently write nothing for shards
        plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(made))
    trainer.accelerator.wait_for_everyone()
    if get_rank() == 0 and not any(made.glob("*.safetensors")):
        raise TrainingError(
            f"{made}: no weights were written; with DeepSpeed ZeRO-3 its config needs "
            "zero3_save_16bit_model: true. The same command goes on from the last checkpoint"
        )


def _finish(work: Path, target: Path, keep_checkpoints: bool) -> None:
    """Move the finished folder to its place and delete the rest."""
    if keep_checkpoints and (work / "checkpoints").is_dir():
        (work / "checkpoints").rename(work / "model" / "checkpoints")
    if target.is_dir():
        target.rmdir()  # an empty one, as was checked
    (work / "model").rename(target)
    finish(work)
