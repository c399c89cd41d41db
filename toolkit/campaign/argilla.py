"""Push a campaign's questions to an Argilla server, and pull annotators' answers into the store.

login = find_login(home=Path("annotation-home"))
push_campaign(store, "week-1", read_rubric("pairwise-preference"), login)
with open_store(store) as con:
pull_campaigns(con, login)
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...annotation.argilla.client import ArgillaClient, connect
from ...annotation.argilla.dataset import Dataset, find_dataset, settle_dataset
from ...annotation.argilla.pull import PulledAnswers, pull_answers
from ...annotation.argilla.push import PushedRecords, add_annotators, make_annotator, push_records
from ...annotation.server.accounts import FILE, HOME, OWNER, WORKSPACE, read_accounts
from ...schemas.errors import AnnotationError
from ...schemas.licenses import read_license
from ...schemas.rubric import Rubric
from ...schemas.support.hosts import hide_userinfo
from ..store.connection import Store, open_store, query
from .answers import Seen, Taken, take_answers
from .campaigns import check_campaign, list_pushed_and_exported, set_license, set_url
from .questions import Chosen, Selection, extend_campaign, mark_asked, read_questions


@dataclass(frozen=True)
class Login:
    """Address and API key of an Argilla server, with the workspace and annotators known for it."""

    url: str
    api_key: str = field(repr=False)
    workspace: str | None = None
    annotators: tuple[str, ...] = ()


@dataclass(frozen=True)
class PushOptions:
    """Options of a push."""

    selection: Selection = field(default_factory=Selection)
    license: str | None = None
    """SPDX id of the answers' licence; default: not for publication."""
    workspace: str | None = None
    """Default: the login's, or "preceptor"."""
    overlap: int | None = None
    """Annotators who answer each question. Default: 3 for a new campaign, else unchanged."""
    annotators: tuple[str, ...] = ()
    """Users who get the campaign; default: the login's annotators."""
    new_annotators: tuple[str, ...] = ()
    """New users, each with a random password."""
    suggest: bool = False
    """Show annotators the newest fit's prediction."""


@dataclass(frozen=True)
class PushedCampaign:
    """Result of a push."""

    chosen: Chosen
    dataset: Dataset
    records: PushedRecords
    annotators: list[str]
    """Annotators of the dataset's workspace."""
    url: str
    """Address for annotators."""
    passwords: dict[str, str] = field(repr=False)
    """By name, of the users that were made."""


@dataclass(frozen=True)
class PulledCampaign:
    """Result of a pull of one campaign."""

    campaign: str
    questions: int
    pulled: PulledAnswers
    taken: Taken


def _ignore(*_: object) -> None:
    """Do nothing: the default callback."""


def find_login(api_url: str | None = None, api_key: str | None = None, home: Path = HOME) -> Login:
    """Find the server to talk to: the one at `api_url`, else the embedded server of `home`.

    Raises AnnotationError if `api_url` has no key, or `home` has no accounts.
    """
    if api_url:
        if not api_key:
            raise AnnotationError(
                f"no API key for {hide_userinfo(api_url)}: set PRECEPTOR_ARGILLA_API_KEY to that of an "
                "owner or admin; in Argilla it stands under 'My settings'"
            )
        return Login(api_url, api_key)
    if not (home / FILE).exists():
        raise AnnotationError(
            f"no server is named, and {home} holds none: start one with 'preceptor annotate serve', point "
            "--home at its folder, or --api-url at a server of your own"
        )
    found = read_accounts(home)
    annotators = tuple(name for name, account in found.accounts.items() if account.role == "annotator")
    return Login(found.url, found.accounts[OWNER].api_key, found.workspace, annotators)


def push_campaign(
    store: Path,
    campaign: str,
    rubric: Rubric,
    login: Login,
    options: PushOptions | None = None,
    *,
    say: Callable[[str], object] = _ignore,
    watch: Callable[[float, float], object] = _ignore,
    on_account: Callable[[str, str | None], object] = _ignore,
) -> PushedCampaign:
    """Choose questions and put them to annotators in Argilla; pushing again adds only what is missing.

    The store is open only while it is read and written, not while records are sent. `say` gets notices
    about retries, `watch` (records sent, records to send), `on_account` each name of `new_annotators` with
    its password, None if there is such a user already. Raises AnnotationError if no prompt matches, the
    server refuses, or the campaign belongs to another rubric or store.
    """
    options = options or PushOptions()
    license = read_license(options.license)
    with connect(login.url, login.api_key, say) as server:
        with open_store(store) as con:
            chosen = extend_campaign(con, campaign, rubric, options.selection)
            if options.license:
                set_license(con, campaign, license)
            questions = read_questions(con, campaign)
        workspace = options.workspace or login.workspace or WORKSPACE
        dataset = settle_dataset(server, workspace, campaign, rubric, options.overlap)
        passwords = _make_annotators(server, options.new_annotators, on_account)
        wanted = [*(options.annotators or login.annotators), *options.new_annotators]
        members = add_annotators(server, dataset.workspace_id, wanted)
        records = push_records(server, dataset, questions, options.suggest, watch)
        url = f"{server.url}/dataset/{dataset.id}/annotation-mode"
        with open_store(store) as con:
            set_url(con, campaign, url)  # first, so that everything pushed can be pulled
            mark_asked(con, campaign, questions["key"])
    return PushedCampaign(chosen, dataset, records, members, url, passwords)


def _make_annotators(
    server: ArgillaClient, names: Sequence[str], on_account: Callable[[str, str | None], object]
) -> dict[str, str]:
    made = {}
    for name in names:
        password = secrets.token_urlsafe(12)
        if make_annotator(server, name, password):
            made[name] = password
        on_account(name, made.get(name))
    return made


def select_campaigns(con: Store, campaigns: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """List the campaigns to pull (all that were pushed by default), and those that are left out.

    Without named campaigns, those that were only exported as forms are left out. Raises
    AnnotationError if a named one is missing or was never pushed.
    """
    pushed, exported = list_pushed_and_exported(con)
    for campaign in campaigns:
        check_campaign(con, campaign)
        if campaign in exported:
            raise AnnotationError(
                f"campaign '{campaign}' was never pushed to Argilla, only exported as forms: take filled-in "
                f"ones with 'preceptor annotate import FILE --campaign {campaign}', or put its questions to "
                f"Argilla with 'preceptor annotate push --campaign {campaign} --rubric NAME'"
            )
    return list(dict.fromkeys(campaigns)) or pushed, [] if campaigns else exported


def pull_campaigns(
    con: Store,
    login: Login,
    campaigns: Sequence[str] = (),
    *,
    workspace: str | None = None,
    kind: str | None = None,
    say: Callable[[str], object] = _ignore,
    on_pulled: Callable[[PulledCampaign], object] = _ignore,
) -> list[PulledCampaign]:
    """Take submitted answers into the store, campaign by campaign; pulling again changes nothing.

    `campaigns` are those of `select_campaigns`; `kind` is the annotators' (student, expert or crowd).
    `say` gets notices about retries, `on_pulled` each campaign when it is in the store. Raises
    AnnotationError if a campaign has no dataset on the server, or one of another store.
    """
    names, _ = select_campaigns(con, campaigns)
    done = []
    with connect(login.url, login.api_key, say) as server:
        for name in names:
            done.append(_pull_campaign(con, server, name, workspace, kind))
            on_pulled(done[-1])
    return done


def _pull_campaign(
    con: Store, server: ArgillaClient, campaign: str, workspace: str | None, kind: str | None
) -> PulledCampaign:
    dataset = find_dataset(server, campaign, workspace)
    questions = query(con, "SELECT * FROM questions WHERE source = ?", [campaign])
    pulled = pull_answers(server, dataset, questions)
    seen = Seen(pulled.records, pulled.annotators)
    taken = take_answers(con, campaign, pulled.answers, kind=kind, came_by="argilla", seen=seen)
    return PulledCampaign(campaign, questions.height, pulled, taken)
