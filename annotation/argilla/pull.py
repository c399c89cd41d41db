"""Read submitted answers of an Argilla dataset, with sides turned back to a and b.

    {"preference": {"value": "first"}, "comment": {"value": "shorter"}}  ->  {"preference": "a"}, "shorter"

for a question whose completion_a was shown first. Drafts and discards are counted, not taken; their
comments are returned, to be shown.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ...schemas.rubric import PREFERENCE
from .client import ArgillaClient, Json, RefusedError
from .dataset import COMMENT, SIDES, Dataset
from .push import check_shown_sides
from .records import list_records

_SCHEMA: dict[str, Any] = {
    "question": pl.String,
    "annotator": pl.String,
    "given": pl.String,
    "comment": pl.String,
    "at": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class PulledAnswers:
    """Answers and records of a dataset; `answers` is as `toolkit.campaign.answers.take_answers` takes it."""

    answers: pl.DataFrame
    drafts: int
    discarded: int
    records: list[str]
    """Keys of the questions in the dataset."""
    annotators: list[str]
    """User names of all who could have answered."""
    foreign: int
    """Records of other questions than the campaign's; their answers are ignored."""
    overlap: int
    """Answers that each question should get."""
    comments: tuple[tuple[int, str], ...] = ()
    """Position of the question, and comment, of drafts and discarded answers: they are not stored."""

    def count_questions(self) -> tuple[int, int]:
        """Count the questions with at least one answer, and those with as many as they should get."""
        each = self.answers.group_by("question").len()["len"]
        return len(each), int((each >= self.overlap).sum())


def pull_answers(server: ArgillaClient, dataset: Dataset, questions: pl.DataFrame) -> PulledAnswers:
    """Read every submitted answer; `questions` has key, position, completion_a, completion_b and shown_first.

    Raises AnnotationError if the dataset belongs to a campaign of another store.
    """
    records = list_records(server, dataset.id, "responses")
    check_shown_sides({record["external_id"]: record for record in records}, questions)
    first = dict(questions.select("key", "shown_first").rows())
    mine = [record for record in records if record["external_id"] in first]
    responses = [(record["external_id"], r) for record in mine for r in record.get("responses") or []]
    names = _names(server, dataset, {response["user_id"] for _, response in responses})
    rows = [
        (key, names[r["user_id"]], *_given(r["values"] or {}, first[key]), _time(r["updated_at"]))
        for key, r in responses
        if r["status"] == "submitted"
    ]
    count = [response["status"] for _, response in responses].count
    return PulledAnswers(
        pl.DataFrame(rows, schema=_SCHEMA, orient="row"),
        count("draft"),
        count("discarded"),
        [record["external_id"] for record in mine],
        sorted(names.values()),
        len(records) - len(mine),
        dataset.overlap,
        tuple(_list_comments(responses, dict(questions.select("key", "position").rows()))),
    )


def _list_comments(responses: Sequence[tuple[str, Json]], positions: Json) -> Iterator[tuple[int, str]]:
    """List the comments of answers that are not taken."""
    for key, response in responses:
        said = ((response["values"] or {}).get(COMMENT) or {}).get("value")
        if response["status"] != "submitted" and said:
            yield positions[key], " ".join(str(said).split())


def _names(server: ArgillaClient, dataset: Dataset, answered: set[str]) -> dict[str, str]:
    """User names by id: members of the workspace, and whoever answered."""
    members = server.get(f"workspaces/{dataset.workspace_id}/users")["items"]
    names = {user["id"]: user["username"] for user in members}
    for id in answered - names.keys():
        try:
            names[id] = server.get(f"users/{id}")["username"]
        except RefusedError as error:
            if error.status not in (403, 404):
                raise
            names[id] = id  # only owners may look up users who are no members
    return names


def _given(values: Json, shown_first: str | None) -> tuple[str, str | None]:
    """An answer by criterion as JSON, and its comment."""
    said = {name: value["value"] for name, value in values.items()}
    comment = said.pop(COMMENT, None)
    given = {name: _value(name, value, shown_first) for name, value in said.items()}
    return json.dumps(given, ensure_ascii=False), comment


def _value(name: str, value: Any, shown_first: str | None) -> Any:
    """Turn a side back, make a level a number; leave anything else, to be rejected with a reason."""
    if name == PREFERENCE:
        other = "b" if shown_first == "a" else "a"
        return dict(zip(SIDES, (shown_first, other), strict=True)).get(value, value)
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _time(text: str) -> datetime:
    """The server's times have no zone and are UTC."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
