"""List the metrics that an evaluation may name: one file and one line here for each.

METRICS["exact"].measure(items, answers)["exact"]       # Statistics of the share of exact answers
"""

from .gec import (
    check_edits,
    check_gleu,
    is_english,
    measure_changed,
    measure_edits,
    measure_exact,
    measure_gleu,
)
from .judged import measure_ratings, measure_wins, measure_wins_over_references
from .likelihood import check_pairs, check_turns, measure_perplexity, measure_preferred, measure_scaffolding
from .metric import Metric, Need
from .numbers import check_numbers, measure_numbers
from .tutor_states import measure_states

_ANSWERS: tuple[Need, ...] = ("answers",)
_LIKELIHOODS: tuple[Need, ...] = ("likelihoods",)

METRICS: dict[str, Metric] = {
    "gleu": Metric(
        measure_gleu,
        _ANSWERS,
        "GLEU of corrections against the references, 0 to 100",
        check=check_gleu,
        packages=("gleu",),
    ),
    "edits": Metric(
        measure_edits,
        _ANSWERS,
        "F0.5, precision and recall of edits by ERRANT; English",
        check=check_edits,
        fits=is_english,
        knows="ERRANT knows English",
        packages=("errant", "spacy"),
    ),
    "exact": Metric(measure_exact, _ANSWERS, "answers that are one of the references, spacing aside"),
    "changed": Metric(measure_changed, _ANSWERS, "answers that are not the sentence as it was", "neither"),
    "right": Metric(
        measure_numbers, _ANSWERS, "answers whose final number is the reference's", check=check_numbers
    ),
    "states": Metric(
        measure_states,
        _ANSWERS,
        "tutors' turns that decide as the reference does, F1 over all codes",
        check=check_turns,
    ),
    "preferred": Metric(
        measure_preferred,
        _LIKELIHOODS,
        "pairs whose chosen text the model holds likelier",
        check=check_pairs,
    ),
    "perplexity": Metric(
        measure_perplexity, _LIKELIHOODS, "how unlikely the model holds the references", "lower"
    ),
    "scaffolding": Metric(
        measure_scaffolding,
        _LIKELIHOODS,
        "how much likelier than telling the model holds scaffolding, of 5 prompts each or more",
        check=check_turns,
    ),
    "judged": Metric(
        measure_wins,
        ("answers", "first_answers", "pairs"),
        "wins less losses against the first model's answers",
    ),
    "judged_references": Metric(
        measure_wins_over_references, ("answers", "pairs"), "wins less losses against the references"
    ),
    "rated": Metric(
        measure_ratings, ("answers", "ratings"), "the mean score that a judge gives by a rubric, 0 to 1"
    ),
}
