"""Store answers of annotators: tables `answers`, `votes`, `ratings` and `annotators` of a campaign.

    question              annotator  given                  comment   at
    5f0c2ab1d94e77a3a2b1  anna       {"preference": "a"}    shorter   2026-11-21 10:00:00
    0d4e77a35f0c2ab1b0c4  ben        {"brief": 4}           null      2026-11-21 10:00:07

The last answer of an annotator to a question is valid; earlier ones stay in `answers`, marked as superseded.
Votes and ratings are derived from the valid answers: path is the campaign and the annotator's pseudonym,
line the question's position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ..privacy.pseudonyms import Naming, find_key_file, make_forgotten_check, make_naming
from ..store.connection import Store, query, run, transaction
from ..store.temporary import make, make_from_frame
from .campaigns import check_campaign
from .sql import answers as sql
from .sql import steps

MODEL = "model"  # the kind of annotators that are models
_COLUMNS: dict[str, Any] = {
    "question": pl.String,
    "annotator": pl.String,
    "given": pl.String,
    "comment": pl.String,
    "at": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class Seen:
    """The questions and annotators (by their own ids) covered by a pull.

    Stored answers of these that came the same way and are missing now were withdrawn. By default every
    annotator is covered at every question; with `as_pairs` each at the question in the same place.
    """

    questions: Sequence[str]
    annotators: Sequence[str]
    as_pairs: bool = False


@dataclass(frozen=True)
class Taken:
    """Counts of incoming answers by status."""

    new: int
    unchanged: int  # stored already, or older than the valid answer
    superseded: int  # replaced a valid answer
    withdrawn: int  # were valid, and are missing now
    rejected: int  # do not fit their question: in `rejects`, with the reason
    by_annotator: pl.DataFrame  # annotator (pseudonym), new, superseded, withdrawn, total (valid ones)
    first_rejects: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """True if votes or ratings changed."""
        return bool(self.new or self.superseded or self.withdrawn)


def take_answers(
    con: Store,
    campaign: str,
    answers: pl.DataFrame,
    *,
    kind: str | None = None,
    came_by: str = "file",
    seen: Seen | None = None,
    naming: Naming | None = None,
) -> Taken:
    """Take answers into the store in one transaction; the same answers again change nothing.

    `answers` has question (key), annotator (their own id), given (JSON object: value by criterion; of a
    pair {"preference": "a", "b" or "tie"}), at (UTC) and may have comment. `kind` is the annotators'
    (student, expert, crowd or model; default: crowd). Names of models are stored as they are and need no key;
    `naming` makes pseudonyms of ids, by default with this store's key.

    Raises AnnotationError if there is no such campaign, and StoreError for another key of pseudonyms.
    """
    check_campaign(con, campaign)
    # Cast to UTC as the column's own time says; a time without a zone is UTC.
    rows = answers.select(
        *(
            answers[name].cast(type) if name in answers.columns else pl.lit(None, type).alias(name)
            for name, type in _COLUMNS.items()
            if name != "at"
        ),
        _in_utc(answers["at"]),
    ).with_columns(pl.col("comment").str.strip_chars().replace("", None))
    now = datetime.now(UTC)
    with transaction(con):
        pseudonyms = _judge(con, campaign, rows, seen, _as_it_is if kind == MODEL else naming)
        given = {"campaign": campaign, "came_by": came_by}
        make(con, steps.PEOPLE, sql.SELECT_PEOPLE)
        run(con, sql.NEW_PEOPLE, {"kind": kind})
        if kind:
            run(con, sql.OF_KIND, {"kind": kind})
        make(con, steps.LATEST, sql.SELECT_LATEST)
        make(
            con,
            steps.WITHDRAWN,
            sql.SELECT_WITHDRAWN,
            given | _cover(seen, pseudonyms),
        )
        run(con, sql.SUPERSEDE, {"now": now})
        run(con, sql.REVIVE, {"came_by": came_by})
        run(con, sql.ADD, given | {"now": now})
        taken = _count(con, campaign)
        refused = _store_rejects(con, campaign)
        if taken.changed:
            derive(con, campaign)
        if taken.changed or refused:
            run(con, sql.SOURCE_ROW, {"campaign": campaign, "now": now})
    return taken


def derive(con: Store, campaign: str) -> None:
    """Derive the campaign's votes and ratings from its valid answers."""
    for said, select, delete, insert in sql.derive_sql():
        make(con, said, select, {"campaign": campaign})
        run(con, delete, {"campaign": campaign})
        run(con, insert, {"campaign": campaign})


def _in_utc(at: pl.Series) -> pl.Series:
    zone = getattr(at.dtype, "time_zone", None)
    if at.dtype == pl.Null:
        return at.cast(_COLUMNS["at"])
    return at.dt.convert_time_zone("UTC").dt.cast_time_unit("us") if zone else at.cast(_COLUMNS["at"])


def _cover(seen: Seen | None, pseudonyms: list[str]) -> dict[str, Any]:
    """Make the parameters that say which stored answers a pull covers."""
    questions = list(seen.questions) if seen else []
    pairs = (
        [f"{question} {who}" for question, who in zip(questions, pseudonyms, strict=True)]
        if seen and seen.as_pairs
        else None
    )
    return {"questions": questions, "pseudonyms": pseudonyms, "pairs": pairs}


def _judge(
    con: Store, campaign: str, rows: pl.DataFrame, seen: Seen | None, naming: Naming | None
) -> list[str]:
    """Make `judged`, with pseudonyms for ids; return the pseudonyms of the annotators covered."""
    of_models = naming is _as_it_is
    name = naming or make_naming(con, find_key_file())
    named = name(rows["annotator"]).alias("pseudonym")
    gone = (named.is_null() & False if of_models else make_forgotten_check(con)(named)).alias("gone")
    incoming = rows.drop("annotator").with_columns(named, gone).with_row_index("nth")
    make_from_frame(con, steps.GIVEN_ROWS, incoming)
    make(con, steps.JUDGED, sql.SELECT_JUDGED, {"campaign": campaign})
    return name(pl.Series(seen.annotators, dtype=pl.String)).to_list() if seen else []


def _as_it_is(ids: pl.Series) -> pl.Series:
    return ids.cast(pl.String)


def _count(con: Store, campaign: str) -> Taken:
    (counts,) = run(con, sql.COUNT)
    first = tuple(f"question {position}: {reason}" for position, reason in run(con, sql.FIRST_REFUSED))
    new, unchanged, superseded, withdrawn, rejected = map(int, counts)
    by = query(con, sql.BY_ANNOTATOR, {"campaign": campaign})
    return Taken(new, unchanged, superseded, withdrawn, rejected, by, first)


def _store_rejects(con: Store, campaign: str) -> bool:
    """Store the campaign's rejects; return True if they changed."""
    make(con, steps.REFUSED, sql.SELECT_REFUSED, {"campaign": campaign})
    ((dropped,),) = run(con, sql.DROP_REFUSED, {"campaign": campaign})
    ((added,),) = run(con, sql.ADD_REFUSED, {"campaign": campaign})
    return bool(dropped or added)
