"""Evaluate models on held-out prompts: ask for answers, measure them, write a folder of figures.

    done = evaluate(Path("evaluate.yaml"), ["hf:base", "hf:tutor"], Path("evaluations/tutor"))
    done.about["verdicts"]      # ["tutor is better than base: gleu +4.1 (2.0 to 6.2), 500 prompts"]

A run that was stopped goes on when `evaluate` is called again with the same settings (see folder.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...annotation.models.asking import CostEstimate, Spent, check_limits, estimate_cost
from ...annotation.models.backends.backend import Backend
from ...annotation.models.backends.registry import find_backend, writes_answers
from ...annotation.models.budget import NO_LIMITS, Limits
from ...annotation.models.requests import Request
from ...annotation.models.templates import Template
from ...schemas.errors import EvaluationError
from ...schemas.support.versions import read_versions
from .answers import Asking, KeptAnswer, complete_answers, find_template, make_requests
from .asking import SILENT, Callbacks
from .config import EvaluationConfig, read_config
from .folder import JUDGED, LIKELIHOODS, REPLIES, check_out, open_folder, write_folder
from .items import HeldOut, read_held_out
from .judge import RubricJudge, add_judge, make_judge
from .metrics.measure import (
    Available,
    check_metrics,
    explain_left_out,
    fit_metrics,
    list_packages,
    measure_all,
    need_answers,
)
from .metrics.metric import ModelOutputs
from .metrics.registry import METRICS
from .metrics.statistics import DRAWS, LEVEL, Figures
from .report import COPY, compare, list_notes
from .scores import hash_prompt, keep_scores, make_scorer
from .trained import read_training

_LIBRARIES = ("preceptor", "transformers", "torch", "peft", "numpy")
_NOT_OF_ANSWERS = {
    "name",
    "dataset_name",
    "dataset_revision",
    "metrics",
    "baseline",
    "template",
    "variants",
    "judge",
}


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of one run that its file does not set."""

    judge: str | None = None
    """The model that judges; default: that of the file."""
    limits: Limits = NO_LIMITS
    """Limits of all models and the judge together."""
    base_url: str | None = None
    """Address for models named openai:."""
    prices: Path | None = None
    """The user's own price table."""
    restart: bool = False
    """Throw away an unfinished run of the same folder."""
    dry_run: bool = False
    """Check everything and send nothing."""
    trusting_code: bool = False
    """Let code in the folder of a model run in this process."""


DEFAULTS = EvaluationOptions()


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation, or of its dry run."""

    estimates: tuple[tuple[str, CostEstimate], ...]
    """Each model's name with an upper bound of tokens and cost, if no answer is kept from an earlier run."""
    judged: bool
    """True if a judge is asked, too."""
    about: Mapping[str, Any] | None = None
    """The content of metrics.json; None after a dry run."""
    notes: tuple[str, ...] = ()
    """What a reader should know before believing a figure."""


@dataclass(frozen=True)
class _Plan:
    """An evaluation, checked: everything is there to ask its models."""

    config: EvaluationConfig
    without: Mapping[str, str]
    """Metrics that were left out, and why."""
    partly: Mapping[str, str]
    """Metrics that count only some prompts, and why."""
    held: HeldOut
    template: Template | None
    requests: Sequence[Request]
    """One for each item, in order."""
    models: Sequence[str]
    """As they were named."""
    backends: Sequence[Backend]
    judge: RubricJudge | None
    options: EvaluationOptions
    callbacks: Callbacks
    spent: list[Spent] = field(default_factory=list)


def evaluate(
    config: EvaluationConfig | Path,
    models: Sequence[str],
    out: Path,
    options: EvaluationOptions = DEFAULTS,
    callbacks: Callbacks = SILENT,
) -> EvaluationResult:
    """Ask models the held-out prompts of a dataset, measure their answers, and write the folder `out`.

    `config`: the file of an evaluation, or what read_config made of it. `models`: names such as hf:FOLDER;
    the others are compared with the first. A dry run checks everything and sends nothing. Raises RecipeError,
    EvaluationError, AnnotationError, StoreError or HubError for unusable input, and EvaluationError if a
    limit kept requests from being sent: then call it again to go on.
    """
    plan = _prepare(config, models, out, options, callbacks)
    requests = plan.requests if need_answers(plan.config.values.metrics) else ()
    estimates = tuple((one.name, estimate_cost(one, requests)) for one in plan.backends)
    planned = EvaluationResult(estimates, plan.judge is not None)
    if options.dry_run:
        return planned
    about = _run(plan, out)
    return replace(planned, about=about, notes=tuple(list_notes(about)))


def _prepare(
    config: EvaluationConfig | Path,
    models: Sequence[str],
    out: Path,
    options: EvaluationOptions,
    callbacks: Callbacks,
) -> _Plan:
    """Check everything before anything is sent."""
    if not models:
        raise EvaluationError("Missing option '--model'.")
    if mute := next((name for name in models if not writes_answers(name)), None):
        raise EvaluationError(f"--model {mute}: writes no answers; give hf:{mute.partition(':')[2]}")
    read = config if isinstance(config, EvaluationConfig) else read_config(config)
    read = add_judge(read, options.judge)
    backends = [
        find_backend(name, options.base_url, options.prices, trusting_code=options.trusting_code)
        for name in models
    ]
    for one in backends:
        check_limits(one, options.limits)
    spent: list[Spent] = []
    settings, judge = read.values.judge, None
    if settings and settings.model:
        judge = make_judge(
            settings,
            Path(JUDGED),
            options.limits,
            options.base_url,
            options.prices,
            spent,
            callbacks,
            options.trusting_code,
        )
    read, without = _drop_metrics(read, backends, judge, callbacks)
    check_out(out)
    template = find_template(read)
    held = read_held_out(read.values, callbacks.say)
    unfit, partly = fit_metrics(read.values.metrics, held.items)
    read = _leave_out(read, unfit, callbacks)
    for name, why in partly.items():
        callbacks.say(f"{name} {why}")
    check_metrics(read.values.metrics, held.items)
    requests = make_requests(held.items, read.values, template)
    without |= unfit
    return _Plan(
        read, without, partly, held, template, requests, models, backends, judge, options, callbacks, spent
    )


def _drop_metrics(
    config: EvaluationConfig, backends: Sequence[Backend], judge: RubricJudge | None, callbacks: Callbacks
) -> tuple[EvaluationConfig, dict[str, str]]:
    """Leave out the metrics that cannot be measured here, and say why."""
    names = config.values.metrics
    available = Available(
        likelihoods=all(one.scores for one in backends),
        rubric=judge.rubric.kind if judge else None,
        several=len(backends) > 1,
    )
    without = explain_left_out(names, available)
    return _leave_out(config, without, callbacks), without


def _leave_out(
    config: EvaluationConfig, without: Mapping[str, str], callbacks: Callbacks
) -> EvaluationConfig:
    """Leave metrics out, and say why; EvaluationError if none is left."""
    for name, why in without.items():
        callbacks.say(f"{name} is left out: it {why}")
    kept = [name for name in config.values.metrics if name not in without]
    if not kept:
        raise EvaluationError(
            f"{config.path}: no metric is left to measure; see why above, and name others (--set metrics=[…])"
        )
    if METRICS[kept[0]].better == "neither":
        raise EvaluationError(
            f"{config.path}: {kept[0]}, the first metric that is left, does not say what is better; put "
            "another one first"
        )
    return replace(config, values=config.values.model_copy(update={"metrics": kept}))


def _run(plan: _Plan, out: Path) -> dict[str, Any]:
    """Ask, measure and write; return the content of metrics.json."""
    check_out(out)
    names = [one.name for one in plan.backends]
    if twice := [name for name in names if names.count(name) > 1]:
        raise EvaluationError(f"{twice[0]}: named twice; give each model once")
    values, items = plan.config.values, plan.held.items
    template = plan.template.digest if plan.template else None
    run = {
        "settings": values.model_dump(exclude=_NOT_OF_ANSWERS) | {"template": template},
        "dataset": plan.held.describe(),
    }
    with open_folder(out, run, plan.options.restart) as work:
        judge = replace(plan.judge, path=work / JUDGED) if plan.judge else None
        answers = _ask_all(plan, work)
        rows = _measure_models(plan, answers, judge, work)
        about = {
            "name": values.name,
            "dataset": plan.held.describe(),
            "settings": values.model_dump(exclude={"variants", "dataset_name", "judge"})
            | {"template": template},
            "variant": plan.config.variant,
            "n": len(items),
            "level": LEVEL,
            "draws": DRAWS,
            "left_out": dict(plan.without),
            "partly": dict(plan.partly),
            "judge": dict(judge.about) if judge else None,
            "models": [_describe_model(one, plan.held, answers[one.name]) for one in plan.backends],
            **compare(values, [item.group for item in items], rows, names),
            "versions": read_versions((*_LIBRARIES, *list_packages())),
        }
        write_folder(work, about, items, answers)
    return about


def _ask_all(plan: _Plan, work: Path) -> dict[str, list[KeptAnswer]]:
    """Return the answers of each model by name, in the order of the items; none if no metric needs them."""
    if not need_answers(plan.config.values.metrics):
        return {one.name: [] for one in plan.backends}
    asking = Asking(work / REPLIES, plan.options.limits, plan.spent, plan.callbacks)
    return {one.name: complete_answers(one, plan.held.items, plan.requests, asking) for one in plan.backends}


def _measure_models(
    plan: _Plan, answers: Mapping[str, Sequence[KeptAnswer]], judge: RubricJudge | None, work: Path
) -> dict[str, Figures]:
    """Compute the figures of each model and of the baseline, by name."""
    names, items = plan.config.values.metrics, plan.held.items
    pairs = zip(items, plan.requests, strict=True) if plan.template else ()
    worded = {hash_prompt(item.messages): request.messages for item, request in pairs}
    texts = {name: [one.text for one in of] for name, of in answers.items()}
    rows: dict[str, Figures] = {}
    for given, one in zip(plan.models, plan.backends, strict=True):
        scorer = None
        if one.scores:
            scorer = make_scorer(given, one.scores, worded, plan.callbacks.say)
            scorer = keep_scores(work / LIKELIHOODS, one.name, scorer)
        outputs = ModelOutputs(
            texts[one.name],
            texts[plan.backends[0].name],
            scorer,
            judge.judge_pairs if judge else None,
            judge.rate_texts if judge else None,
        )
        rows[one.name] = measure_all(names, items, outputs)
        if scorer:
            one.free()
    if plan.config.values.baseline == COPY and need_answers(names):
        rows[COPY] = measure_all(names, items, ModelOutputs([item.source for item in items]))
    return rows


def _describe_model(one: Backend, held: HeldOut, answers: Sequence[KeptAnswer]) -> dict[str, Any]:
    """Describe a model for metrics.json."""
    return {
        "name": one.name,
        "trained_on": read_training(one.folder, held) if one.folder else None,
        "cut_off": sum(given.cut for given in answers),
        "no_answer": sum(given.error is not None for given in answers),
        "errors": sorted({given.error for given in answers if given.error})[:3],
    }
