"""`preceptor annotate push`: questions to annotators."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ....annotation.server.accounts import WORKSPACE
from ..options import Choice, Common, add_where_options, common, make_table, open_stderr, open_stdout
from .server import add_server_options

if TYPE_CHECKING:
    from ....schemas.rubric import Rubric
    from ...campaign.argilla import PushedCampaign, PushOptions
    from ...campaign.questions import Chosen, Selection


@click.command()
@click.option(
    "--campaign",
    required=True,
    help="Name of the campaign; its dataset in Argilla, or its folder of pages, gets the same name.",
)
@click.option(
    "--serve",
    "place",
    type=Choice(["argilla", "study"]),
    default="argilla",
    show_default=True,
    help="Where annotators answer: in Argilla, or on pages of your own, also on phones (preceptor study "
    "serve).",
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
    help="Argilla user who gets access to the campaign (default: all annotators of --home); with --serve "
    "study, name of an annotator who gets a personal link. May be repeated.",
)
@click.option(
    "--new-annotator",
    "newcomers",
    multiple=True,
    metavar="NAME",
    help="Create this Argilla user and print the password, once. May be repeated.",
)
@click.option(
    "--code", help="With --serve study: what others type in to join under names of their own choice."
)
@click.option(
    "--consent",
    "consents",
    multiple=True,
    metavar="[LANG=]FILE",
    help="With --serve study: text that annotators agree to, in a language (default: en). May be repeated. "
    "Default: a short note in five languages.",
)
@add_server_options
@common
@click.pass_context
def push(
    context: click.Context,
    settings: Common,
    /,
    campaign: str,
    rubric_name: str,
    place: str,
    api_url: str | None,
    api_key: str | None,
    home: Path,
    **how: Any,
) -> None:
    """Choose the questions most worth asking, and put them to annotators.

    Pushing again adds only what is new: more questions if --n is larger, and records that an interrupted
    push left out. Annotators see the prompt and two completions, in random order. They do not see which
    questions check them.
    """
    from ....annotation.rubrics.rubric import read_rubric
    from ...campaign.argilla import find_login, push_campaign

    rubric = read_rubric(rubric_name)
    _refuse_others(context, place)
    if place == "study":
        _push_to_pages(context, settings, campaign, rubric, home, how)
        return
    options = _options(how)
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


_OF_ARGILLA = {
    "suggest": "--suggest",
    "workspace": "--workspace",
    "newcomers": "--new-annotator",
    "api_url": "--api-url",
}
_OF_PAGES = {"code": "--code", "consents": "--consent"}


def _refuse_others(context: click.Context, place: str) -> None:
    """Refuse options of the other place where annotators answer; what the environment says is passed over."""
    for name, option in (_OF_ARGILLA if place == "study" else _OF_PAGES).items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            other = "argilla (the default)" if place == "study" else "study"
            raise click.UsageError(f"{option} is for --serve {other}; leave it out")


def _push_to_pages(
    context: click.Context, settings: Common, campaign: str, rubric: "Rubric", home: Path, how: dict[str, Any]
) -> None:
    from ...practice.study.campaign import PageOptions, push_questions
    from ...practice.study.journal.database import HOME
    from ..practice.study import read_consents

    is_said = context.get_parameter_source("home") is ParameterSource.COMMANDLINE
    options = PageOptions(
        _select(how),
        how["license_id"],
        how["overlap"],
        how["annotators"],
        how["code"],
        read_consents(how["consents"]),
    )
    done = push_questions(settings.store, campaign, rubric, options, home if is_said else HOME)
    rows = [
        ("questions", _word_questions(done.chosen)),
        ("on the pages", f"{done.added:,} added, {done.withdrawn:,} withdrawn"),
        ("overlap", _word_overlap(done.overlap)),
        ("folder", str(done.folder)),
        ("annotators", ", ".join(done.annotators) or "none yet: --annotator NAME, or --code CODE"),
    ]
    out = open_stdout()
    out.print(make_table(campaign, ("", ""), rows))
    for note in done.chosen.notes:
        out.print(f"note: {note}")
    if done.code:
        out.print(f"others join by the code {done.code}")
    at = f" --home {home}" if is_said else ""
    out.print(f"next: preceptor study serve --study {campaign}{at}, which writes the personal links")
    out.print("when they have answered: preceptor annotate pull")


def _select(how: dict[str, Any]) -> "Selection":
    from ...campaign.questions import Golden, Selection

    golden = Golden(how["known"], how["repeat"])
    return Selection(how["n"], how["select"], how["seed"], golden, how["where"])


def _options(how: dict[str, Any]) -> "PushOptions":
    from ...campaign.argilla import PushOptions

    return PushOptions(
        _select(how),
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
    asked = _word_overlap(dataset.overlap)
    rows = [
        ("questions", _word_questions(chosen)),
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


def _word_questions(chosen: "Chosen") -> str:
    """Say how many questions there are, which are new, and how they were chosen."""
    added = ", ".join(f"{n:,} {_PURPOSES[purpose]}" for purpose, n in sorted(chosen.added.items()))
    by = f" by {chosen.by}{f' (fit {chosen.fit[:8]})' if chosen.fit and chosen.by in _BY_FIT else ''}"
    return f"{chosen.total:,}" + (f"; new: {added}, chosen{by}" if added else "; none new")


def _word_overlap(overlap: int) -> str:
    return f"{overlap} answer{'s' if overlap > 1 else ''} to each question"


_BY_FIT = ("information", "uncertain")
_PURPOSES = {"ask": "to ask", "known": "with a known answer", "repeat": "asked twice"}
