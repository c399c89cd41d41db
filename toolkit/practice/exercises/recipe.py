"""The recipe of exercises: which sources, which kinds, and how many.

name: grammar
sources: [cweb, ua-gec]
exercises: [cloze, choice, spot, rewrite, order]
"""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationError

from ....schemas.errors import RecipeError
from ....schemas.recipe import Section
from ....schemas.support.settings_files.faults import explain_by_line
from ....schemas.support.settings_files.kinds import expect_kind
from ....schemas.support.settings_files.yaml_text import SettingsFile, read_settings

KindOfEdits = Literal["cloze", "choice", "spot", "rewrite", "order"]
KindOfCompletions = Literal["flashcard", "problem", "move"]
Kind = Literal[KindOfEdits, KindOfCompletions]
OF_EDITS: tuple[Kind, ...] = get_args(KindOfEdits)
OF_COMPLETIONS: tuple[Kind, ...] = get_args(KindOfCompletions)
KINDS = OF_EDITS + OF_COMPLETIONS
_NAME = "a recipe of exercises, such as exercises.yaml"


class Exercises(Section):
    """A recipe of exercises; see the module."""

    name: str
    """Name of the exercises; a later build of this name replaces them."""
    sources: Annotated[list[str], Field(min_length=1)]
    """Sources with learners' sentences and annotators' edits, or with prompts and completions."""
    exercises: Annotated[list[Kind], Field(min_length=1)] = Field(default_factory=lambda: list(KINDS))
    """Kinds of exercises to make; all of them if left out. Of edits: cloze, choice, spot, rewrite, order. Of
    completions: flashcard, problem, move."""
    distractors: Annotated[int, Field(ge=1, le=5)] = 3
    """Most wrong options of a choice or move."""
    longest: Annotated[int, Field(ge=3, le=200)] = 40
    """Most words of a learner's sentence."""
    seed: int = 0
    """Of the order in which words are shown."""


def read_exercises(path: Path) -> Exercises:
    """Read and check a recipe.

    Raises RecipeError with all faults: file, line, key and the nearest known one.
    """
    return parse_exercises(read_settings(path, _NAME, "name: grammar"))


def parse_exercises(file: SettingsFile) -> Exercises:
    """Check the content of a recipe's file. Raises RecipeError as `read_exercises` does."""
    expect_kind(file, "exercises", _NAME)
    try:
        return Exercises.model_validate(file.content)
    except ValidationError as error:
        raise RecipeError(explain_by_line(file.path, error, Exercises, file.lines)) from error
