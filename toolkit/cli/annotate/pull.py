"""`preceptor annotate pull`: annotators' answers into the store."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....schemas.errors import CHECK_FAILED
from ..options import Choice, Common, common, make_table, open_stderr, open_stdout
from .server import add_server_options

if TYPE_CHECKING:
    from ...campaign.argilla import PulledCampaign
    from ...practice.study.campaign import PulledQuestions

_COMMENTS = 10  # shown of drafts and discarded answers


@click.command()
@click.option(
    "--campaign",
    "campaigns",
    multiple=True,
    help="This campaign only. May be repeated. Default: all campaigns that were pushed.",
)
@click.option(
    "--workspace", help="Argilla workspace of the campaign, if several have a dataset of that name."
)
@click.option(
    "--kind",
    type=Choice(["student", "expert", "crowd"]),
    help="Kind of the annotators. Default: crowd, for those whose kind was never given.",
)
@add_server_options
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
    """Read submitted answers into the store, as votes and ratings of annotators under pseudonyms.

    Pulling again changes nothing. An edited answer replaces the old one, which stays in the history. An
    answer that was deleted or discarded is moved to the history, too. Drafts are counted, but not read.
    Campaigns on pages of your own are read from their folders, also while these are served; whoever left
    there is forgotten. Exit code 1 if a part of a journal cannot be read.
    """
    from ...campaign.campaigns import list_campaigns
    from ...practice.study.campaign import find_page_campaigns, pull_questions
    from ...store.connection import open_store, write_anew

    folders = find_page_campaigns(settings.store)
    with open_store(settings.store) as con:
        known = list_campaigns(con)
        pages = {name: at for name, at in folders.items() if name in (campaigns or known)}
        from_pages = pull_questions(con, pages, kind=kind, on_pulled=_say_pages)
    if any(one.withdrawn for one in from_pages):
        write_anew(settings.store)
    done = [one.campaign for one in from_pages]
    done += _pull_from_argilla(settings, campaigns, set(pages), workspace, kind, (api_url, api_key, home))
    damaged = [one.campaign.campaign for one in from_pages if one.damage]
    if any(one.taken.changed for one in done) and not damaged:
        open_stdout().print("next: preceptor fuse")
    if damaged:
        raise click.exceptions.Exit(CHECK_FAILED)


def _pull_from_argilla(
    settings: Common,
    campaigns: tuple[str, ...],
    on_pages: set[str],
    workspace: str | None,
    kind: str | None,
    server: tuple[str | None, str | None, Path],
) -> "list[PulledCampaign]":
    """Pull the campaigns that were pushed to Argilla; those on pages may be there, too."""
    from ...campaign.argilla import find_login, pull_campaigns, select_campaigns
    from ...campaign.campaigns import list_pushed_and_exported
    from ...store.connection import open_store

    notices = open_stderr()
    with open_store(settings.store) as con:
        pushed, exported = list_pushed_and_exported(con)
        wanted = tuple(name for name in campaigns if name not in on_pages or name in pushed)
        names, exported = select_campaigns(con, wanted) if wanted or not campaigns else ([], [])
        if left := [name for name in exported if name not in on_pages]:
            open_stdout().print(
                f"not pulled: {', '.join(left)}, exported as forms only "
                "(preceptor annotate import takes its answers)",
                soft_wrap=True,
            )
        if not names:
            if not on_pages:
                open_stdout().print("no campaign was pushed yet: preceptor annotate push --help")
            return []
        return pull_campaigns(
            con,
            find_login(*server),
            names,
            workspace=workspace,
            kind=kind,
            say=notices.print,
            on_pulled=_say,
        )


def _say_pages(done: "PulledQuestions") -> None:
    out, err = open_stdout(), open_stderr()
    _say(done.campaign)
    for note in done.notes:
        out.print(f"note: {note}")
    if done.withdrawn:
        out.print(f"{done.withdrawn:,} annotators left since the last pull: forgotten, also in the store")
    for folder, what in done.datasets:
        err.print(f"{folder}: has {what} of somebody who left; build it again")
    if done.damage:
        err.print(f"the journal cannot be read in full: {done.damage}; bring back a copy, then pull again")


def _say(done: "PulledCampaign") -> None:
    campaign, questions, pulled, taken = done.campaign, done.questions, done.pulled, done.taken
    out, err = open_stdout(), open_stderr()
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
        out.print(make_table(campaign, columns, shown))
    begun, complete = pulled.count_questions()
    if pulled.overlap == 1:
        progress = f"{complete:,} of {questions:,} questions answered"
    else:
        progress = f"{complete:,} of {questions:,} questions have all {pulled.overlap} answers"
        progress += f", {begun - complete:,} have some"
    out.print(
        f"{campaign}: {progress}; {taken.new:,} answers new, "
        f"{taken.superseded:,} changed, {taken.withdrawn:,} taken back, {taken.unchanged:,} as they were; "
        f"not taken: {pulled.drafts:,} drafts, {pulled.discarded:,} discarded",
    )
    if missing := questions - len(pulled.records):
        err.print(f"{missing:,} questions are not there: push the campaign again to add them")
    if pulled.foreign:
        err.print(f"{pulled.foreign:,} records there are no questions of this campaign; left alone")
    if pulled.comments:
        err.print(f"{len(pulled.comments):,} comments of drafts and discarded answers are not stored:")
        for position, comment in pulled.comments[:_COMMENTS]:
            err.print(f"  question {position}: {comment[:200]}")
        if len(pulled.comments) > _COMMENTS:
            err.print(f"  and {len(pulled.comments) - _COMMENTS:,} more, where they were left out")
    if taken.rejected:
        err.print(
            f"{taken.rejected:,} rejected, kept with the reason (preceptor status --rejects {campaign}):",
        )
        for line in taken.first_rejects:
            err.print(f"  {line}")
