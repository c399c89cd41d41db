"""Describe a metric: a function of the prompts and of what it needs, one line of the registry.

    Metric(measure_exact, ("answers",), "answers that are one of the references, spacing aside")
    Metric(measure_wins, ("answers", "first_answers", "pairs"), "wins less losses …")

`measure` is called with the items and then with each need, in that order: measure_exact(items, answers).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ....annotation.models.backends.text_scores import ScoreTexts
from .judged import JudgePairs, RateTexts
from .statistics import Figures, Item

Need = Literal["answers", "first_answers", "likelihoods", "pairs", "ratings"]
RubricKind = Literal["pairwise", "rating"]
RUBRIC_KINDS: dict[Need, RubricKind] = {"pairs": "pairwise", "ratings": "rating"}
"""The kind of rubric that a judge needs to compare pairs, and to rate."""


@dataclass(frozen=True)
class ModelOutputs:
    """Everything known of one model, a field for each need; None if it is not available."""

    answers: Sequence[str] | None = None
    """One answer for each item; "" if the model gave none."""
    first_answers: Sequence[str] | None = None
    """The answers of the first model, to compare with; one for each item."""
    likelihoods: ScoreTexts | None = None
    """A function that scores texts under the model."""
    pairs: JudgePairs | None = None
    """A function that has a judge compare pairs."""
    ratings: RateTexts | None = None
    """A function that has a judge rate texts."""


@dataclass(frozen=True)
class Metric:
    """A metric, what it needs and how it is described."""

    measure: Callable[..., Figures]
    """Compute figures by name from the items and each of `needs`, in that order.

    It never raises because of a model's text: unreadable answers count as wrong.
    """
    needs: tuple[Need, ...]
    about: str
    """One plain line, for the README of an evaluation."""
    better: Literal["higher", "lower", "neither"] = "higher"
    """Which direction of its first figure is better. A metric with neither cannot decide."""
    check: Callable[[Sequence[Item]], None] | None = None
    """Called before any model is asked. Raises EvaluationError if these items cannot be measured."""
    packages: tuple[str, ...] = ()
    """Optional packages that it uses; metrics.json records their versions."""
    fits: Callable[[Item], bool] | None = None
    """True for an item that it can measure; the others are left out and counted. None: it measures all."""
    knows: str = ""
    """What it can measure, for messages: "ERRANT knows English"; where `fits` is given."""

    @property
    def rubric_kind(self) -> RubricKind | None:
        """The kind of rubric that its judge needs; None if it needs no judge."""
        return next((RUBRIC_KINDS[need] for need in self.needs if need in RUBRIC_KINDS), None)
