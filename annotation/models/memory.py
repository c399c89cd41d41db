"""Keep replies, so that no request is sent twice: in a table of the store, or in a JSON Lines file.

{"model": "openai:m", "request": "1f…", "nth": 1, "raw": "Well … {…}", "answer": "{…}", "error": null, …}
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...schemas.support.json_text.lines import add_lines, read_json_lines
from .requests import UNFINISHED, Reply, make_row

Row = Mapping[str, Any]
"""A reply with the columns of table `replies` that `requests.make_row` fills."""


@dataclass(frozen=True)
class KnownReplies:
    """Kept replies by digest of their request: the last usable one, or else the last one."""

    answered: Mapping[str, Row]
    """Requests with a usable reply: `answer` is JSON."""
    failed: Mapping[str, Row]
    """Requests without one: `error` says why."""

    def read_answers(self) -> dict[str, dict[str, Any]]:
        """Read the answers of the usable replies, by digest."""
        return {name: json.loads(row["answer"]) for name, row in self.answered.items()}


class ReplyMemory(Protocol):
    """A memory of one model's replies."""

    def find(self, digests: Sequence[str]) -> KnownReplies:
        """Find the kept replies to these requests."""

    def keep(self, replies: Sequence[Reply]) -> None:
        """Keep replies; they are stored when this returns."""


def sort_replies(rows: Iterable[Row]) -> KnownReplies:
    """Sort rows of replies by request; those of one request by `nth`."""
    answered: dict[str, Row] = {}
    failed: dict[str, Row] = {}
    for row in rows:
        (failed if row["answer"] is None else answered)[row["request"]] = row
    return KnownReplies(answered, {name: row for name, row in failed.items() if name not in answered})


def was_message(row: Row) -> bool:
    """Tell whether a reply is a model's whole message (not a refusal, an empty body, or cut off)."""
    said = json.loads(row["sampling"]).get("said")
    return said is not None and UNFINISHED not in said


@dataclass(frozen=True)
class ReplyFile:
    """A memory of one model in a JSON Lines file, which may have replies of other models too."""

    path: Path
    model: str

    def find(self, digests: Sequence[str]) -> KnownReplies:
        """Find the kept replies to these requests; raises EvaluationError if the file has other content."""
        wanted = set(digests)
        rows = (row for row in read_json_lines(self.path) if row.get("model") == self.model)
        return sort_replies(row for row in rows if row["request"] in wanted)

    def keep(self, replies: Sequence[Reply]) -> None:
        """Append replies to the file, which is made if missing."""
        add_lines(self.path, ({"model": self.model} | make_row(reply) for reply in replies))
