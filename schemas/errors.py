"""Errors that a user can mend: they say what went wrong, where, and what to do.

One base, so that the command line turns any of them into one line and an exit code, in one place.
Each child is also the standard error that a library user would catch.
"""

from collections.abc import Sequence
from typing import Any

CHECK_FAILED = 1
BAD_INPUT = 2


class PreceptorError(Exception):
    """Base of all errors that name their remedy; `exit_code` is the exit code of the command."""

    exit_code = BAD_INPUT


class SourceError(PreceptorError, ValueError):
    """Input that cannot be read: names the file, the line and the expected form."""


class StoreError(PreceptorError, OSError):
    """The store cannot be opened or lacks the requested data."""


class RecipeError(PreceptorError, ValueError):
    """A recipe with an unknown key or an impossible value."""


class FusionError(PreceptorError, RuntimeError):
    """A fit that cannot be made or that did not converge."""

    exit_code = CHECK_FAILED


class GateError(PreceptorError, RuntimeError):
    """A dataset that must not be built: a gate is red. `gates` are all gates that were checked."""

    exit_code = CHECK_FAILED

    def __init__(self, message: str, gates: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.gates = list(gates)


class EndlessTemplateError(PreceptorError, RuntimeError):
    """A template that does not come to an end: no row of it can be written, so nothing more is tried."""


class HubError(PreceptorError, RuntimeError):
    """A dataset or model that cannot go to the Hub or come from it."""

    exit_code = CHECK_FAILED


class HubNameError(HubError):
    """A wrong name that the user gave: of a repository, revision, config, split, tag or folder."""

    exit_code = BAD_INPUT


class PrivacyError(PreceptorError, RuntimeError):
    """Texts that cannot be searched for personal data as asked."""


class AnnotationError(PreceptorError, ValueError):
    """A rubric, form or campaign that cannot be used."""


class TrainingError(PreceptorError, RuntimeError):
    """A model that cannot be trained, merged or written as asked."""


class EvaluationError(PreceptorError, RuntimeError):
    """An evaluation that cannot be made as asked."""


class StudyError(PreceptorError, ValueError):
    """A study that cannot be pushed, served, pulled or compared as asked."""
