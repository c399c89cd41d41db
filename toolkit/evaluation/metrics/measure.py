"""Choose the metrics that can be measured here, and measure them.

explain_left_out(["rated", "perplexity"], Available(likelihoods=True, rubric=None, several=False))
# {"rated": "needs a judge: --judge openai:NAME, or judge: {model: …}"}
measure_all(["states", "preferred"], items, ModelOutputs(answers, likelihoods=score))
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ....annotation.models.backends.registry import SCORING
from .metric import Metric, ModelOutputs
from .registry import METRICS
from .statistics import Figures, Item


@dataclass(frozen=True)
class Available:
    """The means of measuring that an evaluation has."""

    likelihoods: bool
    """True if every model scores texts."""
    rubric: str | None
    """The kind of the judge's rubric, pairwise or rating; None without a judge."""
    several: bool
    """True if there is a second model to compare with the first."""


def explain_left_out(names: Iterable[str], available: Available) -> dict[str, str]:
    """Map each metric that cannot be measured to the reason."""
    reasons = {name: _explain(METRICS[name], available) for name in names}
    return {name: why for name, why in reasons.items() if why}


def _explain(metric: Metric, available: Available) -> str | None:
    wanted = metric.rubric_kind
    if "likelihoods" in metric.needs and not available.likelihoods:
        return f"needs the models' log-probabilities, which only those named {' or '.join(SCORING)} give"
    if wanted and available.rubric is None:
        return "needs a judge: --judge openai:NAME, or judge: {model: …} in the file"
    if wanted and available.rubric != wanted:
        return f"needs a judge with a {wanted} rubric, and that of the file is {available.rubric}"
    if "first_answers" in metric.needs and not available.several:
        return "holds models against the first one, and there is no other"
    return None


def fit_metrics(names: Iterable[str], items: Sequence[Item]) -> tuple[dict[str, str], dict[str, str]]:
    """Find the metrics that fit none of the items, and those that fit only some, each with the reason."""
    none: dict[str, str] = {}
    some: dict[str, str] = {}
    for name in names:
        metric = METRICS[name]
        if metric.fits is None:
            continue
        left = [item for item in items if not metric.fits(item)]
        if left:
            languages = ", ".join(sorted({item.language for item in left}))
            why = f"{metric.knows}, not {languages}"
            fitting = len(items) - len(left)
            (some if fitting else none)[name] = (
                f"counts {fitting:,} of {len(items):,} prompts: {why}"
                if fitting
                else f"fits no prompt: {why}"
            )
    return none, some


def check_metrics(names: Iterable[str], items: Sequence[Item]) -> None:
    """Raise EvaluationError if a metric does not fit the items or lacks a package."""
    for name in names:
        if check := METRICS[name].check:
            check(items)


def need_answers(names: Iterable[str]) -> bool:
    """Return True if any of the metrics needs answers."""
    return any("answers" in METRICS[name].needs for name in names)


def list_judged(kind: str | None = None) -> list[str]:
    """List the metrics that need a judge; with `kind`, those that need a rubric of that kind."""
    return [name for name, one in METRICS.items() if one.rubric_kind and kind in (None, one.rubric_kind)]


def list_packages() -> list[str]:
    """List the optional packages of all metrics, in the order of the registry."""
    return list(dict.fromkeys(package for metric in METRICS.values() for package in metric.packages))


def measure_all(names: Iterable[str], items: Sequence[Item], outputs: ModelOutputs) -> Figures:
    """Compute the figures of metrics by figure name, in the order of the metrics.

    A metric with a need that `outputs` lacks gives no figures.
    """
    found: Figures = {}
    for name in names:
        given = [getattr(outputs, need) for need in METRICS[name].needs]
        if all(one is not None for one in given):
            found |= METRICS[name].measure(items, *given)
    return found
