"""`preceptor generate`: completions of prompts by a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ....schemas.support.numbers import format_count
from ..options import Choice, Common, add_option_record, add_where_options, common, read_name, say
from .options import (
    ModelOptions,
    add_model_options,
    open_backends,
    say_estimate,
    say_failed,
    say_line,
    say_spent,
    watch_spending,
)

if TYPE_CHECKING:
    from ...campaign.generate import CompletionCounts, GenerateOptions, GenerateResult
    from ...store.where import Where

_PURPOSES = ("candidates", "rejected-candidates")


@dataclass(frozen=True)
class _GenerateArguments:
    """The command's own options as they are given."""

    prompts: str | None
    where: "Where"
    k: int
    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    template_name: str | None
    purpose: str
    source: str | None
    license_id: str | None
    retry_failed: bool
    allow_cut: bool
    no_seed: bool


_OPTIONS = (
    click.option(
        "--prompts",
        metavar="SQL|RECIPE",
        help="Prompts to complete: a SELECT with a column 'key', or a recipe's YAML file, whose prompts are "
        "worded as in its dataset. Default: all prompts in the store, or those of --source-of, --task and "
        "--language.",
    ),
    add_where_options("--source-of"),
    click.option(
        "--k",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Number of completions of each prompt.",
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(0),
        default=1.0,
        show_default=True,
        help="Sampling temperature; 0: always the most likely token. It is not read from a recipe.",
    ),
    click.option(
        "--top-p",
        type=click.FloatRange(0, 1, min_open=True),
        default=1.0,
        show_default=True,
        help="Sample only from the most likely tokens that together have this probability.",
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(1),
        default=512,
        show_default=True,
        help="Maximum number of tokens of a completion. One that is cut off there is no completion.",
    ),
    click.option("--stop", multiple=True, help="Text that ends a completion. May be repeated."),
    click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Random seed of the first completion of each prompt; each further one adds 1.",
    ),
    click.option(
        "--prompt-template",
        "template_name",
        metavar="FILE",
        help="Jinja template of what is sent. Default: the prompt's messages, unchanged.",
    ),
    click.option(
        "--as",
        "purpose",
        type=Choice(_PURPOSES),
        default="candidates",
        show_default=True,
        help="Use of the completions. rejected-candidates: answers of the model before preference "
        "training to the prompts of a recipe's pairs.",
    ),
    click.option(
        "--source", callback=read_name, help="Name of the new source. Default: made from the model's name."
    ),
    click.option(
        "--license",
        "license_id",
        help="Licence of the completions, as an SPDX id. Without one they are not published.",
    ),
    click.option("--retry-failed", is_flag=True, help="Ask again for what failed in an earlier run."),
    click.option(
        "--allow-cut",
        is_flag=True,
        help="Store completions that were cut off at --max-tokens too. The gate 'replies' of preceptor build "
        "looks for them.",
    ),
    click.option("--no-seed", is_flag=True, help="Send no seed, for servers that refuse it."),
)


@click.command()
@add_option_record("given", _GenerateArguments, *_OPTIONS)
@add_model_options
@common
def generate(settings: Common, /, given: _GenerateArguments, asked: ModelOptions) -> None:
    """Ask a model for completions of prompts, and store them as a source of their own.

    Replies are stored. After a stop, run the command again: only missing completions are asked for; with a
    larger --k, only the additional ones. Every reply is stored, also one that is empty, filtered or
    cut off, which is no completion; then the exit code is 1. Reasoning (<think>…</think>) is kept apart. A
    template can use messages, prompt (the last message), context, group, language and task.
    """
    from ....annotation.models.asking import AskOptions
    from ...campaign.generate import generate as run
    from ...store.connection import open_store

    options = _options(given, asked.dry_run)
    (backend,) = open_backends(asked)
    with open_store(settings.store, read_only=asked.dry_run) as con, watch_spending(backend) as watch:
        asking = AskOptions(
            asked.limits,
            retry_failed=given.retry_failed,
            allow_cut=given.allow_cut,
            say=say_line,
            watch=watch,
        )
        result = run(con, backend, options, asking, lambda counts: _say_counts(counts, given))
    if result.estimate:
        say_estimate(backend.name, result.estimate)
    else:
        _say(result)
        say_failed(result.spent)


def _options(given: _GenerateArguments, dry_run: bool) -> "GenerateOptions":
    from ....annotation.models.requests import Sampling
    from ....schemas.licenses import read_license
    from ...campaign.generate import GenerateOptions

    seed = None if given.no_seed else given.seed
    return GenerateOptions(
        given.prompts,
        given.where,
        given.k,
        Sampling(given.temperature, given.top_p, given.max_tokens, seed, given.stop),
        given.template_name,
        given.purpose,
        given.source,
        read_license(given.license_id),
        dry_run,
    )


def _say_counts(counts: "CompletionCounts", given: _GenerateArguments) -> None:
    known = f", {counts.known:,} known from replies" if counts.known else ""
    failed = f", {counts.failed:,} failed before" if counts.failed else ""
    alike = counts.requests < counts.missing
    requests = f" by {counts.requests:,} requests, as some prompts are equal" if alike else ""
    say(
        f"{counts.wanted:,} completions of {counts.prompts:,} prompts at temperature {given.temperature:g}: "
        f"{counts.present:,} are there, {counts.missing:,} to be asked for{requests}{known}{failed}"
    )
    if given.prompts is None and not given.where.name_options():
        say("of all prompts in the store; --source-of, --task or --prompts choose among them")
    if counts.failed and not given.retry_failed:
        say(f"{counts.failed:,} came to nothing before and are left (--retry-failed asks again)")


def _say(result: "GenerateResult") -> None:
    added = f"{format_count(result.added, 'completion')} added to source '{result.source}'"
    if result.spent is None:
        say("nothing was sent" + (f"; {added}" if result.added else ""))
        return
    say_spent(result.spent)
    failed = result.spent.failed
    say(added + (f", {failed:,} came to nothing (kept in replies)" if failed else ""))
