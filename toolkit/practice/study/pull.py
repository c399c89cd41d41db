"""Pull a study: bring what learners did from its journal into the store, exactly once.

Each event of the journal has a run and a number in it, which are path and line of its row, so that no event
comes twice. Outcomes are derived anew from the answers and assignments that the store has. Learners who
withdrew are forgotten in the store, and those whom the store forgot are taken out of the journal.
"""

import json
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ....schemas.errors import StudyError
from ....schemas.tables import (
    ANNOTATORS,
    ASSIGNMENTS,
    OUTCOMES,
    PARTICIPANTS,
    RATINGS,
    REVIEWS,
    RUBRICS,
    VOTES,
    Table,
)
from ...privacy.pseudonyms import find_key_file, make_forgotten_check, make_naming
from ...store.connection import Store, add_key, insert, query, run, run_over, transaction
from . import pull_sql as sql
from .frames import Frames, make_frames
from .journal.database import HOME, Journal, locate_journal, read_study_settings
from .journal.reading import Events, open_as_it_is, read_events
from .leaving import forget_withdrawn, remove_forgotten


@dataclass(frozen=True)
class PulledStudy:
    """Result of a pull: rows added and there before, by table; what was noticed; who left."""

    added: dict[str, int]
    there: dict[str, int]
    outcomes: int
    notes: tuple[str, ...]
    damage: str
    """What of the journal could not be read; empty where all was."""
    withdrawn: int
    """Learners who withdrew since the last pull, and are forgotten now."""
    datasets: tuple[tuple[Path, str], ...]
    """Datasets that still have rows of them, and what of them."""

    @property
    def changed(self) -> bool:
        """True if anything new came."""
        return any(self.added.values()) or self.withdrawn > 0


def pull_study(con: Store, study: str, home: Path = HOME) -> PulledStudy:
    """Bring what is new in the journal into the store, in one transaction; pulling again changes nothing.

    After a withdrawal the caller writes the store anew (`write_anew`), so that no byte of it stays.
    Raises StudyError if there is no such study, or the journal is another store's.
    """
    folder = locate_journal(home, study)
    with open_as_it_is(folder) as (journal, damage):
        settings = read_study_settings(journal)
        _check_belongs(con, settings, study, folder)
        name = make_naming(con, find_key_file())
        withdrawn, datasets = (0, ()) if damage else forget_withdrawn(con, journal, name)
        events = read_events(journal, damage)
        people, skills = _read_people(journal), _read_skills(journal)
        ids = events.rows["person"].unique()
        pseudonyms = pl.DataFrame(
            {"person": ids, "learner": name(ids)}, schema_overrides={"learner": pl.String}
        )
        gone = pseudonyms.filter(make_forgotten_check(con)(pseudonyms["learner"]))
        if not damage:
            remove_forgotten(journal, gone["person"].to_list())
        named = pseudonyms.join(gone, on="person", how="anti")
        frames = make_frames(
            study, events.rows.join(named, on="person", maintain_order="left"), people, skills, settings
        )
        notes = [*_compare_runs(con, study, events), *frames.notes]
        if gone.height:
            notes.append(
                f"{gone.height:,} learners were forgotten in the store: taken out of the journal, too"
            )
        added, there, outcomes, unknown = _store_rows(con, study, frames)
    notes += unknown
    return PulledStudy(added, there, outcomes, tuple(notes), events.damage, withdrawn, datasets)


def _check_belongs(con: Store, settings: dict[str, Any], study: str, folder: Path) -> None:
    if "campaign" in settings:
        raise StudyError(f"'{study}' is a campaign: preceptor annotate pull --campaign {study}")
    if not query(con, "SELECT 1 FROM studies WHERE source = ?", [study]).height:
        raise StudyError(f"'{study}' was not pushed from this store; point --store at the one that has it")
    if settings.get("study") != study:
        raise StudyError(f"{folder}: has the study '{settings.get('study')}', not '{study}'; mend --home")


def _read_people(journal: Journal) -> pl.DataFrame:
    rows: list[tuple[str, str | None]] = []
    with suppress(sqlite3.DatabaseError):  # of a damaged journal: first languages alone are missing then
        rows = [tuple(row) for row in journal.execute("SELECT id, first_language FROM people")]
    return pl.DataFrame(rows, schema={"person": pl.String, "first_language": pl.String}, orient="row")


def _read_skills(journal: Journal) -> pl.DataFrame:
    """Read what each item takes: item, skills."""
    rows: list[tuple[str, list[str]]] = []
    with suppress(sqlite3.DatabaseError):
        rows = [(id, json.loads(skills)) for id, skills in journal.execute("SELECT id, skills FROM items")]
    return pl.DataFrame(rows, schema={"item": pl.String, "skills": pl.List(pl.String)}, orient="row")


def _compare_runs(con: Store, study: str, events: Events) -> list[str]:
    """Name events that were pulled before and that the journal lacks now."""
    have = events.rows.group_by(pl.col("run").alias("path")).agg(pl.col("n").max().alias("last"))
    pulled = query(con, sql.LAST_PULLED, {"study": study}).join(have, on="path", how="left")
    lacking = pulled.filter(pl.col("last").fill_null(0) < pl.col("line"))
    if lacking.is_empty():
        return []
    return [
        f"the journal ends before what was pulled from it earlier ({lacking.height:,} runs of the server): "
        "it was cut off, or brought back from an older copy; the store keeps what it has"
    ]


def _store_rows(
    con: Store, study: str, frames: Frames
) -> tuple[dict[str, int], dict[str, int], int, list[str]]:
    added, there, notes = {}, {}, []
    tables = (PARTICIPANTS, REVIEWS, ASSIGNMENTS, VOTES, RATINGS)
    with transaction(con):
        known = query(con, "SELECT key FROM completions")["key"].implode()
        insert(con, ANNOTATORS, frames.annotators)
        insert(con, RUBRICS, frames.rubrics)
        for table, frame in zip(tables, (frames.participants, *frames.rows), strict=True):
            about = [c for c in ("completion", "completion_a", "completion_b") if c in frame.columns]
            whole = frame.filter(pl.all_horizontal(pl.col(c).is_in(known) for c in about)) if about else frame
            if whole.height < frame.height:
                notes.append(
                    f"{frame.height - whole.height:,} {table.name} are about explanations that are gone from "
                    "the store; they stay in the journal: ingest their source again, then pull"
                )
            keyed = _key_all(whole, table)
            new = keyed.filter(~pl.col("key").is_in(_list_keys(con, table, study)))
            added[table.name], there[table.name] = insert(con, table, new), keyed.height - new.height
            if table is ASSIGNMENTS and keyed.height:
                run_over(con, keyed.select("key", "knew", "both_at"), sql.UPDATE_ASSIGNMENTS)
        ((delay,),) = run(con, "SELECT delay_hours FROM studies WHERE source = ?", [study])
        derived = query(con, sql.SELECT_OUTCOMES, {"study": study, "delay_hours": delay})
        run(con, "DELETE FROM outcomes WHERE source = ?", [study])
        outcomes = insert(con, OUTCOMES, derived)
        run(con, sql.COUNT_SOURCE, {"study": study, "now": datetime.now(UTC)})
    return added, there, outcomes, notes


def _key_all(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Add the key, which DuckDB derives itself where the table does not store it."""
    return add_key(frame, table).unique("key", keep="first", maintain_order=True)


def _list_keys(con: Store, table: Table, study: str) -> pl.Series:
    return query(con, f"SELECT key FROM {table.name} WHERE source = ?", [study])["key"].implode()
