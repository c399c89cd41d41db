"""Push a campaign's questions to an Argilla dataset: one record each, identified by the question's key.

Existing records and their answers are not changed and only missing ones are added, so that the next push
completes an interrupted one.
"""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.rubric import PREFERENCE
from ...schemas.support.nearest import suggest
from .client import ArgillaClient, Json
from .dataset import SIDES, Dataset
from .records import list_records

BATCH = 100  # records a request: some seconds of the server's time
_MESSAGE = 20_000  # characters of a turn that the server takes
_MESSAGES = 500


@dataclass(frozen=True)
class PushedRecords:
    """Number of records added, and of records that existed already."""

    added: int
    there: int


def push_records(
    server: ArgillaClient,
    dataset: Dataset,
    questions: pl.DataFrame,
    suggest: bool = False,
    on_done: Callable[[int, int], object] = lambda *_: None,
) -> PushedRecords:
    """Add missing questions as records; columns as of `toolkit.campaign.questions.read_questions`.

    With `suggest` records carry the fit's prediction (column p). `on_done` gets (records added, records to
    add).

    Raises AnnotationError if a record of the same question shows the sides in the other order.
    """
    there = {record["external_id"]: record for record in list_records(server, dataset.id)}
    check_shown_sides(there, questions)
    missing = questions.filter(~pl.col("key").is_in(pl.Series(list(there), dtype=pl.String).implode()))
    if missing.height:
        on_done(0, missing.height)
    for start in range(0, missing.height, BATCH):
        part = missing[start : start + BATCH]
        server.put(f"datasets/{dataset.id}/records/bulk", {"items": list(_bodies(part, dataset, suggest))})
        on_done(start + part.height, missing.height)
    return PushedRecords(missing.height, questions.height - missing.height)


def check_shown_sides(there: dict[str, Json], questions: pl.DataFrame) -> None:
    """Raise AnnotationError if a record shows another completion first than its question."""
    for row in questions.select("key", "position", select_first_shown()).iter_rows(named=True):
        shown = ((there.get(row["key"]) or {}).get("metadata") or {}).get("first_shown")
        if shown is not None and shown != row["first_shown"]:
            raise AnnotationError(
                f"question {row['position']}: the dataset there shows its sides the other way round than "
                "this store has it: they belong to different stores: push under another --campaign, or "
                "use the store that it was pushed from"
            )


def select_first_shown() -> pl.Expr:
    """Select the key of the completion that is shown first, as column first_shown."""
    return pl.when(shown_first="b").then("completion_b").otherwise("completion_a").alias("first_shown")


def add_annotators(server: ArgillaClient, workspace_id: str, names: Sequence[str]) -> list[str]:
    """Make users members of the workspace, and return all its annotators by name.

    Raises AnnotationError if the server has no user of a name.
    """
    members = {user["username"]: user for user in server.get(f"workspaces/{workspace_id}/users")["items"]}
    wanted = [name for name in names if name not in members]
    if wanted:
        users = {user["username"]: user for user in server.get("users")["items"]}
        for name in wanted:
            if name not in users:
                raise AnnotationError(
                    f"--annotator {name}: {server.url} has no such user; "
                    f"{suggest(name, sorted(users), 'users')} "
                    "(--new-annotator makes one)"
                )
        for name in wanted:
            server.post(f"workspaces/{workspace_id}/users", {"user_id": users[name]["id"]})
            members[name] = users[name]
    return sorted(name for name, user in members.items() if user["role"] == "annotator")


def make_annotator(server: ArgillaClient, name: str, password: str) -> bool:
    """Make a user who can log in with the password; return False if the name is taken."""
    if name in {user["username"] for user in server.get("users")["items"]}:
        return False
    body = {"username": name, "first_name": name, "role": "annotator", "password": password}
    server.post("users", body)
    return True


def _bodies(questions: pl.DataFrame, dataset: Dataset, suggest: bool) -> Iterator[Json]:
    rows = questions.with_columns(select_first_shown())
    for row in rows.iter_rows(named=True):
        metadata = {
            "task": row["task"],
            "source": row["source_of"],
            "language": row["language"],
            "first_shown": row["first_shown"],
        }
        body: Json = {
            "external_id": row["key"],
            "metadata": metadata,
            "fields": {"prompt": _turns(row["messages"])} | _texts(row),
        }
        if suggest and row["p"] is not None:
            body["suggestions"] = [_suggestion(row, dataset)]
        yield body


def _texts(row: dict[str, Any]) -> dict[str, str]:
    """The completions, in the order they are shown."""
    if row["completion_b"] is None:
        return {"completion": _literal(row["content_a"])}
    texts = [_literal(row["content_a"]), _literal(row["content_b"])]
    return dict(zip(SIDES, texts if row["shown_first"] == "a" else texts[::-1], strict=True))


def _suggestion(row: dict[str, Any], dataset: Dataset) -> Json:
    """The fit's prediction: the better side as it is shown, and its probability."""
    better = "a" if row["p"] >= 0.5 else "b"
    side = SIDES[0] if better == row["shown_first"] else SIDES[1]
    return {
        "question_id": dataset.questions[PREFERENCE],
        "value": side,
        "score": round(max(row["p"], 1 - row["p"]), 4),
        "agent": f"preceptor fit {row['fit'][:8]}",
        "type": "model",
    }


def _turns(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The dialogue as the server takes it: long texts are cut and marked."""
    kept = list(messages[-_MESSAGES + 1 :]) if len(messages) > _MESSAGES else list(messages)
    turns = [{"role": turn["role"][:20] or "user", "content": _short(turn["content"])} for turn in kept]
    if left := len(messages) - len(kept):
        turns.insert(0, {"role": "system", "content": f"[{left:,} earlier turns are not shown]"})
    return turns


def _short(content: str) -> str:
    """A turn as it is shown; if it is too long for the server, its end."""
    shown = _literal(content)
    if len(shown) <= _MESSAGE:
        return shown or "[nothing]"
    note = f"[{len(content):,} characters, shown from its end] … "
    cut = len(shown) - _MESSAGE + len(note)
    sign = shown.rfind("&", cut - 4, cut)  # of "&amp;", the longest there is
    if sign >= 0 and ";" not in shown[sign:cut]:
        cut = shown.index(";", cut) + 1
    return note + shown[cut:]


def _literal(text: str) -> str:
    """Escape a text, so that any database takes it and the page shows it unchanged.

    Argilla's page reads every text field as HTML, also without Markdown, and runs scripts in it (2.8):
    without escaping, a learner could act as the annotator who reads the text.
    """
    return html.escape(text.replace("\0", "\ufffd"), quote=False)
