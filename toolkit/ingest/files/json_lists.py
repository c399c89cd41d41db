"""Files that are one JSON list: its elements as rows, numbered from 1.

[{"conversation_id": "930", …}, {"conversation_id": "931", …}]
"""

import json
from typing import Literal

import polars as pl

from ....schemas.errors import SourceError
from ...store.connection import open_scratch, query
from .numbered_lines import Input, OnBytes, read_start, read_whole


def read_elements(file: Input, what: str, on_bytes: OnBytes = lambda _: None) -> pl.DataFrame:
    """Read the elements of a JSON list: line (the element's number), raw (its JSON) and damaged.

    These are the columns that `parse_json_rows` takes. `what` names the elements in the message. Raises
    SourceError if the file is not a JSON list.
    """
    return split_list(read_json(file, "ARRAY", f"one JSON list of {what}", on_bytes))


def split_list(text: str, path: str = "$[*]") -> pl.DataFrame:
    """Split the JSON list at a path of a text into elements, as `read_elements` returns them."""
    with open_scratch() as con:
        con.register("whole", pl.DataFrame({"text": [text]}).to_arrow())
        return query(
            con,
            f"""SELECT row_number() OVER () AS line, e::VARCHAR AS raw, false AS damaged
            FROM (SELECT unnest(json_extract(text, '{path}')::JSON[]) AS e FROM whole)""",
        )


def read_json(
    file: Input, kind: Literal["ARRAY", "OBJECT"], expected: str, on_bytes: OnBytes = lambda _: None
) -> str:
    """Read the text of a file that is one JSON value of a kind; `expected` describes it in the message.

    Raises SourceError that says what the file is instead: empty, no text, in another encoding, cut off, JSON
    Lines, or other JSON.
    """
    text = read_whole(file, on_bytes)
    with open_scratch() as con:
        con.register("whole", pl.DataFrame({"text": [text]}).to_arrow())
        found = query(
            con, "SELECT CASE WHEN json_valid(text) THEN json_type(text) END AS k FROM whole"
        ).item()
    if found == kind:
        return text
    raise SourceError(f"{file.path}: {_describe(text, found)}; expected {expected}")


def _describe(text: str, kind: str | None) -> str:
    """Describe a text that is other JSON (of a kind), or none."""
    if kind is not None:
        return f"is a JSON {_KINDS.get(kind, 'value')}"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text[: error.pos].endswith("\n"):
            return "is JSON Lines (jq -s . OLD.jsonl > NEW.json makes one list of it)"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            return f"ends in the middle of line {error.lineno}, so it was cut off; fetch it again"
        return f"is no JSON from line {error.lineno} on ({error.msg})"
    return "is no JSON by its standard (NaN, or a number without end)"


_KINDS = {"ARRAY": "list", "OBJECT": "object", "VARCHAR": "text"}


def describe_not_json_lines(file: Input) -> str | None:
    """Describe a file that is other JSON than JSON Lines, and how to convert it; None for JSON Lines.

    An empty file is described too. Raises SourceError if the file cannot be read as text.
    """
    lines = [line.strip() for line in read_start(file).split("\n") if line.strip()]
    if not lines:
        return f"{file.path}: is empty; expected JSON Lines, one object a line"
    if lines[0].startswith("["):
        return (
            f"{file.path}: is one JSON list, not JSON Lines; write one object a line "
            "(jq -c '.[]' OLD.json > NEW.jsonl)"
        )
    if lines[0].startswith("{") and len(lines) > 1 and not _is_json(lines[0]) and _goes_on(lines):
        return (
            f"{file.path}: is JSON over several lines, not JSON Lines; write one object a line "
            "(jq -c . OLD.json > NEW.jsonl)"
        )
    return None


def _goes_on(lines: list[str]) -> bool:
    """True if the first object ends on a later line, as far as the start of the file shows."""
    try:
        json.JSONDecoder().raw_decode("\n".join(lines))
    except json.JSONDecodeError:
        return lines[0] == "{"
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
