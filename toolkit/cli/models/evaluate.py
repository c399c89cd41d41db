"""`preceptor evaluate`: how well models answer held-out prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....schemas.errors import CHECK_FAILED
from ..options import make_table, open_stdout, say
from .options import (
    ModelOptions,
    add_several_models_options,
    say_estimate,
    say_line,
    say_spent,
    watch_spending,
)

if TYPE_CHECKING:
    from ...evaluation.run import EvaluationResult


@click.command(
    help="Ask models the held-out prompts of a built dataset, and measure their answers.\n\n"
    "CONFIG is a YAML file: dataset, metrics, how answers are sampled. A run that was stopped continues when "
    "the same command is given again. If prompts got no answer, they count as empty and the exit code is 1."
    "\n\n\b\n"
    "  preceptor evaluate recipes/gec/evaluate.yaml --model hf:HuggingFaceTB/SmolLM2-1.7B-Instruct \\\n"
    "    --model hf:models/gec --out evaluations/gec",
)
@click.argument("path", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set KEY of the file to VALUE; without a value the key is removed. May be repeated.",
)
@click.option("--variant", help="Variant of the file to use, such as tiny.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option(
    "--judge",
    "judge_model",
    metavar="KIND:NAME",
    help="Model that judges answers. Default: that of the file. Without a judge, metrics that "
    "need one are left out.",
)
@click.option("--restart", is_flag=True, help="Discard an unfinished run in this folder and start again.")
@add_several_models_options
def evaluate(
    path: Path,
    sets: Sequence[str],
    variant: str | None,
    out: Path,
    judge_model: str | None,
    restart: bool,
    asked: ModelOptions,
) -> None:
    """Ask models held-out prompts, and measure their answers."""
    from ...evaluation.asking import Callbacks
    from ...evaluation.config import read_config
    from ...evaluation.run import EvaluationOptions
    from ...evaluation.run import evaluate as run

    config = read_config(path, sets, variant)
    options = EvaluationOptions(
        judge_model, asked.limits, asked.base_url, asked.prices, restart, asked.dry_run, asked.trusting_code
    )
    done = run(config, asked.models, out, options, Callbacks(say_line, watch_spending, _say_begin, say_spent))
    if done.about is None:
        for model, most in done.estimates:
            say_estimate(model, most)
        if done.judged:
            say("the judge's requests come on top, once the answers are there")
        return
    _say_figures(done, out)


def _say_begin(model: str, requests: int, prompts: int) -> None:
    say(f"{model}: {requests:,} of {prompts:,} answers to be asked for")


def _say_figures(done: "EvaluationResult", out: Path) -> None:
    from ...evaluation.report import make_figure_tables

    for note in done.notes:
        say_line(f"warning: {note}")
    about, console = done.about or {}, open_stdout()
    for title, columns, rows in make_figure_tables(about):
        right = [columns[0], *(f"{column} " for column in columns[1:])]
        console.print(make_table(title, right, rows))
    for verdict in about["verdicts"]:
        console.print(verdict)
    console.print(f"written to {out}; read {out / 'README.md'}")
    if any(model["no_answer"] for model in about["models"]):
        click.get_current_context().exit(CHECK_FAILED)
