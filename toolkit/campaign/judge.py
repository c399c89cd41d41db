"""A model as an annotator of a campaign: which questions it gets, which replies are there, its answers.

    question 5f0c… about a and b; replies: (a, b) first, (b, a) second -> answer {"preference": "a"}

A judge of its own has a campaign named after rubric and model; in a campaign that people answered it gets
their questions.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ...schemas.support.nearest import suggest
from ..store.connection import Store, query
from ..store.where import EVERYWHERE, Where
from .answers import MODEL, Taken, take_answers
from .campaigns import check_campaign, check_rubric
from .questions import Chosen, Golden, add_questions, read_questions
from .replies import known_replies

SELECTS = ("coverage", "random")
CAME_BY = "judge"
_ALL = 10**9  # questions: as many as there are


@dataclass(frozen=True)
class Asked:
    """What a judge is asked: a campaign's questions, as questions.read_questions has them."""

    campaign: str
    questions: pl.DataFrame
    chosen: Chosen | None
    """What was added to the judge's own campaign; None in another one."""


@dataclass(frozen=True)
class Known:
    """Replies that are there: answers by digest, the time of each, and the last ones without an answer."""

    answers: dict[str, dict[str, Any]]
    at: dict[str, datetime]
    faulty: dict[str, dict[str, Any]]
    """Rows of `replies`."""


def campaign_of(rubric: Rubric, model: str) -> str:
    """The name of the campaign that a judge has for itself: pairwise-preference-openai-gpt-4o-mini."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", f"{rubric.name}-{model}").strip("-")


def own_questions(
    con: Store,
    rubric: Rubric,
    model: str,
    n: int | None,
    select: str = "coverage",
    seed: int = 0,
    where: Where = EVERYWHERE,
    dry_run: bool = False,
) -> Asked:
    """The questions of the judge's own campaign, which is begun or grows to `n`; to all there is without.

    With `dry_run` the store stays as it was. Raises AnnotationError where there is nothing to ask.
    """
    campaign = campaign_of(rubric, model)
    con.begin()
    try:
        chosen = add_questions(con, campaign, rubric, n or _ALL, select, seed, Golden(0, 0), where)
        asked = _within(campaign, read_questions(con, campaign), n, where)
    except BaseException:
        con.rollback()
        raise
    (con.rollback if dry_run else con.commit)()
    return Asked(campaign, asked, chosen if n else replace(chosen, notes=()))


def questions_of(con: Store, campaign: str, rubric: Rubric, n: int | None, where: Where) -> Asked:
    """The questions that a campaign has, the first `n`; nothing is added to them.

    Raises AnnotationError where there is no such campaign, or it was begun with another rubric.
    """
    check_campaign(con, campaign)
    check_rubric(con, campaign, rubric)
    return Asked(campaign, _within(campaign, read_questions(con, campaign), n, where), None)


def _within(campaign: str, questions: pl.DataFrame, n: int | None, where: Where) -> pl.DataFrame:
    """The first `n` questions about what is asked for."""
    wanted = {
        "--source": ("source_of", where.sources),
        "--task": ("task", (where.task,)),
        "--language": ("language", (where.language,)),
    }
    for option, (column, values) in wanted.items():
        asked = [value for value in values if value is not None]
        have = questions[column].unique().sort().to_list()
        for value in asked:
            if value not in have:
                raise AnnotationError(
                    f"{option} {value}: campaign '{campaign}' asks nothing of it; "
                    f"{suggest(value, have, 'there are')}"
                )
        if asked:
            questions = questions.filter(pl.col(column).is_in(asked))
    return questions.head(n) if n else questions


def known(con: Store, model: str, digests: Sequence[str]) -> Known:
    """What is known of these requests."""
    answers, at, faulty = {}, {}, {}
    for row in known_replies(con, model, digests).iter_rows(named=True):  # by request and nth
        if row["answer"] is None:
            faulty[row["request"]] = row
        else:
            answers[row["request"]] = json.loads(row["answer"])
            at[row["request"]] = row["at"]
    return Known(answers, at, {name: row for name, row in faulty.items() if name not in answers})


def was_message(row: Mapping[str, Any]) -> bool:
    """Whether a reply was a message of the model's; else the server refused the request, or sent none."""
    return "said" in json.loads(row["sampling"])


def unfinished(row: Mapping[str, Any], tries: int) -> bool:
    """Whether a request whose last reply is of no use has a try left: a run was stopped in between."""
    return row["nth"] < tries and was_message(row)


def take_verdicts(con: Store, campaign: str, model: str, given: Iterable[Mapping[str, Any]]) -> Taken:
    """Take a model's answers: question (key), given (JSON), comment, at (when it replied).

    An answer of an earlier reply, asked for again with other settings, takes
    the place of one that is younger: the last run says what the model answers.
    """
    rows = [{name: row[name] for name in ("question", "given", "comment", "at")} for row in given]
    stands = dict(
        query(
            con,
            """SELECT question, a."at" FROM answers a JOIN annotators p ON p.key = a.annotator
            WHERE a.source = ? AND superseded_at IS NULL AND p.kind = ? AND p.pseudonym = ?""",
            [campaign, MODEL, model],
        ).rows()
    )
    now = datetime.now(UTC)
    for row in rows:
        if row["question"] in stands and stands[row["question"]] > row["at"]:
            row["at"] = now
    schema: dict[str, Any] = {
        "question": pl.String,
        "given": pl.String,
        "comment": pl.String,
        "at": pl.Datetime("us", "UTC"),
    }
    answers = pl.DataFrame(rows, schema=schema).with_columns(annotator=pl.lit(model))
    return take_answers(con, campaign, answers, kind=MODEL, came_by=CAME_BY)
