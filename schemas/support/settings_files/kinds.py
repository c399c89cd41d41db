"""Tell the kinds of files that users write apart: dataset, training, evaluation, exercises, rubric."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...errors import RecipeError
from .yaml_text import SettingsFile


class FileKind(NamedTuple):
    """A kind of file: what it is called, the command that reads it, and keys that only it has."""

    title: str
    command: str
    keys: frozenset[str]


FILE_KINDS = {
    "dataset": FileKind(
        "a dataset's recipe",
        "preceptor build",
        frozenset(
            ("pairs", "corrections", "splits", "configs", "outcomes", "publish_under", "leaks", "instruction")
        ),
    ),
    "training": FileKind(
        "a training recipe",
        "preceptor train",
        frozenset(("model_name_or_path", "stage", "learning_rate", "env", "use_peft")),
    ),
    "evaluation": FileKind(
        "an evaluation's file", "preceptor evaluate", frozenset(("metrics", "baseline", "judge", "prompts"))
    ),
    "exercises": FileKind(
        "a recipe of exercises",
        "preceptor exercises build",
        frozenset(("exercises", "distractors", "longest")),
    ),
    "rubric": FileKind("a rubric", "preceptor rubric check", frozenset(("criteria", "kind", "guidelines"))),
}


def find_kind(content: Mapping[str, Any]) -> str | None:
    """Find the kind of a file by its keys; None if it has no key of one kind alone."""
    counts = {name: len(kind.keys & content.keys()) for name, kind in FILE_KINDS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def expect_kind(file: SettingsFile, kind: str, name: str) -> None:
    """Raise RecipeError if the file is of another kind; `name` says which file to name instead."""
    found = find_kind(file.content)
    if found not in {kind, None}:
        other = FILE_KINDS[found or kind]
        raise RecipeError(f"{file.path}: is {other.title}, which {other.command} reads; name {name}")
