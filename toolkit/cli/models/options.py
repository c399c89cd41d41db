"""Options, estimates and progress that commands which ask models share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....annotation.models.backends.registry import describe_models, find_backend
from ....schemas.errors import CHECK_FAILED
from ....schemas.support.numbers import format_count, format_usd
from ..options import add_option_record, open_stderr, say
from ..screen import clean_text

if TYPE_CHECKING:
    from ....annotation.models.asking import CostEstimate, Spent, Watch
    from ....annotation.models.backends.backend import Backend
    from ....annotation.models.budget import Limits

_PATIENCE = 2.0  # seconds before progress is shown
_ERRORS = 5  # reasons of failed requests that are shown
LINE_EVERY = 30.0  # seconds between lines where there is no terminal

_MODEL_HELP = f"Model to ask: {describe_models()}"
_MODEL = click.option("--model", metavar="KIND:NAME", help=_MODEL_HELP)
_MODELS = click.option(
    "--model",
    "models",
    metavar="KIND:NAME",
    multiple=True,
    help=f"{_MODEL_HELP} May be repeated: the others are compared with the first.",
)
LIMITS = (
    click.option(
        "--max-cost",
        type=click.FloatRange(0),
        metavar="USD",
        help="Maximum cost of this run, in US dollars, by the server's own count of tokens; a reply billed "
        "above what its request could cost stops the run. Default: no limit.",
    ),
    click.option(
        "--max-requests",
        type=click.IntRange(0),
        help="Maximum number of requests in this run, retries included. Default: no limit.",
    ),
)
PRICES = click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Price table of your own, as a YAML file. It is used before the packaged table.",
)
_OPTIONS = (
    click.option(
        "--base-url",
        envvar="PRECEPTOR_BASE_URL",
        show_envvar=True,
        help="Address of the server of openai: models, such as http://127.0.0.1:8000/v1. The API "
        "key is read from PRECEPTOR_API_KEY or OPENAI_API_KEY.",
    ),
    *LIMITS,
    click.option(
        "--concurrency",
        type=click.IntRange(1, 256),
        default=8,
        show_default=True,
        help="Maximum number of requests at the same time.",
    ),
    click.option("--dry-run", is_flag=True, help="Estimate requests, tokens and cost; send nothing."),
    PRICES,
    click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Let code in the folder of an hf: model run on this machine. Read that code first.",
    ),
)


@dataclass(frozen=True)
class ModelOptions:
    """Options of every command that asks models: which ones, where, and how much it may take."""

    models: tuple[str, ...]
    """KIND:NAME of each; one at most where a command asks one."""
    base_url: str | None
    prices: Path | None
    limits: "Limits"
    dry_run: bool
    trusting_code: bool = False


def _make_model_options(
    base_url: str | None,
    max_cost: float | None,
    max_requests: int | None,
    concurrency: int,
    dry_run: bool,
    prices: Path | None,
    trust_remote_code: bool,
    model: str | None = None,
    models: tuple[str, ...] = (),
) -> ModelOptions:
    from ....annotation.models.budget import Limits

    every = models or ((model,) if model else ())
    return ModelOptions(
        every, base_url, prices, Limits(concurrency, max_requests, max_cost), dry_run, trust_remote_code
    )


add_model_options = add_option_record("asked", _make_model_options, _MODEL, *_OPTIONS)
add_several_models_options = add_option_record("asked", _make_model_options, _MODELS, *_OPTIONS)


def open_backends(asked: ModelOptions) -> "list[Backend]":
    """Open the back-ends of all models that the options name.

    Raises UsageError where they name none (of a group of commands no option can be required), and
    AnnotationError for a name that is none, and where a cost cap has no price to go by.
    """
    if not asked.models:
        raise click.UsageError("Missing option '--model'.")
    from ....annotation.models.asking import check_limits

    made = [
        find_backend(name, asked.base_url, asked.prices, trusting_code=asked.trusting_code)
        for name in asked.models
    ]
    for one in made:
        check_limits(one, asked.limits)
    return made


def say_estimate(model: str, most: "CostEstimate") -> None:
    """Say what requests to a model would take; nothing is sent."""
    if not most.requests:
        say("to send: nothing")
        return
    cost = "not known: no price (--prices FILE)" if most.cost is None else f"{format_usd(most.cost)} at most"
    say(f"to send: {format_count(most.requests, 'request')} to {model}; nothing was sent")
    say(
        f"tokens:  about {most.prompt_tokens // 4:,} and no more than {most.prompt_tokens:,} sent, "
        f"no more than {most.completion_tokens:,} received; retries come on top"
    )
    say(f"cost:    {cost}")


def say_spent(spent: "Spent") -> None:
    """Say what a run took."""
    from ....annotation.models.prices import describe_cost

    sent, received = spent.prompt_tokens, spent.completion_tokens
    line = f"{format_count(spent.requests, 'request')}, {sent:,} tokens sent, {received:,} received"
    say(f"{line}, {describe_cost(spent.cost, spent.unsure)}")
    if spent.left_out:
        say(f"{spent.left_out:,} were not asked, as a limit was reached; run it again to go on")


def say_failed(spent: "Spent | None") -> None:
    """Say on stderr why requests failed, the server's words included; then exit with code 1.

    Does nothing if none failed.
    """
    if spent is None or not spent.failed:
        return
    for error, n in list(spent.errors.items())[:_ERRORS]:
        say_line(f"failed: {n:,} x {error}")
    if len(spent.errors) > _ERRORS:
        say_line(f"failed: {len(spent.errors) - _ERRORS:,} more reasons, in table replies")
    click.get_current_context().exit(CHECK_FAILED)


def say_line(text: str) -> None:
    """Print a notice on stderr, as it stands."""
    open_stderr().print(text)


@contextmanager
def watch_spending(backend: "Backend") -> "Iterator[Watch]":
    """Give a function of what was spent and the number of requests that shows progress on stderr.

    On a terminal it begins after two seconds; elsewhere there is a line every LINE_EVERY seconds.
    """
    from rich.console import Console
    from rich.status import Status

    console: Console = open_stderr()
    status = Status("", console=console)
    began = last = time.monotonic()

    def watch(spent: "Spent", n: int) -> None:
        nonlocal last
        left = spent.left_out
        now = time.monotonic()
        line = f"{backend.name}: {n - left:,} of {n:,} done, {left:,} left"
        line += f", {spent.failed:,} failed" if spent.failed else ""
        line += f", {format_usd(spent.cost)} spent" if spent.cost else ""
        if console.is_terminal and now - began > _PATIENCE:
            status.update(clean_text(line).replace("[", r"\["))
            status.start()
        elif not console.is_terminal and now - last > LINE_EVERY:
            last = now
            console.print(line)

    try:
        yield watch
    finally:
        status.stop()
