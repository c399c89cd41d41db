"""`preceptor annotate push`: questions to annotators."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....annotation.server.accounts import WORKSPACE
from ..options import Choice, Common, add_where_options, common, make_table, open_stderr, open_stdout
from .server import add_server_options

if TYPE_CHECKING:
    from ...campaign.argilla import PushedCampaign, PushOptions


@click.command()
@click.option(
    "--campaign", required=True, help="Name of the campaign; its dataset in Argilla gets the same name."
)
@click.option(
    "--rubric",
    "rubric_name",
    required=True,
    metavar="NAME",
    help="Rubric that says what is asked: its name (preceptor rubric list) or the path of its YAML file.",
)
@click.option(
    "--n",
    "-n",
    "n",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Total number of questions in the campaign.",
)
@click.option(
    "--select",
    type=Choice(["information", "uncertain", "coverage", "random"]),
    help="How questions are chosen. Default: information, if a fit can estimate it; else coverage.",
)
@click.option(
    "--overlap",
    type=click.IntRange(1),
    help="Number of annotators who answer each question. Default: 3 for a new campaign, else unchanged.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of the choice of questions and of which side is shown first.",
)
@click.option(
    "--known",
    type=click.FloatRange(0, 0.5),
    default=0.05,
    show_default=True,
    help="Share of questions with a known answer, to check annotators.",
)
@click.option(
    "--repeat",
    type=click.FloatRange(0, 0.5),
    default=0.05,
    show_default=True,
    help="Share of questions that are asked twice, the second time with the sides exchanged.",
)
@add_where_options()
@click.option(
    "--suggest",
    is_flag=True,
    help="Show annotators the answer of the newest fit. This biases their answers towards it.",
)
@click.option(
    "--license",
    "license_id",
    help="Licence of the answers, as an SPDX id. Without one the answers are not published.",
)
@click.option("--workspace", help=f"Argilla workspace. Default: the one of --home, else {WORKSPACE}.")
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    metavar="NAME",
    help="Argilla user who gets access to the campaign. May be repeated. Default: all annotators of --home.",
)
@click.option(
    "--new-annotator",
    "newcomers",
    multiple=True,
    metavar="NAME",
    help="Create this Argilla user and print the password, once. May be repeated.",
)
@add_server_options
@common
def push(
    settings: Common,
    /,
    campaign: str,
    rubric_name: str,
    api_url: str | None,
    api_key: str | None,
    home: Path,
    **how: Any,
) -> None:
    """Choose the questions most worth asking, and send them to annotators in Argilla.

    Pushing again adds only what is new: more questions if --n is larger, and records that an interrupted
    push left out. Annotators see the prompt and two completions, in random order. They do not see which
    questions check them.
    """
    from ....annotation.rubrics.rubric import read_rubric
    from ...campaign.argilla import find_login, push_campaign

    rubric, options = read_rubric(rubric_name), _options(how)
    notices = open_stderr()
    with _late_bar(f"push {campaign}") as watch:
        done = push_campaign(
            settings.store,
            campaign,
            rubric,
            find_login(api_url, api_key, home),
            options,
            say=notices.print,
            watch=watch,
            on_account=_say_account,
        )
    _say(done)
    if options.overlap and done.dataset.overlap != options.overlap:
        notices.print(
            f"note: --overlap {options.overlap} was not taken: this Argilla changes it no more once there "
            "are answers",
        )


def _options(how: dict[str, Any]) -> "PushOptions":
    from ...campaign.argilla import PushOptions
    from ...campaign.questions import Golden, Selection

    golden = Golden(how["known"], how["repeat"])
    selection = Selection(how["n"], how["select"], how["seed"], golden, how["where"])
    return PushOptions(
        selection,
        how["license_id"],
        how["workspace"],
        how["overlap"],
        how["annotators"],
        how["newcomers"],
        how["suggest"],
    )


@contextlib.contextmanager
def _late_bar(title: str) -> "Iterator[Callable[[float, float], None]]":
    """Give a function of (done, total) that starts a progress bar when it is first called."""
    from ..progress import show_bar

    with contextlib.ExitStack() as stack:
        begun: list[Callable[[float, float], None]] = []

        def update(done: float, total: float) -> None:
            if not begun:
                begun.append(stack.enter_context(show_bar(title, open_stderr())))
            begun[0](done, total)

        yield update


def _say_account(name: str, password: str | None) -> None:
    if password is not None:
        open_stdout().print(f"new annotator {name}, password {password} (is said only now)")
    else:
        open_stderr().print(f"note: there is a user {name} already, whose password stays")


def _say(done: "PushedCampaign") -> None:
    out = open_stdout()
    chosen, dataset = done.chosen, done.dataset
    added = ", ".join(f"{n:,} {_PURPOSES[purpose]}" for purpose, n in sorted(chosen.added.items()))
    by = f" by {chosen.by}{f' (fit {chosen.fit[:8]})' if chosen.fit and chosen.by in _BY_FIT else ''}"
    asked = f"{dataset.overlap} answer{'s' if dataset.overlap > 1 else ''} to each question"
    rows = [
        ("questions", f"{chosen.total:,}" + (f"; new: {added}, chosen{by}" if added else "; none new")),
        ("records", f"{done.records.added:,} added, {done.records.there:,} were there"),
        ("overlap", asked + (f" ({dataset.before} before)" if dataset.before else "")),
        ("workspace", f"{dataset.workspace}{' (dataset made)' if dataset.created else ''}"),
        ("annotators", ", ".join(done.annotators) or "none yet: --annotator NAME, or --new-annotator NAME"),
    ]
    out.print(make_table(dataset.name, ("", ""), [(name, text) for name, text in rows]))
    for note in chosen.notes:
        out.print(f"note: {note}")
    out.print(f"answer at {done.url}")
    out.print("when they have answered: preceptor annotate pull")


_BY_FIT = ("information", "uncertain")
_PURPOSES = {"ask": "to ask", "known": "with a known answer", "repeat": "asked twice"}
