"""`preceptor annotate push`: questions to annotators."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import Common, common, stderr, stdout, table
from .server import find_place, server_options, talking

if TYPE_CHECKING:
    from ....annotation.argilla.client import ArgillaClient
    from ....annotation.argilla.dataset import Dataset
    from ....annotation.argilla.push import PushedRecords
    from ....schemas.rubric import Rubric
    from ...campaign.questions import Chosen
    from ...store.connection import Store

WORKSPACE = "preceptor"


@click.command()
@click.option("--campaign", required=True, help="Its name; the dataset there is called the same.")
@click.option(
    "--rubric",
    "rubric_name",
    required=True,
    metavar="NAME",
    help="What is asked: a rubric's name (preceptor rubric list) or the path of its YAML.",
)
@click.option(
    "--n",
    "-n",
    "n",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Questions that the campaign shall have in all.",
)
@click.option(
    "--select",
    type=click.Choice(["information", "uncertain", "coverage", "random"]),
    help="How they are chosen: information if a fit knows of any, else coverage, if left out.",
)
@click.option(
    "--overlap",
    type=click.IntRange(1),
    help="Annotators who answer each question; 3 for a new campaign, as it was begun if left out.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of sides and lots.")
@click.option(
    "--known",
    type=click.FloatRange(0, 0.5),
    default=0.05,
    show_default=True,
    help="Share of questions whose answer is known, to watch annotators.",
)
@click.option(
    "--repeat",
    type=click.FloatRange(0, 0.5),
    default=0.05,
    show_default=True,
    help="Share of questions that are asked again, the other side first.",
)
@click.option("--source", "sources", multiple=True, help="Prompts of this source only; repeat.")
@click.option("--task", help="Prompts of this task only.")
@click.option("--language", help="Prompts in this language only.")
@click.option(
    "--suggest",
    is_flag=True,
    help="Show annotators what the newest fit holds; their answers will lean that way.",
)
@click.option("--license", "license_id", help="Of the answers: SPDX id; without one they are not published.")
@click.option("--workspace", help=f"In Argilla; {WORKSPACE}, or that of --home, if left out.")
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    metavar="NAME",
    help="A user there who shall see the campaign; all those of --home if left out; repeat.",
)
@click.option(
    "--new-annotator",
    "newcomers",
    multiple=True,
    metavar="NAME",
    help="Make a user there, whose password is printed once; repeat.",
)
@server_options
@common
def push(
    settings: Common,
    /,
    campaign: str,
    rubric_name: str,
    license_id: str | None,
    workspace: str | None,
    annotators: tuple[str, ...],
    newcomers: tuple[str, ...],
    suggest: bool,
    overlap: int | None,
    api_url: str | None,
    api_key: str | None,
    home: Path,
    **how: Any,
) -> None:
    """Choose what is worth asking, and put it to annotators in Argilla.

    Pushing again adds only what is new: more questions where --n is larger, records that an interrupted
    push left out. What annotators see there: the prompt and two completions, in an order by lot. They do
    not see which questions watch them.
    """
    from ....annotation.argilla.dataset import settle_dataset
    from ....annotation.argilla.push import add_annotators
    from ....annotation.argilla.push import push as push_records
    from ....annotation.rubrics.rubric import read_rubric
    from ....schemas.licenses import read_license
    from ...campaign.campaigns import set_license, set_url
    from ...campaign.questions import mark_asked, read_questions
    from ...store.connection import open_store
    from ..progress import bar

    rubric = read_rubric(rubric_name)
    license = read_license(license_id)
    place = find_place(api_url, api_key, home)
    with talking(place) as server:
        with open_store(settings.store) as con:
            chosen = _choose(con, campaign, rubric, how)
            if license_id:
                set_license(con, campaign, license)
            questions = read_questions(con, campaign)
        dataset = settle_dataset(server, workspace or place.workspace or WORKSPACE, campaign, rubric, overlap)
        _make(server, newcomers)
        wanted = [*(annotators or place.annotators), *newcomers]
        members = add_annotators(server, dataset.workspace_id, wanted)
        with bar(f"push {campaign}", stderr()) as update:
            pushed = push_records(server, dataset, questions, suggest, update)
        url = f"{server.url}/dataset/{dataset.id}/annotation-mode"
        with open_store(settings.store) as con:
            set_url(con, campaign, url)  # first: whatever has it is pulled
            mark_asked(con, campaign, questions["key"])
    _say(chosen, dataset, pushed, members, url)
    if overlap and dataset.overlap != overlap:
        stderr().print(
            f"note: --overlap {overlap} was not taken: this Argilla changes it no more once there "
            "are answers",
            markup=False,
        )


def _choose(con: "Store", campaign: str, rubric: "Rubric", how: dict[str, Any]) -> "Chosen":
    from ...campaign.questions import Golden, choose_questions, default_select
    from ...store.where import Where

    by = how["select"] or default_select(con)
    where = Where(how["sources"], how["task"], how["language"])
    golden = Golden(how["known"], how["repeat"])
    return choose_questions(con, campaign, rubric, how["n"], by, how["seed"], golden, where)


def _make(server: "ArgillaClient", names: tuple[str, ...]) -> None:
    """Make users, each with a password that is said once."""
    from ....annotation.argilla.push import make_annotator

    for name in names:
        password = secrets.token_urlsafe(12)
        if make_annotator(server, name, password):
            stdout().print(f"new annotator {name}, password {password} (is said only now)", markup=False)
        else:
            stderr().print(f"note: there is a user {name} already, whose password stays", markup=False)


def _say(chosen: "Chosen", dataset: "Dataset", pushed: "PushedRecords", members: list[str], url: str) -> None:
    from rich.markup import escape

    out = stdout()
    added = ", ".join(f"{n:,} {_PURPOSES[purpose]}" for purpose, n in sorted(chosen.added.items()))
    by = f" by {chosen.by}{f' (fit {chosen.fit[:8]})' if chosen.fit and chosen.by in _BY_FIT else ''}"
    asked = f"{dataset.overlap} answer{'s' if dataset.overlap > 1 else ''} to each question"
    rows = [
        ("questions", f"{chosen.total:,}" + (f"; new: {added}, chosen{by}" if added else "; none new")),
        ("records", f"{pushed.added:,} added, {pushed.there:,} were there"),
        ("overlap", asked + (f" ({dataset.before} before)" if dataset.before else "")),
        ("workspace", f"{dataset.workspace}{' (dataset made)' if dataset.created else ''}"),
        ("annotators", ", ".join(members) or "none yet: --annotator NAME, or --new-annotator NAME"),
    ]
    out.print(table(escape(dataset.name), ("", ""), [(name, escape(text)) for name, text in rows]))
    for note in chosen.notes:
        out.print(f"note: {note}", markup=False)
    out.print(f"answer at {url}", markup=False)
    out.print("when they have answered: preceptor annotate pull", markup=False)


_BY_FIT = ("information", "uncertain")
_PURPOSES = {"ask": "to ask", "known": "with a known answer", "repeat": "asked twice"}
