"""Make a campaign's Argilla dataset: the fields that annotators see and the questions they answer.

    prompt             chat            the dialogue so far
    first, second      text            the two completions, the one shown first on the left ("A")
    preference         label           first: A is better, second: B is better, tie
    comment            text, optional

A rating rubric shows one `completion` and asks a rating (a label, where levels are worded) per
criterion. No text is rendered as Markdown, nor, since `push` escapes it, as HTML: learners' texts are shown
as they wrote them.
"""

from dataclasses import dataclass
from typing import Any

from ...schemas.errors import AnnotationError
from ...schemas.rubric import PREFERENCE, Criterion, Rubric
from ...schemas.support.nearest import suggest
from .client import ArgillaClient, Json, RefusedError

COMMENT = "comment"
SIDES = ("first", "second")
TIE = "tie"
_TITLE = 500  # characters the server takes
_GUIDELINES = 10_000
OVERLAP = 3  # default number of annotators who answer each record of a new dataset
_OURS = "preceptor"  # key of the dataset's own metadata


@dataclass(frozen=True)
class Dataset:
    """An existing dataset: its id, its questions' ids by name."""

    id: str
    name: str
    workspace: str
    workspace_id: str
    questions: dict[str, str]
    created: bool
    overlap: int
    before: int | None = None  # the new overlap, if it was changed


def make_fields(rubric: Rubric) -> list[Json]:
    """Make the fields of a dataset, as the server takes them: what annotators see."""
    chat = {
        "name": "prompt",
        "title": "Prompt",
        "required": True,
        "settings": {"type": "chat", "use_markdown": False},
    }
    shown = [("first", "A"), ("second", "B")] if rubric.kind == "pairwise" else [("completion", "Answer")]
    plain = {"type": "text", "use_markdown": False}
    return [chat, *({"name": n, "title": t, "required": True, "settings": plain} for n, t in shown)]


def make_questions(rubric: Rubric) -> list[Json]:
    """Make the questions of a dataset, as the server takes them: what annotators answer."""
    if rubric.kind == "pairwise":
        options = [
            ("first", "A is better"),
            ("second", "B is better"),
            *([(TIE, "Tie")] if rubric.tie else []),
        ]
        asked = [_label(PREFERENCE, rubric.title, "", options)]
    else:
        asked = [_criterion(criterion) for criterion in rubric.criteria]
    comment = {
        "name": COMMENT,
        "title": "Comment (optional)",
        "required": False,
        "settings": {"type": "text", "use_markdown": False},
    }
    return [*asked, comment]


def _criterion(criterion: Criterion) -> Json:
    options = [(str(value), f"{value}: {level}"[:_TITLE]) for value, level in enumerate(criterion.levels, 1)]
    return _label(criterion.name, criterion.name.replace("_", " "), criterion.wording, options)


def _label(name: str, title: str, description: str, options: list[tuple[str, str]]) -> Json:
    settings: Json = {"type": "label_selection", "options": [{"value": v, "text": t} for v, t in options]}
    made: Json = {"name": name, "title": title[:_TITLE], "required": True, "settings": settings}
    return made | ({"description": description[:1000]} if description else {})


def make_metadata_properties() -> list[Json]:
    """Make the metadata properties that owners can filter by; hidden from annotators."""
    return [
        {"name": name, "title": title, "settings": {"type": "terms"}, "visible_for_annotators": False}
        for name, title in (
            ("task", "Task"),
            ("source", "Source"),
            ("language", "Language"),
            ("first_shown", "Completion shown first"),
        )
    ]


def settle_dataset(
    server: ArgillaClient, workspace: str, name: str, rubric: Rubric, overlap: int | None
) -> Dataset:
    """Make the campaign's dataset if it is not there, or finish it if it was half made.

    Each record asks for `overlap` answers (default: OVERLAP for a new dataset, else unchanged). Older servers
    do not change the overlap once there are answers.

    Raises AnnotationError if a dataset of that name has other questions.
    """
    workspace_id = _settle_workspace(server, workspace)
    found = [d for d in server.get("me/datasets", workspace_id=workspace_id)["items"] if d["name"] == name]
    if found:
        dataset = found[0]
        _check_origin(dataset, name, rubric)
    else:
        dataset = server.post(
            "datasets", _settings(name, rubric, overlap or OVERLAP) | {"workspace_id": workspace_id}
        )
    names = _settle_parts(server, dataset, rubric)
    if dataset["status"] == "draft":
        dataset = server.put(f"datasets/{dataset['id']}/publish", {})
    before = dataset["distribution"]["min_submitted"]
    if overlap and dataset["distribution"]["min_submitted"] != overlap:
        dataset = _with_overlap(server, dataset, overlap)
    shared = dataset["distribution"]["min_submitted"]
    return Dataset(
        dataset["id"],
        name,
        workspace,
        workspace_id,
        names,
        not found,
        shared,
        None if before == shared else before,
    )


def find_dataset(server: ArgillaClient, name: str, workspace: str | None) -> Dataset:
    """Find the dataset of that name, in any workspace by default; AnnotationError if there is none."""
    places = {w["id"]: w["name"] for w in server.get("me/workspaces")["items"]}
    if workspace is not None and workspace not in places.values():
        raise AnnotationError(
            f"--workspace {workspace}: {server.url} has none of that name, or {server.user} is no member of "
            f"it: {suggest(workspace, sorted(places.values()), 'workspaces')}"
        )
    every = [
        d
        for d in server.get("me/datasets")["items"]
        if workspace is None or places.get(d["workspace_id"]) == workspace
    ]
    found = [d for d in every if d["name"] == name]
    if not found:
        have = sorted({d["name"] for d in every})
        raise AnnotationError(
            f"{server.url}: no dataset '{name}'{f' in workspace {workspace}' if workspace else ''}; "
            f"{suggest(name, have, 'datasets there')}; "
            f"'preceptor annotate push --campaign {name} --rubric NAME' makes it"
        )
    if len(found) > 1:
        where = ", ".join(sorted(places.get(d["workspace_id"], "?") for d in found))
        raise AnnotationError(f"{server.url}: '{name}' is in several workspaces ({where}); say --workspace")
    (one,) = found
    names = {q["name"]: q["id"] for q in server.get(f"datasets/{one['id']}/questions")["items"]}
    place = places.get(one["workspace_id"], "")
    shared = one["distribution"]["min_submitted"]
    return Dataset(one["id"], name, place, one["workspace_id"], names, False, shared)


def _settings(name: str, rubric: Rubric, overlap: int) -> Json:
    return {
        "name": name,
        "guidelines": rubric.guidelines[:_GUIDELINES],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": overlap},
        "metadata": {_OURS: {"rubric": rubric.name, "digest": rubric.digest}},
    }


def _settle_workspace(server: ArgillaClient, name: str) -> str:
    """Id of the workspace, made if it is missing and the user may."""
    have = {w["name"]: w["id"] for w in server.get("me/workspaces")["items"]}
    if name in have:
        return str(have[name])
    if server.role != "owner":
        raise AnnotationError(
            f"--workspace {name}: {server.user} is no member of one of that name, and only an owner can make "
            f"it; {suggest(name, sorted(have), 'workspaces')}"
        )
    return str(server.post("workspaces", {"name": name})["id"])


def _check_origin(dataset: Json, name: str, rubric: Rubric) -> None:
    ours = (dataset.get("metadata") or {}).get(_OURS)
    if ours and ours.get("digest") != rubric.digest:
        raise AnnotationError(
            f"dataset '{name}' was made for rubric '{ours.get('rubric')}' ({str(ours.get('digest'))[:8]}), "
            f"this one is '{rubric.name}' ({rubric.digest[:8]}): give that rubric, unchanged, or begin "
            "another --campaign"
        )


def _settle_parts(server: ArgillaClient, dataset: Json, rubric: Rubric) -> dict[str, str]:
    """Make missing fields, questions and metadata; return ids of the questions by name."""
    place, draft = f"datasets/{dataset['id']}", dataset["status"] == "draft"
    parts = {
        "fields": (f"{place}/fields", make_fields(rubric)),
        "questions": (f"{place}/questions", make_questions(rubric)),
        "metadata-properties": (f"me/{place}/metadata-properties", make_metadata_properties()),
    }
    ids: dict[str, str] = {}
    for what, (listing, wanted) in parts.items():
        have = {part["name"]: part for part in server.get(listing)["items"]}
        for part in wanted:
            if part["name"] not in have and (draft or what == "metadata-properties"):
                have[part["name"]] = server.post(f"{place}/{what}", part)
        _check_parts(dataset["name"], what, have, wanted)
        ids |= {name: part["id"] for name, part in have.items()} if what == "questions" else {}
    return ids


def _check_parts(name: str, what: str, have: dict[str, Json], wanted: list[Json]) -> None:
    """Raise AnnotationError if the dataset's parts differ from the rubric's."""
    theirs = {n: _essence(part) for n, part in have.items()}
    ours = {part["name"]: _essence(part) for part in wanted}
    if what == "metadata-properties":
        theirs = {n: part for n, part in theirs.items() if n in ours}
    if theirs != ours:
        differ = sorted(n for n in {*theirs, *ours} if theirs.get(n) != ours.get(n))
        raise AnnotationError(
            f"dataset '{name}' is there already with other {what} ({', '.join(differ)}): it was not made "
            "for this rubric; begin another --campaign, or name another --workspace"
        )


def _essence(part: Json) -> Any:
    """The parts that must be equal: the type and the possible answers."""
    settings = part["settings"]
    return settings["type"], [str(option["value"]) for option in settings.get("options") or []]


def _with_overlap(server: ArgillaClient, dataset: Json, overlap: int) -> Json:
    """The dataset with another overlap, if the server still lets it be changed."""
    body = {"distribution": {"strategy": "overlap", "min_submitted": overlap}}
    try:
        return server.patch(f"datasets/{dataset['id']}", body)
    except RefusedError as error:
        if error.status != 422:
            raise
        return dataset
