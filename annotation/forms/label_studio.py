"""Forms for Label Studio: its list to import, its labelling configuration, its JSON export read back.

[{"id": 7, "data": {"question": "q4c06…", …}, "drafts": [], "annotations": [{"completed_by": 3,
  "was_cancelled": false, "updated_at": "2026-03-01T10:00:00.5Z",
  "result": [{"from_name": "preference", "type": "choices", "value": {"choices": ["A"]}}]}]}]
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ...schemas.errors import AnnotationError
from ...schemas.rubric import PREFERENCE, Rubric
from ...schemas.support.json_text.values import parse_json
from .forms import FormRow

_SHOWN = ("n", "A", "B", "completion", "question")
_KINDS = {"choices", "rating", "textarea", "number"}


def make_label_studio(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the entries that Label Studio imports from the rows of a form."""
    return [
        {
            "data": {
                "prompt": [dict(turn) for turn in row["prompt"]],
                **{name: row[name] for name in _SHOWN if name in row},
            }
        }
        for row in rows
    ]


def write_labelling_config(rubric: Rubric) -> str:
    """Write the project's labelling configuration (XML): the prompt, what is judged, choices, a comment."""
    view = Element("View")
    SubElement(view, "Style").text = ".htx-text{white-space:pre-wrap}"
    SubElement(view, "Header", value=_fixed(rubric.title))
    SubElement(
        view,
        "Paragraphs",
        name="prompt",
        value="$prompt",
        layout="dialogue",
        nameKey="role",
        textKey="content",
    )
    if rubric.kind == "pairwise":
        sides = SubElement(view, "View", style="display:flex;gap:1em")
        for side in "AB":
            one = SubElement(sides, "View", style="flex:50%")
            SubElement(one, "Header", value=side)
            SubElement(one, "Text", name=f"text_{side}", value=f"${side}")
        answers = ["A", "B", "tie"] if rubric.tie else ["A", "B"]
        _choices(view, PREFERENCE, "text_A", [(answer, answer) for answer in answers])
    else:
        SubElement(view, "Text", name="text", value="$completion")
        for c in rubric.criteria:
            SubElement(view, "Header", value=_fixed(c.wording), size="5")
            _choices(view, c.name, "text", [(f"{n}: {w}", str(n)) for n, w in enumerate(c.levels, 1)])
    of = "text_A" if rubric.kind == "pairwise" else "text"
    SubElement(
        view,
        "TextArea",
        name="comment",
        toName=of,
        placeholder="Comment (may be left empty)",
        maxSubmissions="1",
        editable="true",
    )
    indent(view)
    return tostring(view, encoding="unicode") + "\n"


def _choices(view: Element, name: str, of: str, answers: list[tuple[str, str]]) -> None:
    """Radio buttons; exported is the alias, the level's number."""
    made = SubElement(
        view, "Choices", name=name, toName=of, choice="single-radio", required="true", showInline="false"
    )
    for n, (wording, alias) in enumerate(answers, 1):
        choice = SubElement(made, "Choice", value=_fixed(wording), alias=alias)
        if name == PREFERENCE:
            choice.set("hotkey", str(n))


def _fixed(text: str) -> str:
    """Escape a text: after a dollar sign Label Studio would look for a field."""
    return text.replace("$", "＄")


def read_label_studio(text: str, path: Path, answers: Sequence[str]) -> tuple[list[FormRow], list[str]]:
    """Read the rows of an export (JSON, not JSON-MIN), and notes that count what was not read.

    `answers` names the controls that hold answers. Each annotator's newest annotation counts; cancelled
    ones and drafts do not. A row's line is the number of the entry in the list, from 1.

    Raises AnnotationError if the text is no such export.
    """
    try:
        entries = parse_json(text)
    except ValueError as error:
        raise AnnotationError(f"{path}: not JSON: {error}; export it from Label Studio as JSON") from error
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise AnnotationError(f"{path}: expected a list of objects; export it from Label Studio as JSON")
    if entries and not any("annotations" in e for e in entries):
        raise AnnotationError(f"{path}: no 'annotations'; export it as JSON, not as JSON-MIN or CSV")
    left: Counter[str] = Counter()
    rows: list[FormRow] = []
    for n, entry in enumerate(entries, 1):
        rows += _entry_rows(n, entry, answers, left)
    return rows, [f"{what}: {count}" for what, count in left.items() if count]


def _entry_rows(n: int, entry: dict[str, Any], answers: Sequence[str], left: Counter[str]) -> list[FormRow]:
    """Make one row for each annotator of an entry; without annotators, one row without answers."""
    data = entry.get("data")
    question = data.get("question") if isinstance(data, dict) else None
    drafts = entry.get("drafts") or []
    left["drafts, not read"] += len(drafts) if isinstance(drafts, list) else 0
    newest: dict[str, FormRow] = {}
    for annotation in _list(entry.get("annotations")):
        if not isinstance(annotation, dict):
            newest[f"#{len(newest)}"] = FormRow(
                n, {"annotation": str(annotation)}, fault="an annotation is no object"
            )
            continue
        if annotation.get("was_cancelled"):
            left["cancelled annotations, not read"] += 1
            left["comments of cancelled annotations, not read"] += _has_comment(annotation)
            continue
        row = _row(n, question, annotation, answers)
        who = row.cells["annotator"]
        if who in newest:
            left["annotations that their annotator has replaced"] += 1
        earlier = newest.get(who)
        if earlier is None or (row.at or _LONG_AGO) >= (earlier.at or _LONG_AGO):
            newest[who] = row
    return list(newest.values()) or [FormRow(n, {"question": str(question or "")})]


def _has_comment(annotation: dict[str, Any]) -> bool:
    return any(
        isinstance(region, dict) and region.get("from_name") == "comment" and bool(_value(region))
        for region in _list(annotation.get("result"))
    )


def _list(given: object) -> list[Any]:
    """The list; what is none is one item, which is no object, so that it is named as a fault."""
    return given if isinstance(given, list) else [given] if given else []


_LONG_AGO = datetime.fromtimestamp(0, UTC)


def _row(n: int, question: object, annotation: dict[str, Any], answers: Sequence[str]) -> FormRow:
    cells = {"question": str(question or ""), "annotator": _who(annotation.get("completed_by"))}
    fault = None
    for region in _list(annotation.get("result")):
        name = region.get("from_name") if isinstance(region, dict) else None
        if not isinstance(name, str) or name not in {*answers, "comment"}:
            continue
        value = _value(region)
        if value is None or name in cells:
            fault = f"'{name}' {'is answered twice' if name in cells else 'cannot be read'}"
        else:
            cells[name] = value
    at = annotation.get("updated_at") or annotation.get("created_at")
    return FormRow(n, cells, _time(at), fault)


def _who(completed_by: object) -> str:
    """The annotator: the e-mail address if the export has it, else the number."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("username") or completed_by.get("id")
    return "" if completed_by is None else str(completed_by)


def _value(region: dict[str, Any]) -> str | None:
    """The answer of one control; a choice by its alias or as it was shown ("2: partly")."""
    kind, value = region.get("type"), region.get("value")
    if not isinstance(kind, str) or kind not in _KINDS or not isinstance(value, dict):
        return None
    found = value.get("text" if kind == "textarea" else kind)
    if kind == "textarea":
        return "\n".join(map(str, found)) if isinstance(found, list) else str(found or "")
    if isinstance(found, list):
        if len(found) != 1:
            return None
        found = found[0]
    if found is None or isinstance(found, dict | list):
        return None
    number, colon, _ = str(found).partition(": ")
    return number if colon and number.isdigit() else str(found)


def _time(at: object) -> datetime | None:
    """A time as the export has it; without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(str(at))
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
