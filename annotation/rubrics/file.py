"""Read rubric files: YAML with known keys; errors name the file, the line and the nearest key.

name: fluency
title: Fluency of a correction
kind: rating
criteria:
  - name: fluent
    wording: Does the sentence read as a native speaker would write it?
    levels: [hardly, partly, mostly, entirely]
    higher_is_better: true
    weight: 1
"""

import difflib
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ...schemas.errors import AnnotationError
from ...schemas.support.nearest import suggest
from ...schemas.support.settings_files.yaml_values import parse_yaml

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
# Columns of answer forms.
TAKEN = ("preference", "comment", "n", "prompt", "completion", "a", "b", "annotator", "question", "at")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class CriterionEntry(_Section):
    """One criterion of a rating rubric in the file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Lower case, digits, underscores."""
    wording: Text
    """The question that the annotator answers."""
    levels: Annotated[list[Text], Field(min_length=2, max_length=10)]
    """Wordings from level 1 upwards."""
    higher_is_better: bool = True
    """True if the highest level is the best one."""
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Weight in the summary score, relative to the other criteria's."""
    scores: list[Annotated[float, Field(ge=0, le=1)]] | None = None
    """Score of each level, 0 to 1; default: evenly spaced."""

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name in TAKEN:
            raise ValueError(f"'{name}' is a column of answer forms; give the criterion another name")
        return name

    @field_validator("levels")
    @classmethod
    def _levels_differ(cls, levels: list[str]) -> list[str]:
        if len({level.strip().lower() for level in levels}) < len(levels):
            raise ValueError("two levels have the same wording")
        return levels

    @model_validator(mode="after")
    def _scores_follow_levels(self) -> "CriterionEntry":
        if self.scores is None:
            return self
        if len(self.scores) != len(self.levels):
            raise ValueError(f"{len(self.scores)} scores for {len(self.levels)} levels; give one for each")
        best_last = self.scores if self.higher_is_better else self.scores[::-1]
        if any(low >= high for low, high in pairwise(best_last)):
            way = "rise" if self.higher_is_better else "fall"
            raise ValueError(f"scores must {way} from level to level, as higher_is_better says")
        return self


class RubricEntry(_Section):
    """A rubric in its file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=100)]
    """Lower case, digits, hyphens."""
    title: Text
    """The annotator's question, in one line."""
    kind: Literal["pairwise", "rating"]
    """pairwise: which of two completions is better. rating: criteria of one completion."""
    tie: bool | None = None
    """Of pairwise: true (default) if 'tie' is an answer."""
    guidelines: Text | None = None
    """Markdown file beside this one; default: NAME.md."""
    criteria: Annotated[list[CriterionEntry], Field(max_length=20)] = []
    """Of rating: the criteria in the order of asking."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "RubricEntry":
        if self.kind == "pairwise":
            if self.criteria:
                raise ValueError("a pairwise rubric asks one question and has no criteria; use kind: rating")
            return self
        if not self.criteria:
            raise ValueError("a rating rubric needs criteria; add one, or use kind: pairwise")
        if self.tie is not None:
            raise ValueError("'tie' belongs to pairwise rubrics; leave it out")
        names = [criterion.name for criterion in self.criteria]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two criteria are named '{twice}'")
        if not any(criterion.weight for criterion in self.criteria):
            raise ValueError("no criterion has a weight; the summary score needs one above 0")
        return self


def parse_entry(text: str, where: str) -> RubricEntry:
    """Read and check a rubric's YAML.

    Raises AnnotationError with all faults found, each with its line.
    """
    root, content = parse_yaml(text, where, AnnotationError)
    try:
        places = dict(_places(root)) if root else {}
    except _TwiceError as twice:
        raise AnnotationError(f"{where}:{twice}") from twice
    if not isinstance(content, dict):
        raise AnnotationError(f"{where}: expected keys and values, such as 'name: my-rubric'")
    try:
        return RubricEntry.model_validate(content)
    except ValidationError as error:
        faults = _worth_saying([dict(e) for e in error.errors()])
        raise AnnotationError("\n".join(_explain(where, fault, places) for fault in faults)) from error


class _TwiceError(Exception):
    """A key or an anchor that occurs twice."""


_Place = tuple[str | int, ...]


def _places(node: yaml.Node, at: _Place = ()) -> Iterable[tuple[_Place, int]]:
    """The line (from 1) of every key and list item; a key written twice is refused."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in seen:
                raise _TwiceError(f"{line}: '{name}' stands twice; leave one")
            seen.add(name)
            yield (*at, name), line
            yield from _places(_after(value, key), (*at, name))
    elif isinstance(node, yaml.SequenceNode):
        for n, item in enumerate(node.value):
            yield (*at, n), item.start_mark.line + 1
            yield from _places(_after(item, node), (*at, n))


def _after(node: yaml.Node, earlier: yaml.Node) -> yaml.Node:
    """The node, unless it is an alias of an ancestor: such a file would be infinite."""
    if node.start_mark.index <= earlier.start_mark.index:
        raise _TwiceError(f"{earlier.start_mark.line + 1}: write the value out instead of using an alias (*)")
    return node


def _worth_saying(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out faults that follow from a misspelt key, such as the right key missing."""
    unknown = [e["loc"] for e in errors if e["type"] == "extra_forbidden"]
    follow = {
        (*at[:-1], name) for at in unknown for name in difflib.get_close_matches(str(at[-1]), _known(at))
    }
    return [e for e in errors if e["type"] != "missing" or e["loc"] not in follow]


def _known(at: _Place) -> list[str]:
    return list((CriterionEntry if len(at) > 1 else RubricEntry).model_fields)


def _explain(where: str, error: dict[str, Any], places: dict[_Place, int]) -> str:
    """Word one fault in the terms of the file."""
    at: _Place = error["loc"]
    line = next((places[at[:n]] for n in range(len(at), 0, -1) if at[:n] in places), None)
    key = ".".join(str(part + 1 if isinstance(part, int) else part) for part in at)
    return f"{where}{f':{line}' if line else ''}: {_fault(error, key, at)}"


def _fault(error: dict[str, Any], key: str, at: _Place) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}': {suggest(str(at[-1]), _known(at), 'known keys')}"
    if error["type"] == "missing":
        return f"'{key}' is missing; add it"
    if error["type"] == "literal_error":
        kinds = get_args(RubricEntry.model_fields["kind"].annotation)
        return f"'{key}': no kind '{error['input']}': {suggest(str(error['input']), kinds, 'known kinds')}"
    if error["type"] == "string_type" and not isinstance(error["input"], dict | list | None):
        return f"'{key}': YAML reads this as {error['input']!r}; put it in quotes"
    if error["type"] == "string_pattern_mismatch":
        return f"'{key}': {_pattern(error)}"
    return f"'{key}': {_plain(error['msg'])}" if key else _plain(error["msg"])


def _pattern(error: dict[str, Any]) -> str:
    if error["ctx"]["pattern"] == r"\S":
        return "is empty; write it out"
    return f"'{error['input']}' is no name: use lower case letters and digits, joined by _ or -"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")
