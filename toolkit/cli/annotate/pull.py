"""`preceptor annotate pull`: annotators' answers into the store."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....schemas.errors import AnnotationError
from ..options import Common, common, stderr, stdout, table
from .server import find_place, server_options, talking

if TYPE_CHECKING:
    from ....annotation.argilla.client import ArgillaClient
    from ....annotation.argilla.pull import PulledAnswers
    from ...campaign.answers import Taken
    from ...store.connection import Store


@click.command()
@click.option(
    "--campaign",
    "campaigns",
    multiple=True,
    help="This campaign's only; all that were pushed if left out; repeat.",
)
@click.option("--workspace", help="Where it lies in Argilla, if several have a dataset of that name.")
@click.option(
    "--kind",
    type=click.Choice(["student", "expert", "crowd"]),
    help="Who the annotators are; crowd if never said.",
)
@server_options
@common
def pull(
    settings: Common,
    /,
    campaigns: tuple[str, ...],
    workspace: str | None,
    kind: str | None,
    api_url: str | None,
    api_key: str | None,
    home: Path,
) -> None:
    """Take submitted answers into the store, as votes and ratings of annotators under pseudonyms.

    Pulling again changes nothing. An answer that was edited takes the place of the old one, which stays
    in the history; one that was deleted or discarded goes there, too. Drafts are counted, not taken.
    """
    from ...campaign.campaigns import check_campaign, pushed_and_exported
    from ...store.connection import open_store

    with open_store(settings.store) as con:
        pushed, exported = pushed_and_exported(con)
        for campaign in campaigns:
            check_campaign(con, campaign)
            _check_pushed(campaign, exported)
        if exported and not campaigns:
            stdout().print(
                f"not pulled: {', '.join(exported)}, exported as forms only "
                "(preceptor annotate import takes its answers)",
                markup=False,
                soft_wrap=True,
            )
        names = list(dict.fromkeys(campaigns)) or pushed
        if not names:
            stdout().print("no campaign was pushed yet: preceptor annotate push --help")
            return
        with talking(find_place(api_url, api_key, home)) as server:
            changed = [_pull(con, server, name, workspace, kind) for name in names]
    if any(changed):
        stdout().print("next: preceptor fuse")


def _check_pushed(campaign: str, exported: list[str]) -> None:
    if campaign in exported:
        raise AnnotationError(
            f"campaign '{campaign}' was never pushed to Argilla, only exported as forms: take filled-in ones "
            f"with 'preceptor annotate import FILE --campaign {campaign}', or put its questions to Argilla "
            f"with 'preceptor annotate push --campaign {campaign}'"
        )


def _pull(
    con: "Store", server: "ArgillaClient", campaign: str, workspace: str | None, kind: str | None
) -> bool:
    """One campaign; whether anything changed."""
    from ....annotation.argilla.dataset import find_dataset
    from ....annotation.argilla.pull import pull as read
    from ...campaign.answers import Seen, take_answers
    from ...store.connection import query

    dataset = find_dataset(server, campaign, workspace)
    questions = query(con, "SELECT * FROM questions WHERE source = ?", [campaign])
    pulled = read(server, dataset, questions)
    seen = Seen(pulled.records, pulled.annotators)
    taken = take_answers(con, campaign, pulled.answers, kind=kind, came_by="argilla", seen=seen)
    _say(campaign, questions.height, pulled, taken)
    return taken.changed


def _say(campaign: str, questions: int, pulled: "PulledAnswers", taken: "Taken") -> None:
    from rich.markup import escape

    out, err = stdout(), stderr()
    shown = [
        (
            row["annotator"],
            f"{row['new']:,}",
            f"{row['superseded']:,}",
            f"{row['withdrawn']:,}",
            f"{row['total']:,}",
        )
        for row in taken.by_annotator.iter_rows(named=True)
    ]
    if shown:
        columns = ("annotator", "new ", "changed ", "taken back ", "total ")
        out.print(table(escape(campaign), columns, shown))
    answered = pulled.answers["question"].n_unique()
    out.print(
        f"{campaign}: {answered:,} of {questions:,} questions answered; {taken.new:,} answers new, "
        f"{taken.superseded:,} changed, {taken.withdrawn:,} taken back, {taken.unchanged:,} as they were; "
        f"not taken: {pulled.drafts:,} drafts, {pulled.discarded:,} discarded",
        markup=False,
    )
    if missing := questions - len(pulled.records):
        err.print(f"{missing:,} questions are not there: preceptor annotate push adds them", markup=False)
    if pulled.foreign:
        err.print(
            f"{pulled.foreign:,} records there are no questions of this campaign; left alone", markup=False
        )
    if taken.rejected:
        err.print(
            f"{taken.rejected:,} rejected, kept with the reason (preceptor status --rejects {campaign}):",
            markup=False,
        )
        for line in taken.first_rejects:
            err.print(f"  {line}", markup=False)
