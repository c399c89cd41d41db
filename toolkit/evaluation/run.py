"""Evaluate models on held-out prompts: answers of each, figures of all, a folder that is whole or not there.

    OUT/metrics.json   figures with intervals, differences, verdicts; dataset, models, settings, versions
    OUT/judged.jsonl   what a judge said, where there was one
    OUT/answers.jsonl  {"key": "1f…", "source": "…", "references": ["…"], "answers": {"hf:gec@3c…": "…"}}
    OUT/README.md      the table, and what it says in plain words
    OUT/figures.png

Until it is whole it stands in .OUT.unfinished, where answers are kept as they come; the same command goes on
from there. Models may be added on the way, and other metrics asked for; what answers depend on may not
change.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...schemas.errors import EvaluationError
from ...schemas.support.json_lines import add_lines, read_lines
from ...schemas.support.unfinished_run import finish, hold_run
from ...schemas.support.versions import read_versions
from .config import Config
from .items import HeldOut
from .metrics.likelihood import Score
from .metrics.measure import Judging, Measured, kept_scores, measured, wants_answers
from .metrics.registry import METRICS
from .metrics.statistics import DRAWS, LEVEL, Item, Statistics
from .report import compare, readme

COPY = "copy"
JUDGED = "judged.jsonl"
_WHOLE = "whole"
_LIBRARIES = ("preceptor", "transformers", "torch", "peft", "numpy", "gleu", "errant", "spacy")
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
class Given:
    """What a model gave to an item: its text, empty where there was none and `error` says why."""

    key: str
    text: str
    error: str | None = None
    cut: bool = False
    """Whether it was cut off at max_tokens."""


Keep = Callable[[Sequence[Given]], None]


@dataclass(frozen=True)
class Model:
    """A model and how it is asked.

    `ask` gives what comes to its second argument, a few answers at a time, and returns how many items it
    left out, where a limit was reached.
    """

    name: str
    """With a digest or revision: hf:gec@3c0f5a3b9e1d."""
    ask: Callable[[Sequence[Item], Keep], int]
    free: Callable[[], None] = lambda: None
    """Called when all its answers are there."""
    about: Mapping[str, Any] | None = None
    """What is known of its training: see trained.py."""
    score: Score | None = None
    """How likely it holds texts; None where it does not tell."""


def check_out(out: Path) -> None:
    """EvaluationError where the output's place is taken."""
    if not out.name:
        raise EvaluationError(f"--out {out}: expected a folder of its own, such as evaluations/gec")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EvaluationError(f"{out}: exists; choose another --out, or move it away")


def check_metrics(names: Sequence[str], items: Sequence[Item]) -> None:
    """EvaluationError where a metric cannot be had of the items, or lacks a package."""
    for name in names:
        if check := METRICS[name].check:
            check(items)


def evaluate(
    config: Config,
    held: HeldOut,
    models: Sequence[Model],
    out: Path,
    template: str | None = None,
    restart: bool = False,
    judge: Callable[[Path], Judging] | None = None,
    without: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Ask every model, measure, and write the folder; what metrics.json holds is returned.

    `template` is the digest of what words the prompts. `judge` makes the judge, whose replies are kept in
    the file that it is given. `without` says which metrics were left out, and why. EvaluationError where the
    folder is taken, an unfinished run of other settings stands there, or answers are missing since a limit
    was reached.
    """
    check_out(out)
    names = [model.name for model in models]
    if twice := [name for name in names if names.count(name) > 1]:
        raise EvaluationError(f"{twice[0]}: named twice; give each model once")
    work = out.with_name(f".{out.name}.unfinished")
    settings = config.values.model_dump(exclude=_NOT_OF_ANSWERS) | {"template": template}
    run = {"settings": settings, "dataset": held.about()}
    with hold_run(work, run, restart, EvaluationError, lambda old: _differing(old, run)):
        check_out(out)  # the same command may have finished meanwhile
        about = _evaluated(config, held, models, work, template, judge, without or {})
        check_out(out)
        if out.is_dir():
            out.rmdir()  # an empty one
        out.parent.mkdir(parents=True, exist_ok=True)
        (work / _WHOLE).rename(out)
        finish(work)
    return about


def _evaluated(
    config: Config,
    held: HeldOut,
    models: Sequence[Model],
    work: Path,
    template: str | None,
    judge: Callable[[Path], Judging] | None,
    without: Mapping[str, str],
) -> dict[str, Any]:
    """Everything but the place: the finished folder stands in `work`."""
    names = [model.name for model in models]
    asked = judge(work / JUDGED) if judge else None
    given, rows = _rows(config, held.items, models, work, asked)
    about = {
        "name": config.values.name,
        "dataset": held.about(),
        "settings": config.values.model_dump(exclude={"variants", "dataset_name", "judge"})
        | {"template": template},
        "variant": config.variant,
        "n": len(held.items),
        "level": LEVEL,
        "draws": DRAWS,
        "left_out": dict(without),
        "judge": dict(asked.about) if asked else None,
        "models": [_about(model, given[model.name]) for model in models],
        **compare(config.values, [item.group for item in held.items], rows, names),
        "versions": read_versions(_LIBRARIES),
    }
    _write(work / _WHOLE, about, held.items, given)
    if (work / JUDGED).is_file():
        shutil.copyfile(work / JUDGED, work / _WHOLE / JUDGED)
    return about


def _differing(old: str, run: Mapping[str, Any]) -> str:
    """Names of what is not the same: "temperature, prompts"."""
    try:
        before = json.loads(old)
    except ValueError:
        return "not readable"
    found = [
        name
        for part, now in run.items()
        for name, value in now.items()
        if before.get(part, {}).get(name) != value
    ]
    return ", ".join(found) or "others"


def _answers(file: Path, model: Model, items: Sequence[Item]) -> list[Given]:
    """A model's answers to all items, in their order; those that are not there yet are asked for."""
    known = _known(file, model.name)
    todo = [item for item in items if item.key not in known or known[item.key].error]
    todo.sort(key=lambda item: sum(len(message["content"]) for message in item.messages), reverse=True)

    def keep(given: Sequence[Given]) -> None:
        add_lines(file, ({"model": model.name, **vars(one)} for one in given))
        known.update({one.key: one for one in given})

    if todo:
        left = model.ask(todo, keep)
        model.free()
        if left:
            raise EvaluationError(
                f"{model.name}: {left:,} of {len(items):,} answers are missing, as a limit was reached; what "
                "came is kept: run the same command again to go on"
            )
    return [known[item.key] for item in items]


def _known(file: Path, name: str) -> dict[str, Given]:
    """A model's answers that are kept, by key; the last one counts."""
    rows = [row for row in read_lines(file) if row.get("model") == name]
    return {row["key"]: Given(row["key"], row["text"], row["error"], row["cut"]) for row in rows}


def _rows(
    config: Config, items: Sequence[Item], models: Sequence[Model], work: Path, judge: Judging | None
) -> tuple[dict[str, list[Given]], dict[str, dict[str, Statistics]]]:
    """Answers of every model, and the figures of each and of the baseline, by name."""
    names = config.values.metrics
    answered = wants_answers(names)
    file = work / "answers.jsonl"
    given = {model.name: _answers(file, model, items) if answered else [] for model in models}
    first = [one.text for one in given[models[0].name]]
    rows = {}
    for model in models:
        score = kept_scores(work / "likelihoods.jsonl", model.name, model.score) if model.score else None
        answers = [one.text for one in given[model.name]]
        rows[model.name] = measured(names, items, Measured(answers, score, first, judge))
        if score:
            model.free()
    if config.values.baseline == COPY and answered:
        rows[COPY] = measured(names, items, Measured([item.source for item in items]))
    return given, rows


def _about(model: Model, given: Sequence[Given]) -> dict[str, Any]:
    return {
        "name": model.name,
        "trained_on": model.about,
        "cut_off": sum(one.cut for one in given),
        "no_answer": sum(one.error is not None for one in given),
        "errors": sorted({one.error for one in given if one.error})[:3],
    }


def _write(
    folder: Path, about: Mapping[str, Any], items: Sequence[Item], given: Mapping[str, Sequence[Given]]
) -> None:
    from .figures import draw

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rows = (
        {
            "key": item.key,
            "group": item.group,
            "source": item.source,
            "references": item.references,
            "rejected": item.rejected,
            "answers": {name: of[n].text for name, of in given.items() if of},
        }
        for n, item in enumerate(items)
    )
    add_lines(folder / "answers.jsonl", rows)
    text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    draw(about, folder / "figures.png")
    (folder / "README.md").write_text(readme(about), encoding="utf-8")
