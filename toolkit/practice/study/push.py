"""Push a study: put items, explanations, texts of consent and a class into its journal, from the store.

Pushing again brings items, probabilities and texts up to date, while the server runs, too. An item that is
not among them any more is withdrawn: it is not asked again, and answers to it that still come are kept.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ....annotation.rubrics.rubric import read_rubric
from ....schemas.errors import StudyError
from ....schemas.keys import LENGTH
from ....schemas.licenses import read_license
from ....schemas.tables import SOURCES, STUDIES
from ...privacy.pseudonyms import find_key_file, make_naming
from ...store.connection import Store, insert, query, run, transaction
from ...store.places import note_place
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
from .journal.people import add_person, find_named, write_consents
from .plan.class_list import Listed
from .plan.content import Content, read_content
from .plan.draw import UNIFORM, compute_propensities
from .plan.order import EVERYBODY, FSRS, RECOMMEND, compute_places

READER = "study"


@dataclass(frozen=True)
class StudyOptions:
    """Options of a push; of a study that there is already, those that are None stay."""

    exercises: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    """Of the items; empty: all of them."""
    schedule: str | None = None
    """How new items are ordered: "fsrs" (by chance) or "recommend". None: as before, at first fsrs."""
    policy: str = UNIFORM
    fit: str | None = None
    seed: int = 0
    consents: dict[str, str] = field(default_factory=dict)
    """Text by language; the first language is the default one."""
    learners: Sequence[Listed] = ()
    code: str | None = None
    """What a class types in to join; None: only personal links, or as it was."""
    rubric: str | None = None
    """Rating rubric, for a rating now and then."""
    license: str | None = None
    retention: float = 0.9
    daily: int = 20
    """New items a day."""
    vote_share: float = 0.3
    rate_every: int = 8
    delay_hours: float = 20.0


@dataclass(frozen=True)
class PushedStudy:
    """Result of a push."""

    folder: Path
    items: int
    kinds: pl.DataFrame  # kind, n, explained
    new: int
    withdrawn: int
    arms: int
    fit: str | None
    learners: int
    added: int
    notes: tuple[str, ...]


def push_study(
    store: Path, con: Store, study: str, options: StudyOptions | None = None, home: Path = HOME
) -> PushedStudy:
    """Make or extend a study from the store `con`, whose file is `store`.

    Raises StudyError if there is nothing to ask, no consent text was ever given, or the name is that of
    another source; StoreError for a recipe or source that is not there.
    """
    folder = locate_journal(home, study)
    _check_source(con, study)
    options = _complete(options or StudyOptions(), folder)
    content = read_content(con, options.exercises, options.sources, options.arms, options.languages)
    arms = compute_propensities(con, content.arms, options.policy, options.fit, options.seed)
    places = _compute_places(con, folder, options, content)
    rubric = _read_rating_rubric(options.rubric)
    begun = (folder / FILE).exists()
    if not begun and not options.consents:
        raise StudyError("a study needs a text that learners agree to: --consent FILE")
    make_journal(folder)
    note_place(store, folder.absolute(), "study")
    secret = read_secret(folder)
    with open_journal(folder) as journal, write_at_once(journal):
        before = read_study_settings(journal)
        _check_same(con, before, study, folder)
        new, withdrawn = _write_items(journal, content.items, set(arms.filter("settled")["prompt"]))
        _write_arms(journal, arms)
        journal.execute("DELETE FROM places")
        journal.executemany("INSERT INTO places VALUES (?, ?, ?)", places.rows())
        write_consents(journal, options.consents)
        added = _add_learners(journal, secret, options.learners)
        languages = [
            row[0] for row in journal.execute("SELECT language FROM consents WHERE current ORDER BY rowid")
        ]
        write_settings(journal, _make_settings(con, study, options, languages, rubric, before))
        ((learners,),) = journal.execute("SELECT count(*) FROM people").fetchall()
        written = journal.execute("SELECT hash, language, text FROM consents")
        texts = {row[0]: {"language": row[1], "text": row[2]} for row in written}
    fits = arms["fit"].drop_nulls()
    fit = str(fits[0]) if len(fits) else None
    _write_study(con, study, options, languages, texts, fit, content)
    kinds = content.items.group_by("kind").agg(
        pl.len().alias("n"), pl.col("prompt").is_not_null().sum().alias("explained")
    )
    notes = [*_list_notes(content, arms, options), *_note_order(places, options, learners)]
    return PushedStudy(
        folder,
        content.items.height,
        kinds.sort("kind"),
        new,
        withdrawn,
        arms.height,
        fit,
        learners,
        added,
        tuple(notes),
    )


def _complete(options: StudyOptions, folder: Path) -> StudyOptions:
    """Take what is to be asked, and in which order, from the push before, where this one names nothing."""
    before: dict[str, Any] = {}
    if (folder / FILE).exists():
        with open_journal(folder) as journal:
            before = read_study_settings(journal)
    options = replace(options, schedule=options.schedule or str(before.get("schedule") or FSRS))
    if options.exercises or options.sources or not before:
        return options
    exercises, sources, arms, languages = (
        tuple(before.get(name) or ()) for name in ("exercises", "sources", "arms", "item_languages")
    )
    return replace(
        options, exercises=exercises, sources=sources, arms=arms, languages=options.languages or languages
    )


def _compute_places(con: Store, folder: Path, options: StudyOptions, content: Content) -> pl.DataFrame:
    """Compute the order of new items of the learners whom the journal has; learners of this push are new."""
    if options.schedule != RECOMMEND:
        return pl.DataFrame(schema={"person": pl.String, "item": pl.String, "place": pl.Int64})
    ids = pl.Series("person", dtype=pl.String)
    if (folder / FILE).exists():
        with open_journal(folder) as journal:
            rows = [row[0] for row in journal.execute("SELECT id FROM people ORDER BY id")]
            ids = pl.Series("person", rows, dtype=pl.String)
    learners = make_naming(con, find_key_file())(ids).alias("learner")
    return compute_places(con, content.items, pl.DataFrame([ids, learners]), datetime.now(UTC))


def _note_order(places: pl.DataFrame, options: StudyOptions, learners: int) -> list[str]:
    if options.schedule != RECOMMEND:
        return []
    known = places.filter(pl.col("person") != EVERYBODY)["person"].n_unique()
    later = "" if known == learners else ", until study pull, learn and another push know them"
    others = "" if known == learners else f"; for the other {learners - known:,} by level{later}"
    return [f"new items come by expected gain for {known:,} learners{others}"]


def _check_source(con: Store, study: str) -> None:
    taken = query(con, "SELECT reader FROM sources WHERE name = ?", [study])["reader"]
    if len(taken) and taken[0] != READER:
        raise StudyError(f"'{study}' is a source read as {taken[0]}, not a study; choose another --study")


def _check_same(con: Store, before: dict[str, object], study: str, folder: Path) -> None:
    """Raise StudyError if the folder has another study than this store's of this name."""
    if "campaign" in before:
        raise StudyError(
            f"{folder}: has the campaign '{before['campaign']}'; choose another --study or --home"
        )
    stated = before.get("study")
    if stated is not None and stated != study:
        raise StudyError(f"{folder}: has the study '{stated}', not '{study}'; choose another --home")
    pushed = query(con, "SELECT 1 FROM studies WHERE source = ?", [study]).height
    if stated is None and pushed:
        raise StudyError(
            f"{folder}: there is no journal of '{study}', although it was pushed before; point --home at the "
            "folder that has it, or choose another --study"
        )


def _read_rating_rubric(name: str | None) -> dict[str, object] | None:
    if name is None:
        return None
    rubric = read_rubric(name)
    if rubric.kind != "rating":
        raise StudyError(
            f"--rubric {name}: is a pairwise rubric; learners are asked for ratings, such as by socratic"
        )
    criteria = [
        {
            "name": c.name,
            "wording": c.wording,
            "levels": list(c.levels),
            "higher": c.higher_is_better,
            "weight": c.weight,
        }
        for c in rubric.criteria
    ]
    return {"name": rubric.name, "digest": rubric.digest, "criteria": criteria}


def _make_settings(
    con: Store,
    study: str,
    options: StudyOptions,
    languages: list[str],
    rubric: dict[str, object] | None,
    before: dict[str, object],
) -> dict[str, object]:
    return {
        "study": study,
        "store": str(query(con, "SELECT coalesce(key_digest, '') AS d FROM preceptor")["d"][0])[:LENGTH],
        "languages": languages,
        "exercises": list(options.exercises),
        "sources": list(options.sources),
        "arms": list(options.arms),
        "item_languages": list(options.languages),
        "schedule": options.schedule,
        "code": options.code if options.code is not None else before.get("code"),
        "rubric": rubric if rubric is not None else before.get("rubric"),
        "retention": options.retention,
        "daily": options.daily,
        "vote_share": options.vote_share,
        "rate_every": options.rate_every,
        "delay_hours": options.delay_hours,
        "teacher": before.get("teacher") or secrets.token_hex(16),
        "pushed_at": write_moment(datetime.now(UTC)),
    }


def _write_items(journal: Journal, items: pl.DataFrame, settled: set[str]) -> tuple[int, int]:
    """Write items in place of those with the same ids; return how many are new and how many withdrawn."""
    there = {row[0] for row in journal.execute("SELECT id FROM items")}
    asked = {row[0] for row in journal.execute("SELECT id FROM items WHERE NOT withdrawn")}
    rows = [
        (
            row["id"],
            position,
            row["kind"],
            row["language"],
            row["shown"],
            *(json.dumps(row[name], ensure_ascii=False) for name in ("answers", "wrong", "options")),
            row["hint"],
            row["before"],
            row["after"],
            *(json.dumps(row[name], ensure_ascii=False) for name in ("skills", "sources")),
            row["prompt"],
            row["prompt"] in settled,
        )
        for position, row in enumerate(items.iter_rows(named=True))
    ]
    journal.executemany(
        "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", rows
    )
    ids = {row[0] for row in rows}
    gone = asked - ids
    journal.executemany("UPDATE items SET withdrawn = 1 WHERE id = ?", [(id,) for id in gone])
    return len(ids - there), len(gone)


def _write_arms(journal: Journal, arms: pl.DataFrame) -> None:
    """Write explanations; those that are not among them are kept for who has seen them, but not drawn."""
    journal.execute("UPDATE arms SET propensity = 0")
    columns = ("prompt", "completion", "label", "content", "propensity", "policy", "fit")
    journal.executemany(
        "INSERT OR REPLACE INTO arms VALUES (?, ?, ?, ?, ?, ?, ?)", arms.select(columns).rows()
    )


def _add_learners(journal: Journal, secret: bytes, learners: Sequence[Listed]) -> int:
    """Add the learners that are not there yet, by name; return how many."""
    now = datetime.now(UTC)
    added = 0
    for listed in learners:
        if find_named(journal, listed.name) is None:
            add_person(journal, secret, listed.name, listed.first_language, now)
            added += 1
    return added


def _write_study(
    con: Store,
    study: str,
    options: StudyOptions,
    languages: list[str],
    texts: dict[str, dict[str, str]],
    fit: str | None,
    content: Content,
) -> None:
    """Write the study's rows of `sources` and `studies`."""
    license = read_license(options.license)
    row = pl.DataFrame(
        {
            "source": [study], "languages": [languages], "policy": [options.policy], "fit": [fit],
            "seed": [options.seed], "delay_hours": [options.delay_hours],
            "consents": [json.dumps(texts, ensure_ascii=False)], "items": [content.items.height],
            "pushed_at": [datetime.now(UTC)],
        },
        schema_overrides={"fit": pl.String},
    )  # fmt: skip
    source = pl.DataFrame(
        {
            "name": [study], "kind": ["log"], "language": [languages[0]], "license": [license.id],
            "redistribution": [license.redistribution], "commercial_use": [license.commercial_use],
            "share_alike": [license.share_alike], "sha256": [""], "reader": [READER],
            "notes": ["what learners did on the pages of a study (preceptor study)"],
            "rows": [0], "rejects": [0], "ingested_at": [datetime.now(UTC)],
        }
    )  # fmt: skip
    with transaction(con):
        run(con, "DELETE FROM studies WHERE source = ?", [study])
        insert(con, STUDIES, row)
        insert(con, SOURCES, source)
        if options.license:
            run(
                con,
                """UPDATE sources SET license = ?, redistribution = ?, commercial_use = ?, share_alike = ?
                WHERE name = ?""",
                [license.id, license.redistribution, license.commercial_use, license.share_alike, study],
            )


def _list_notes(content: Content, arms: pl.DataFrame, options: StudyOptions) -> tuple[str, ...]:
    notes = []
    if content.left_out.height:
        others = ", ".join(f"{n:,} in {language}" for language, n in content.left_out.rows())
        notes.append(f"left out by --language: {others}")
    bare = content.items["prompt"].null_count()
    if bare:
        notes.append(
            f"{bare:,} items have no explanation in the store: learners see the accepted answer alone"
        )
    single = arms.group_by("prompt").len().filter(pl.col("len") == 1).height
    if single:
        notes.append(
            f"{single:,} prompts have one explanation: it is shown to everybody, nothing is compared"
        )
    if options.policy != UNIFORM and (
        unknown := arms.filter(pl.col("policy") == UNIFORM)["prompt"].n_unique()
    ):
        notes.append(f"{unknown:,} prompts have explanations that the fit does not know: drawn uniformly")
    return tuple(notes)
