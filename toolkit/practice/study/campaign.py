"""Put a campaign's questions on pages of your own, and bring what annotators answer into the store.

    push_questions(store, "week-1", read_rubric("pairwise-preference"), PageOptions(annotators=("ada",)))
    study-home/week-1/study.db      a journal as of a study; preceptor study serve --study week-1
    pull_questions(con, find_page_campaigns(store))

Questions are planned as for Argilla and for forms, and answers come into the store by the same door.
"""

import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ....annotation.argilla.dataset import OVERLAP
from ....annotation.argilla.pull import PulledAnswers
from ....schemas.errors import AnnotationError, StudyError
from ....schemas.licenses import read_license
from ....schemas.rubric import Rubric
from ...campaign.answers import Seen, take_answers
from ...campaign.argilla import PulledCampaign
from ...campaign.campaigns import check_campaign, set_license
from ...campaign.questions import Chosen, Selection, extend_campaign, mark_asked, read_questions
from ...privacy.pseudonyms import Naming, find_key_file, make_forgotten_check, make_naming
from ...store.connection import Store, open_store, query
from ...store.places import list_places, note_place
from .journal.database import (
    FILE,
    HOME,
    Journal,
    locate_journal,
    make_journal,
    open_journal,
    read_secret,
    read_study_settings,
    write_at_once,
    write_settings,
)
from .journal.events import write_moment
from .journal.judgements import put_questions, withdraw_questions
from .journal.people import KNOWN, add_person, find_named, forget_bytes, write_consents
from .journal.reading import Events, open_as_it_is, read_bodies, read_events
from .leaving import forget_withdrawn, remove_forgotten
from .pages.text.words import LANGUAGES, read_words

CAME_BY = "study"
PLACE = "campaign"


@dataclass(frozen=True)
class PageOptions:
    """Options of a push to pages; those that are None stay as they were."""

    selection: Selection = field(default_factory=Selection)
    license: str | None = None
    """SPDX id of the answers' licence; default: not for publication."""
    overlap: int | None = None
    """Annotators who answer each question. Default: 3 for a new campaign, else unchanged."""
    annotators: tuple[str, ...] = ()
    """Names of annotators; each gets a personal link, and is who has this name elsewhere."""
    code: str | None = None
    """What others type in to join under names of their own choice."""
    consents: dict[str, str] = field(default_factory=dict)
    """Text by language that annotators agree to. Default: a short note of the pages."""


@dataclass(frozen=True)
class PushedQuestions:
    """Result of a push to pages."""

    chosen: Chosen
    folder: Path
    added: int
    withdrawn: int
    overlap: int
    annotators: list[str]
    """Names of all who can answer."""
    code: str | None


@dataclass(frozen=True)
class PulledQuestions:
    """Result of a pull of one campaign from pages."""

    campaign: PulledCampaign
    notes: tuple[str, ...]
    damage: str
    """What of the journal could not be read; empty where all was."""
    withdrawn: int
    """Annotators who left since the last pull, and are forgotten now."""
    datasets: tuple[tuple[Path, str], ...]
    """Datasets that still have rows of them, and what of them."""


def push_questions(
    store: Path, campaign: str, rubric: Rubric, options: PageOptions | None = None, home: Path = HOME
) -> PushedQuestions:
    """Choose questions and put them on pages; pushing again adds what is missing, while they are served, too.

    Raises AnnotationError if no prompt matches, the campaign was begun with another rubric, an annotator was
    forgotten, or the folder is another store's; StudyError if a study has the folder.
    """
    options = options or PageOptions()
    folder = locate_journal(home, campaign)
    license = read_license(options.license)
    with open_store(store) as con:
        known = _name_annotators(con, options.annotators)
        if (folder / FILE).exists():
            with open_journal(folder) as journal:
                _check_folder(con, journal, campaign, folder)
        chosen = extend_campaign(con, campaign, rubric, options.selection)
        if options.license:
            set_license(con, campaign, license)
        questions = read_questions(con, campaign)
        make_journal(folder)
        note_place(store, folder.absolute(), PLACE)
        secret = read_secret(folder)
        with open_journal(folder) as journal, write_at_once(journal):
            settings = _make_settings(read_study_settings(journal), campaign, rubric, options)
            added, withdrawn = put_questions(journal, [_make_row(row) for row in questions.to_dicts()])
            consents = options.consents or ({} if settings["languages"] else _write_notices())
            write_consents(journal, consents)
            _add_annotators(journal, secret, known)
            rows = journal.execute("SELECT language FROM consents WHERE current ORDER BY rowid")
            write_settings(journal, settings | {"languages": [row[0] for row in rows]})
            names = [row[0] for row in journal.execute("SELECT name FROM people ORDER BY name")]
        mark_asked(con, campaign, questions["key"])
    return PushedQuestions(chosen, folder, added, withdrawn, settings["overlap"], names, settings["code"])


def _name_annotators(con: Store, names: Sequence[str]) -> dict[str, str]:
    """Name annotators by their pseudonyms: {name: pseudonym}."""
    spelt = list(dict.fromkeys(" ".join(name.split()) for name in names))
    if not spelt:
        return {}
    pseudonyms = make_naming(con, find_key_file())(pl.Series(spelt, dtype=pl.String))
    for name, gone in zip(spelt, make_forgotten_check(con)(pseudonyms), strict=True):
        if gone:
            raise AnnotationError(
                f"--annotator {name}: was forgotten in this store, and what they answer would be refused; "
                "ask somebody else"
            )
    return dict(zip(spelt, pseudonyms, strict=True))


def _check_folder(con: Store, journal: Journal, campaign: str, folder: Path) -> None:
    """Raise an error if a folder has a study, another campaign, or questions of another store."""
    settings = read_study_settings(journal)
    if "study" in settings:
        raise StudyError(
            f"{folder}: has the study '{settings['study']}'; choose another --campaign or --home"
        )
    if (stated := settings.get("campaign")) not in (None, campaign):
        raise AnnotationError(
            f"{folder}: has the campaign '{stated}', not '{campaign}'; choose another --home"
        )
    there = _read_questions_there(journal)
    here = query(con, "SELECT key, shown_first FROM questions WHERE source = ?", [campaign])
    both = there.join(here, on="key")
    turned = both.filter(pl.col("shown_there").ne_missing(pl.col("shown_first"))).height
    if turned or (there.height and here.height and both.is_empty()):
        raise AnnotationError(
            f"{folder}: its questions are those of another store; use the store that it was pushed from, or "
            "push under another --campaign"
        )


def _read_questions_there(journal: Journal) -> pl.DataFrame:
    """Read the questions that a journal asks, as far as it can be read: key, shown_there."""
    rows: list[tuple[Any, ...]] = []
    with suppress(sqlite3.DatabaseError):
        asked = journal.execute("SELECT key, shown_first FROM questions WHERE NOT withdrawn")
        rows = [tuple(row) for row in asked]
    return pl.DataFrame(rows, schema={"key": pl.String, "shown_there": pl.String}, orient="row")


def _make_settings(
    before: dict[str, Any], campaign: str, rubric: Rubric, options: PageOptions
) -> dict[str, Any]:
    criteria = [{"name": c.name, "wording": c.wording, "levels": list(c.levels)} for c in rubric.criteria]
    return {
        "campaign": campaign,
        "languages": before.get("languages") or [],
        "code": options.code if options.code is not None else before.get("code"),
        "overlap": options.overlap or before.get("overlap") or OVERLAP,
        "teacher": before.get("teacher") or secrets.token_hex(16),
        "rubric": {
            "title": rubric.title,
            "kind": rubric.kind,
            "tie": rubric.tie,
            "guidelines": rubric.guidelines,
            "criteria": criteria,
        },
        "pushed_at": write_moment(datetime.now(UTC)),
    }


def _make_row(row: dict[str, Any]) -> dict[str, Any]:
    """Make the journal's row of a question: its texts in the order they are shown."""
    texts = [row["content_a"], row["content_b"]]
    first, second = texts[::-1] if row["shown_first"] == "b" else texts
    kept = {name: row[name] for name in ("key", "position", "language", "messages", "shown_first")}
    return kept | {"first": first, "second": second}


def _write_notices() -> dict[str, str]:
    return {language: read_words(language, True)["notice"] for language in LANGUAGES}


def _add_annotators(journal: Journal, secret: bytes, known: dict[str, str]) -> None:
    now = datetime.now(UTC)
    for name, pseudonym in known.items():
        id = f"{KNOWN}{pseudonym}"
        if journal.execute("SELECT 1 FROM withdrawals WHERE person = ?", [id]).fetchone():
            raise AnnotationError(f"--annotator {name}: has left this campaign; ask somebody else")
        same = find_named(journal, name)
        if same is None:
            add_person(journal, secret, name, None, now, known=pseudonym)
        elif same != id:
            raise AnnotationError(
                f"--annotator {name}: somebody joined by the code under this name, or one that differs in "
                "case alone; name yours so that both can be told apart"
            )


def find_page_campaigns(store: Path, home: Path = HOME) -> dict[str, Path]:
    """Find the campaigns that were pushed to pages: name and folder of each, by name."""
    folders = [Path(where) for where, what in list_places(store).items() if what == PLACE]
    folders += [folder for folder in sorted(home.glob("*")) if folder.is_dir()]
    found: dict[str, Path] = {}
    for folder in folders:
        if (folder / FILE).is_file():
            with suppress(StudyError), open_as_it_is(folder) as (journal, _):
                name = read_study_settings(journal).get("campaign")
                if isinstance(name, str):
                    found.setdefault(name, folder)
    return dict(sorted(found.items()))


def pull_questions(
    con: Store,
    campaigns: Mapping[str, Path],
    *,
    kind: str | None = None,
    on_pulled: Callable[[PulledQuestions], object] = lambda _: None,
) -> list[PulledQuestions]:
    """Take answers of pages into the store, campaign by campaign; pulling again changes nothing.

    `campaigns` are those of `find_page_campaigns`; `kind` is the annotators' (student, expert or crowd).
    After somebody left, the caller writes the store anew (`write_anew`). Raises AnnotationError if the store
    has no such campaign, or other questions.
    """
    done = []
    for campaign, folder in campaigns.items():
        done.append(_pull_one(con, campaign, folder, kind))
        on_pulled(done[-1])
    return done


def _pull_one(con: Store, campaign: str, folder: Path, kind: str | None) -> PulledQuestions:
    check_campaign(con, campaign)
    with open_as_it_is(folder) as (journal, damage):
        _check_folder(con, journal, campaign, folder)
        overlap = int(read_study_settings(journal)["overlap"])
        naming = _make_page_naming(con)
        left, datasets = (0, ()) if damage else forget_withdrawn(con, journal, naming)
        events = read_events(journal, damage)
        ids = events.rows["person"].unique()
        gone = ids.filter(make_forgotten_check(con)(naming(ids)))
        if not damage:
            remove_forgotten(journal, gone.to_list())
        questions = query(con, "SELECT key, position FROM questions WHERE source = ?", [campaign])
        keys = _read_questions_there(journal)["key"]
        if not damage:
            _remove_texts(journal, keys.filter(~keys.is_in(questions["key"].implode())).to_list())
    known = pl.col("question").is_in(questions["key"].implode())
    last = _list_last(events).filter(known & ~pl.col("annotator").is_in(gone.implode()))
    judged, others = last.filter(pl.col("given").is_not_null()), last.filter(pl.col("given").is_null())
    seen = Seen(others["question"].to_list(), others["annotator"].to_list(), as_pairs=True)
    notes = _list_notes(con, campaign, last, naming, gone.len())
    taken = take_answers(con, campaign, judged, kind=kind, came_by=CAME_BY, seen=seen, naming=naming)
    skipped = others.filter(pl.col("kind") == "skipped")
    said = skipped.filter(pl.col("comment") != "").join(questions, left_on="question", right_on="key")
    comments = tuple(said.select("position", "comment").rows())
    there = keys.filter(keys.is_in(questions["key"].implode())).to_list()
    pulled = PulledAnswers(judged, 0, skipped.height, there, [], 0, overlap, comments)
    whole = PulledCampaign(campaign, questions.height, pulled, taken)
    return PulledQuestions(whole, tuple(notes), events.damage, left, datasets)


def _remove_texts(journal: Journal, keys: list[str]) -> None:
    """Take the texts of questions that the store has no more, such as of a forgotten learner, out of it."""
    if keys:
        with write_at_once(journal):
            withdraw_questions(journal, keys)
        forget_bytes(journal)


def _make_page_naming(con: Store) -> Naming:
    """Make a function from ids of people in the journal to pseudonyms; some ids have theirs in them."""
    name = make_naming(con, find_key_file())

    def named(ids: pl.Series) -> pl.Series:
        given = ids.cast(pl.String)
        known = given.str.strip_prefix(KNOWN)
        return pl.select(
            pl.when(given.str.starts_with(KNOWN)).then(known).otherwise(name(given)).alias("pseudonym")
        ).to_series()

    return named


def _list_last(events: Events) -> pl.DataFrame:
    """List what each annotator gave to each question last.

    Columns: question, annotator (id in the journal), kind, given (null: left out or taken back), comment, at.
    """
    rows = events.rows.filter(pl.col("kind").is_in(["judgement", "skipped", "undone"]))
    last = rows.unique(["person", "item"], keep="last", maintain_order=True)
    return read_bodies(last, given=pl.String, comment=pl.String).select(
        pl.col("item").alias("question"),
        pl.col("person").alias("annotator"),
        "kind",
        "given",
        "comment",
        "at",
    )


def _list_notes(con: Store, campaign: str, last: pl.DataFrame, naming: Naming, forgotten: int) -> list[str]:
    """Name who was taken out of the journal, and answers of the store that it lacks."""
    notes = []
    if forgotten:
        notes.append(f"{forgotten:,} annotators were forgotten in the store: taken out of the journal, too")
    there = query(
        con,
        """SELECT question, p.pseudonym FROM answers a JOIN annotators p ON p.key = a.annotator
        WHERE a.source = ? AND a.came_by = ? AND a.superseded_at IS NULL""",
        [campaign, CAME_BY],
    )
    mine = last.select("question", naming(last["annotator"]).alias("pseudonym"))
    if lacking := there.join(mine, on=["question", "pseudonym"], how="anti").height:
        notes.append(
            f"{lacking:,} answers that were pulled earlier are not in the journal: it was cut off, or "
            "brought back from an older copy; the store keeps them"
        )
    return notes
