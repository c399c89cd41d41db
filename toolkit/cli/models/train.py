"""`preceptor train RECIPE` and `preceptor merge MODEL --out DIR`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....schemas.errors import CHECK_FAILED
from ....training.stages.registry import STAGES
from ..options import Choice, add_trust_option, open_stderr, open_stdout, say

if TYPE_CHECKING:
    from ....training.config import TrainingConfig
    from ....training.run import TrainedModel


_NAMES = tuple(STAGES)


@click.command(
    help=f"Train a model on a built dataset: {', '.join(_NAMES[:-1])} or {_NAMES[-1]}, by TRL.\n\n"
    "RECIPE is a YAML file with the field names of TRL and PEFT; its stage selects the trainer. A run that "
    "was stopped continues when the same command is given again.\n\n\b\n"
    "  preceptor train recipes/gec/sft.yaml --variant tiny --out models/try\n"
    "  preceptor train recipes/gec/dpo.yaml --set learning_rate=1e-5 --out models/gec\n"
    "  preceptor train recipes/spock/sft.yaml --launch fsdp --processes 4 --out models/spock",
)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set KEY of the recipe to VALUE; without a value the key is removed. May be repeated.",
)
@click.option("--variant", help="Variant of the recipe to use, such as tiny, which takes a minute on a CPU.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write the model to. Default: output_dir of the recipe.",
)
@click.option("--restart", is_flag=True, help="Discard an unfinished run in this folder and start again.")
@click.option(
    "--preflight-only",
    is_flag=True,
    help="Do not train: check every row with the model's tokenizer, and estimate steps and memory.",
)
@click.option(
    "--launch",
    metavar="NAME",
    help="Train in several processes: ddp, fsdp, zero3, nodes, gpu, or a configuration file of accelerate.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Total number of processes on all machines. Default: the number of GPUs.",
)
@click.option(
    "--launch-set",
    "launch_sets",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Option of accelerate launch, such as machine_rank=1. May be repeated.",
)
@add_trust_option
def train(
    recipe: Path,
    sets: Sequence[str],
    variant: str | None,
    out: Path | None,
    restart: bool,
    preflight_only: bool,
    launch: str | None,
    processes: int | None,
    launch_sets: Sequence[str],
    trust_remote_code: bool,
) -> None:
    """Train a model on a built dataset, by TRL."""
    from ....training.config import read_config
    from ....training.launch import let_first_speak

    if not launch and (launch_sets or (processes and not preflight_only)):
        raise click.UsageError("--processes and --launch-set go with --launch, such as --launch fsdp")
    with let_first_speak():
        config = read_config(recipe, sets, variant, trusting_code=trust_remote_code)
        if preflight_only:
            _show_preflight(config, processes)
        elif launch:
            from ....training.launch import launch_training

            if code := launch_training(config, out, restart, launch, processes, launch_sets):
                sys.exit(code)
        else:
            from ....training.run import train as run

            _show_result(config.stage, run(config, out, restart, lambda text: say(text, err=True)))


def _show_preflight(config: "TrainingConfig", processes: int | None) -> None:
    from ....training.preflight.records import format_report
    from ....training.run import check_rows

    report = check_rows(config, processes=processes)
    say(format_report(report))
    if report.refusals:
        sys.exit(CHECK_FAILED)


def _show_result(stage: str, done: "TrainedModel") -> None:
    """Show the result of a run, in the first of several processes."""
    if not done.metrics:
        return
    if done.resumed_from is not None:
        open_stderr().print(f"went on from step {done.resumed_from}")
    for warning in done.warnings:
        open_stderr().print(f"warning: {warning}")
    figures = {"loss": done.metrics.get("train", {}).get("train_loss")}
    held_out = done.metrics.get("evaluation", {})
    words = STAGES[stage].figures.logged
    figures |= {f"held-out {name}": held_out.get(f"eval_{key}") for key, name in words.items()}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)
    open_stdout().print(f"{stage}: {done.metrics.get('steps')} steps, {shown}")
    open_stdout().print(f"written to {done.out}; read {done.out / 'README.md'}")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder to write the merged model to."
)
@click.option(
    "--dtype",
    type=Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Number format of the merged weights; auto: that of the base model.",
)
@add_trust_option
def merge(model: Path, out: Path, dtype: str, trust_remote_code: bool) -> None:
    """Merge the LoRA adapter in the folder MODEL into its base model."""
    from ....training.merge import merge as run

    open_stdout().print(f"written to {run(model, out, dtype, trusting_code=trust_remote_code)}")
