"""`preceptor train RECIPE` and `preceptor merge MODEL --out DIR`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ...schemas.errors import CHECK_FAILED
from .options import stderr, stdout


@click.command(
    help="Train a model on a built dataset: sft, dpo, ipo, kto or soft-dpo, by TRL.\n\n"
    "RECIPE is YAML in the field names of TRL and PEFT; its stage says which trainer. A run that was "
    "broken off goes on when the same command is given again.\n\n\b\n"
    "  preceptor train recipes/gec/sft.yaml --variant tiny --out models/try\n"
    "  preceptor train recipes/gec/dpo.yaml --set learning_rate=1e-5 --out models/gec",
)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE",
              help="Another value for one of the recipe's keys; any number of times.")  # fmt: skip
@click.option("--variant", help="One of the recipe's variants, such as tiny: a minute on a CPU.")
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder to write the model to; output_dir of the recipe if left out.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Throw away an unfinished run of this folder.")
@click.option(
    "--preflight-only",
    is_flag=True,
    help="Only look at every row through the model's tokenizer, and estimate steps and memory.",
)
def train(
    recipe: Path,
    sets: Sequence[str],
    variant: str | None,
    out: Path | None,
    restart: bool,
    preflight_only: bool,
) -> None:
    """Train a model on a built dataset, by TRL."""
    from ...training.config import read_config
    from ...training.data import load
    from ...training.preflight_records import report_table
    from ...training.run import look
    from ...training.run import train as run

    config = read_config(recipe, sets, variant)
    if preflight_only:
        report = look(config, load(config))
        click.echo(report_table(report))
        if report.refusals:
            sys.exit(CHECK_FAILED)
        return
    done = run(config, out, restart, lambda table: click.echo(table, err=True))
    if done.resumed_from is not None:
        stderr().print(f"went on from step {done.resumed_from}")
    for said in done.warnings:
        stderr().print(f"warning: {said}", markup=False)
    if not done.metrics:  # of several processes the first one speaks
        return
    figures = {"loss": done.metrics.get("train", {}).get("train_loss")}
    held_out = done.metrics.get("evaluation", {})
    figures |= {"held-out loss": held_out.get("eval_loss"),
                "held-out reward accuracy": held_out.get("eval_rewards/accuracies")}  # fmt: skip
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)
    stdout().print(f"{config.stage}: {done.metrics.get('steps')} steps, {told}")
    stdout().print(f"written to {done.out}; read {done.out / 'README.md'}")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto",
    show_default=True, help="Of the weights written; auto: as the base model has them.",
)  # fmt: skip
def merge(model: Path, out: Path, dtype: str) -> None:
    """Merge the LoRA adapter in the folder MODEL into its base model."""
    from ...training.merge import merge as run

    stdout().print(f"written to {run(model, out, dtype)}")
