"""The metrics that an evaluation may name.

METRICS["exact"] -> Kind(exact, "answers", "answers that are one of the references, spacing aside")
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .gec import changed, check_edits, check_gleu, edits, exact, gleu
from .likelihood import needs_pairs, needs_turns
from .numbers import check_numbers, right
from .statistics import Item, Metric
from .tutor_states import states

Needs = Literal["answers", "likelihood", "judge"]


@dataclass(frozen=True)
class Kind:
    """A metric, and what it is made of."""

    metric: Metric | None
    """Of answers; None where it needs something else."""
    needs: Needs
    about: str
    """One plain line."""
    better: Literal["higher", "lower", "neither"] = "higher"
    """Which way its first figure is better; neither: it tells nothing by itself and cannot decide."""
    check: Callable[[Sequence[Item]], None] | None = None
    """Called before any model is asked; EvaluationError where the metric cannot be had of these items."""


METRICS: dict[str, Kind] = {
    "gleu": Kind(gleu, "answers", "GLEU of corrections against the references, 0 to 100", check=check_gleu),
    "edits": Kind(
        edits, "answers", "F0.5, precision and recall of edits by ERRANT; English", check=check_edits
    ),
    "exact": Kind(exact, "answers", "answers that are one of the references, spacing aside"),
    "changed": Kind(changed, "answers", "answers that are not the sentence as it was", "neither"),
    "right": Kind(right, "answers", "answers whose final number is the reference's", check=check_numbers),
    "states": Kind(
        states,
        "answers",
        "tutors' turns that decide as the reference does, F1 over all codes",
        check=needs_turns,
    ),
    "preferred": Kind(
        None, "likelihood", "pairs whose chosen text the model holds likelier", check=needs_pairs
    ),
    "perplexity": Kind(None, "likelihood", "how unlikely the model holds the references", "lower"),
    "scaffolding": Kind(
        None,
        "likelihood",
        "how much likelier than telling the model holds scaffolding, of 5 prompts each or more",
        check=needs_turns,
    ),
    "judged": Kind(None, "judge", "wins less losses against the first model's answers"),
    "judged_references": Kind(None, "judge", "wins less losses against the references"),
    "rated": Kind(None, "judge", "the mean score that a judge gives by a rubric, 0 to 1"),
}
