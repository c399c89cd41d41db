"""`preceptor evaluate`: how well models answer held-out prompts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.errors import EvaluationError
from ..options import stdout, tables
from .evaluate_judge import judge_of, with_judge
from .evaluate_likelihood import scores
from .options import (
    ModelOptions,
    open_backends,
    say_estimate,
    say_line,
    say_spent,
    several_models_options,
    watching,
)

if TYPE_CHECKING:
    from ....annotation.models.asking import Spent
    from ....annotation.models.backends.backend import Backend
    from ....annotation.models.backends.text_scores import ScoreTexts
    from ....annotation.models.budget import Limits
    from ....annotation.models.requests import Reply, Request
    from ....annotation.models.templates import Template
    from ...evaluation.config import Config
    from ...evaluation.items import HeldOut
    from ...evaluation.metrics.likelihood import Score
    from ...evaluation.metrics.statistics import Item
    from ...evaluation.run import Keep, Model


@click.command(
    help="Ask models the held-out prompts of a built dataset, and say how good their answers are.\n\n"
    "CONFIG is YAML: dataset, metrics, how answers are drawn. A run that was broken off goes on when the "
    "same command is given again.\n\n\b\n"
    "  preceptor evaluate recipes/gec/evaluate.yaml --model hf:HuggingFaceTB/SmolLM2-1.7B-Instruct \\\n"
    "    --model hf:models/gec --out evaluations/gec",
)
@click.argument("path", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value for one of the file's keys, none after KEY= to leave it out; any number of times.",
)
@click.option("--variant", help="One of the file's variants, such as tiny.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--judge",
    "judge_model",
    metavar="KIND:NAME",
    help="Who judges answers; without one, what needs a judge is left out.",
)
@click.option("--restart", is_flag=True, help="Throw away an unfinished run of this folder.")
@several_models_options
def evaluate(
    path: Path,
    sets: Sequence[str],
    variant: str | None,
    out: Path,
    judge_model: str | None,
    restart: bool,
    asked: ModelOptions,
) -> None:
    """Ask models held-out prompts, and say how good their answers are."""
    from ....annotation.models.asking import estimate_cost
    from ....annotation.models.backends.registry import writes_answers
    from ...evaluation.config import read_config
    from ...evaluation.items import held_out
    from ...evaluation.metrics.measure import wants_answers
    from ...evaluation.report import notes
    from ...evaluation.report import tables as shown
    from ...evaluation.run import check_metrics, check_out
    from ...evaluation.run import evaluate as run

    if mute := next((name for name in asked.models if not writes_answers(name)), None):
        raise click.UsageError(f"--model {mute}: writes no answers; give hf:{mute.partition(':')[2]}")
    config = with_judge(read_config(path, sets, variant), judge_model)
    backends = open_backends(asked)
    spent: list[Spent] = []
    judge, kind = judge_of(config, asked, spent)
    config, without = _fitting(config, backends, kind)
    check_out(out)
    template = _template(config)
    held = held_out(config.values, say_line)
    check_metrics(config.values.metrics, held.items)
    _requests(config, held.items, template)  # so that a template that does not fit is known at once
    answered = wants_answers(config.values.metrics)
    if asked.dry_run:
        for one in backends:
            requests = _requests(config, held.items, template) if answered else []
            say_estimate(one.name, estimate_cost(one, requests))
        if judge:
            click.echo("the judge's requests come on top, once the answers are there")
        return
    models = [
        _model(given, one, config, held, template, asked.limits, spent)
        for given, one in zip(asked.models, backends, strict=True)
    ]
    about = run(config, held, models, out, template.digest if template else None, restart, judge, without)
    for note in notes(about):
        say_line(f"warning: {note}")
    console = stdout()
    for title, columns, rows in shown(about):
        right = [columns[0], *(f"{column} " for column in columns[1:])]
        for part in tables(title, right, rows, console.width):
            console.print(part)
    for verdict in about["verdicts"]:
        stdout().print(verdict, markup=False)
    stdout().print(f"written to {out}; read {out / 'README.md'}", markup=False)


def _fitting(
    config: "Config", models: "Sequence[Backend]", judge: str | None
) -> "tuple[Config, dict[str, str]]":
    """The evaluation without the metrics that cannot be had here, and why these are left out."""
    from ...evaluation.metrics.measure import left_out

    names = config.values.metrics
    without = left_out(names, all(one.scores for one in models), judge, len(models) > 1)
    for name, why in without.items():
        say_line(f"{name} is left out: it {why}")
    kept = [name for name in names if name not in without]
    if not kept:
        raise EvaluationError(f"{config.path}: no metric is left to measure; see why above")
    return replace(config, values=config.values.model_copy(update={"metrics": kept})), without


def _template(config: "Config") -> "Template | None":
    """The template, beside the file, from where one stands, or by its name."""
    from ....annotation.models.templates import read_template

    name = config.values.template
    if name is None:
        return None
    beside = config.path.parent / name
    return read_template(beside if beside.is_file() else name)


def _requests(config: "Config", items: "Sequence[Item]", template: "Template | None") -> "list[Request]":
    """One request an item; `about` is its key."""
    from ....annotation.models.requests import Sampling
    from ....annotation.models.writing import write_requests

    values = config.values
    sampling = Sampling(values.temperature, values.top_p, values.max_tokens, values.seed, tuple(values.stop))
    prompts = (
        {
            "key": item.key,
            "messages": item.messages,
            "context": None,
            "group": item.group,
            "language": item.language,
            "task": None,
        }
        for item in items
    )
    return list(write_requests(prompts, template, sampling, 1))


def _model(
    given: str,
    one: "Backend",
    config: "Config",
    held: "HeldOut",
    template: "Template | None",
    limits: "Limits",
    spent: "list[Spent]",
) -> "Model":
    """A model as an evaluation takes it; `spent` holds what those before it took."""
    from ...evaluation.run import Model
    from ...evaluation.trained import trained_on

    def ask_it(items: "Sequence[Item]", keep: "Keep") -> int:
        requests = _requests(config, items, template)
        click.echo(f"{one.name}: {len(requests):,} of {len(held.items):,} answers to be asked for")
        return _ask(one, requests, keep, limits, spent)

    about = trained_on(one.folder, held) if one.folder else None
    score = _score(given, one.scores, held.items, template, config) if one.scores else None
    return Model(one.name, ask_it, one.free, about, score)


def _score(
    name: str,
    score: "ScoreTexts",
    items: "Sequence[Item]",
    template: "Template | None",
    config: "Config",
) -> "Score":
    """How likely a local model holds texts, after prompts that are worded as those it answers."""
    from ...evaluation.metrics.likelihood import prompt_key

    worded = zip(items, _requests(config, items, template), strict=True) if template else ()
    return scores(name, score, {prompt_key(item.messages): request.messages for item, request in worded})


def _ask(
    one: "Backend", requests: "list[Request]", keep: "Keep", limits: "Limits", spent: "list[Spent]"
) -> int:
    """Ask, and return how many requests a limit kept from being sent."""
    from ....annotation.models.asking import ask
    from ....annotation.models.requests import digest
    from ...evaluation.run import Given

    keys: dict[str, list[str]] = {}
    for request in requests:
        keys.setdefault(digest(request), []).append(request.about)

    def take(replies: "list[Reply]") -> None:
        keep(
            [
                Given(
                    key, "" if reply.error else reply.raw, reply.error, reply.said.get("finish") == "length"
                )
                for reply in replies
                for key in keys[digest(reply.request)]
            ]
        )

    left = replace(
        limits,
        max_requests=_less(limits.max_requests, sum(before.requests for before in spent)),
        max_cost=_less(limits.max_cost, sum(before.cost or 0.0 for before in spent)),
    )
    with watching(one) as watch:
        took = ask(one, requests, check=_read, keep=take, limits=left, say=say_line, watch=watch)
    spent.append(took)
    say_spent(took)
    return took.left_out


def _less(most: Any, taken: Any) -> Any:
    return None if most is None else max(type(most)(0), most - taken)


def _read(text: str) -> dict[str, Any]:
    """Any text is an answer, also an empty one: metrics count it as it is."""
    return {"characters": len(text)}
