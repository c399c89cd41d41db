"""What commands that ask models share: options, what is said before, during and after."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..options import stderr

if TYPE_CHECKING:
    from ....annotation.models.asking import Spent
    from ....annotation.models.backends.backend import Backend
    from ....annotation.models.budget import Limits
    from ....annotation.models.requests import Request

Command = TypeVar("Command", bound=Callable[..., Any])
_PATIENCE = 2.0  # seconds before progress is shown
LINE_EVERY = 30.0  # seconds between lines where there is no terminal

_MODEL_HELP = "openai:NAME at --base-url, or hf:FOLDER or hf:NAME@REVISION in this process."
_MODEL = click.option("--model", metavar="KIND:NAME", help=_MODEL_HELP)
_MODELS = click.option(
    "--model",
    "models",
    metavar="KIND:NAME",
    multiple=True,
    help=f"{_MODEL_HELP} Repeat; the others are compared with the first.",
)
_OPTIONS = (
    click.option(
        "--base-url",
        envvar="PRECEPTOR_BASE_URL",
        show_envvar=True,
        help="Of openai: an address such as http://127.0.0.1:8000/v1; the key is that of "
        "PRECEPTOR_API_KEY or OPENAI_API_KEY.",
    ),
    click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Never spend more in this run."),
    click.option("--max-requests", type=click.IntRange(0), help="Never send more in this run, retries too."),
    click.option(
        "--concurrency", type=click.IntRange(1, 256), default=8, show_default=True, help="Requests at a time."
    ),
    click.option("--dry-run", is_flag=True, help="Say what it would take, and send nothing."),
    click.option(
        "--prices",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Price table of your own, as YAML; goes before the packaged one.",
    ),
)


def model_options(command: Command) -> Command:
    """Options of a command that asks a model; they are in its **how."""
    for option in reversed((_MODEL, *_OPTIONS)):
        command = option(command)
    return command


def several_models_options(command: Command) -> Command:
    """The same for a command that asks several models, its `models`."""
    for option in reversed((_MODELS, *_OPTIONS)):
        command = option(command)
    return command


def asked_backend(how: dict[str, Any]) -> "Backend":
    """The back-end that the options name; AnnotationError where a cost cap has no price to go by.

    Of a group of commands no option can be required, so a model that is missing is missed here.
    """
    if not how["model"]:
        raise click.UsageError("Missing option '--model'.")
    from ....annotation.models.asking import check_limits
    from ....annotation.models.backends.registry import find_backend

    made = find_backend(how["model"], how["base_url"], how["prices"])
    check_limits(made, limits_of(how))
    return made


def limits_of(how: dict[str, Any]) -> "Limits":
    """The limits that the options set."""
    from ....annotation.models.budget import Limits

    return Limits(how["concurrency"], how["max_requests"], how["max_cost"])


def say_estimate(backend: "Backend", todo: "Sequence[Request]") -> None:
    """Say what requests would take; nothing is sent."""
    from ....annotation.models.asking import estimate_cost

    most = estimate_cost(backend, todo)
    if not most.requests:
        click.echo("to send: nothing")
        return
    cost = "not known: no price (--prices FILE)" if most.cost is None else f"{usd(most.cost)} at most"
    click.echo(f"to send: {most.requests:,} requests to {backend.name}; nothing was sent")
    click.echo(
        f"tokens:  about {most.prompt_tokens // 4:,} and no more than {most.prompt_tokens:,} sent, "
        f"no more than {most.completion_tokens:,} received; retries come on top"
    )
    click.echo(f"cost:    {cost}")


def say_spent(spent: "Spent") -> None:
    """Say what a run took."""
    cost = "no price known" if spent.cost is None else usd(spent.cost)
    sent, received = spent.prompt_tokens, spent.completion_tokens
    line = f"{spent.requests:,} requests, {sent:,} tokens sent, {received:,} received, {cost}"
    click.echo(line)
    if spent.left_out:
        click.echo(f"{spent.left_out:,} were not asked, as a limit was reached; run it again to go on")


def usd(amount: float) -> str:
    """An amount with as many digits as it needs."""
    return f"{amount:,.2f} USD" if amount >= 1 or amount == 0 else f"{amount:.2g} USD"


def say_line(text: str) -> None:
    """A notice on stderr, as it stands."""
    stderr().print(text, markup=False)


@contextmanager
def watching(backend: "Backend", n: int) -> "Iterator[Callable[[Spent, int], None]]":
    """A function of (spent, left) that shows progress on stderr, of `n` requests, after two seconds."""
    from rich.console import Console
    from rich.status import Status

    console: Console = stderr()
    status = Status("", console=console)
    began = last = time.monotonic()

    def watch(spent: "Spent", left: int) -> None:
        nonlocal last
        now = time.monotonic()
        line = f"{backend.name}: {n - left:,} of {n:,} done, {left:,} left"
        line += f", {spent.failed:,} failed" if spent.failed else ""
        line += f", {usd(spent.cost)} spent" if spent.cost else ""
        if console.is_terminal and now - began > _PATIENCE:
            status.update(line.replace("[", r"\["))
            status.start()
        elif not console.is_terminal and now - last > LINE_EVERY:
            last = now
            console.print(line, markup=False)

    try:
        yield watch
    finally:
        status.stop()
