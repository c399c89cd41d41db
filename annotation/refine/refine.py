"""Refine a rubric for one's own data: a model drafts dimensions, tries them and advises; a person merges.

1. draft     dimensions from the rubric and some prompts
2. outputs   an answer to each prompt written for the dimensions, and one without them (yours, if given)
3. compare   the two, in random order, blind
4. advice    on each dimension, and on missing dimensions
   -> draft.yaml, draft.md, advice.md; every request and answer in steps/
5. a person edits the draft; `accept_rubric` checks it and writes the rubric
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ...schemas.support.files import write_text
from ..models.backends.connection import Endpoint
from ..rubrics.file import CriterionEntry
from ..rubrics.new import check_rubric, copy_rubric, fill_template
from ..rubrics.rubric import parse_rubric
from .budget import Budget
from .outputs import Output
from .steps import KeptSteps, ask_step, find_json_object

Model = TypeVar("Model", bound=BaseModel)
TEMPLATES = Path(__file__).parent / "templates"
SHOWN_PROMPTS = 8  # of those that the dimensions are drafted from
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")


class _Advice(BaseModel):
    verdict: Literal["keep", "reword", "merge", "split", "drop"]
    advice: str
    wording: str | None = None
    levels: list[str] | None = None


class _Missing(BaseModel):
    name: str
    why: str


class _Comparison(BaseModel):
    better: Literal["1", "2", "tie"]
    why: str
    dimensions: dict[str, Literal["1", "2", "tie"]]
    missing: list[_Missing] = Field(default=[], max_length=20)


@dataclass(frozen=True)
class Compared:
    """Two answers to a prompt and the model's comparison: with, without or tie."""

    prompt: str
    written: dict[str, str]
    better: str
    on: dict[str, str]
    why: str
    missing: tuple[_Missing, ...]


@dataclass(frozen=True)
class Refined:
    """Files, counts and cost of a run."""

    folder: Path
    dimensions: tuple[str, ...]
    wins: dict[str, int]
    sent: int
    kept: int
    tokens: int


def refine_rubric(
    rubric: Rubric,
    outputs: Sequence[Output],
    where: Endpoint,
    folder: Path,
    *,
    given: str,
    say: Callable[[str], None],
    seed: int = 0,
    budget: Budget | None = None,
) -> Refined:
    """Propose dimensions, try them on outputs and write advice and a draft, for a person to merge.

    `given` is the caller's name of the rubric. Answers that an earlier run left in the folder are used
    again. An existing draft is not overwritten, since a person may have edited it. `budget` bounds what the
    run may take.

    Raises AnnotationError if the endpoint refuses, the folder belongs to another run, or the budget is used
    up: then what came is kept.
    """
    (folder / "steps").mkdir(parents=True, exist_ok=True)
    steps = KeptSteps(folder / "steps", where, say, budget or Budget())
    dimensions = _draft(steps, rubric, outputs)
    compared = [_compare(steps, n, output, dimensions, seed) for n, output in enumerate(outputs, 1)]
    advised = [(d, _advise(steps, d, dimensions, compared)) for d in dimensions]
    missing = _missing(steps, dimensions, compared)
    wins = {side: sum(c.better == side for c in compared) for side in ("with", "without", "tie")}
    known = {
        "rubric": rubric,
        "model": where.model,
        "given": given,
        "folder": folder,
        "advised": advised,
        "missing": missing,
        "comparisons": compared,
        "wins": wins,
        "counts": {d.name: _counts(d.name, compared) for d in dimensions},
    }
    draft = fill_template(TEMPLATES / "draft.yaml.jinja", **known)
    parse_rubric(f"{draft}\n---\n{rubric.guidelines}", str(folder / "draft.yaml"))
    write_text(folder / "advice.md", fill_template(TEMPLATES / "advice.md.jinja", **known))
    for name, text in (("draft.md", rubric.guidelines), ("draft.yaml", draft)):
        if (folder / name).exists():
            say(f"{folder / name} is there already and stays as it is")
        else:
            write_text(folder / name, text)
    return Refined(folder, tuple(d.name for d in dimensions), wins, steps.sent, steps.kept, steps.tokens)


def accept_rubric(folder: Path, out: Path) -> Rubric:
    """Check the merged draft of a folder and write it as a rubric, named after the file.

    Raises AnnotationError if the folder has no draft.
    """
    draft = folder / "draft.yaml"
    if not draft.exists():
        raise AnnotationError(f"{draft}: not there; run preceptor rubric refine without --accept first")
    rubric = check_rubric(draft)
    copy_rubric(rubric, out.stem, out)
    return rubric


def _draft(steps: KeptSteps, rubric: Rubric, outputs: Sequence[Output]) -> list[CriterionEntry]:
    prompts = [output.prompt for output in outputs[:SHOWN_PROMPTS]]
    prompt = fill_template(TEMPLATES / "draft.jinja", rubric=rubric, prompts=prompts)
    return ask_step(steps, "draft", prompt, lambda content: _dimensions(content, 1, 8))


def _dimensions(content: str, least: int, most: int) -> list[CriterionEntry]:
    listed = find_json_object(content).get("dimensions")
    if not isinstance(listed, list) or not least <= len(listed) <= most:
        raise ValueError(f"'dimensions' must be a list of {least} to {most}")
    found = [_dimension(entry) for entry in listed]
    if len({d.name for d in found}) < len(found):
        raise ValueError("two dimensions have the same name")
    return found


def _dimension(entry: object) -> CriterionEntry:
    if not isinstance(entry, dict):
        raise ValueError("a dimension must be an object")
    wanted = {
        name: _line(entry[name])
        for name in ("name", "wording", "levels", "higher_is_better")
        if name in entry
    }
    return _valid(CriterionEntry, wanted)


def _valid(model: type[Model], content: dict[str, Any]) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        said = (
            (".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()
        )
        raise ValueError("; ".join(f"'{where}': {message}" for where, message in said)) from error


def _line(value: Any) -> Any:
    """Texts of a model on one line each, without control characters."""
    if isinstance(value, str):
        return " ".join(_UNSEEN.sub(" ", value).split())
    return [_line(each) for each in value] if isinstance(value, list) else value


def _compare(
    steps: KeptSteps, n: int, output: Output, dimensions: list[CriterionEntry], seed: int
) -> Compared:
    """Compare two answers to one prompt, shown in random order."""
    asked = {
        "with": fill_template(TEMPLATES / "with.jinja", prompt=output.prompt, dimensions=dimensions),
        "without": fill_template(TEMPLATES / "without.jinja", prompt=output.prompt),
    }
    there = {"with": output.informed, "without": output.plain}
    written = {side: there[side] or ask_step(steps, f"{side}-{n}", asked[side], _text) for side in asked}
    order = ["with", "without"]
    random.Random(f"{seed} {n}").shuffle(order)  # noqa: S311
    shown = {"first": written[order[0]], "second": written[order[1]]}
    prompt = fill_template(TEMPLATES / "compare.jinja", prompt=output.prompt, dimensions=dimensions, **shown)
    names = [d.name for d in dimensions]
    said = ask_step(steps, f"compare-{n}", prompt, lambda content: _comparison(content, names))
    side = {"1": order[0], "2": order[1], "tie": "tie"}
    return Compared(
        output.prompt,
        written,
        side[said.better],
        {name: side[said.dimensions[name]] for name in names},
        _line(said.why),
        tuple(said.missing),
    )


def _text(content: str) -> str:
    if not content.strip():
        raise ValueError("it is empty")
    return content.strip()


def _comparison(content: str, names: list[str]) -> _Comparison:
    said = _valid(_Comparison, find_json_object(content))
    absent = [name for name in names if name not in said.dimensions]
    if absent:
        raise ValueError(f"no judgement on {', '.join(absent)}")
    return said


def _advise(
    steps: KeptSteps, dimension: CriterionEntry, dimensions: list[CriterionEntry], compared: list[Compared]
) -> _Advice:
    others = [d.name for d in dimensions if d is not dimension]
    told = [{"better": c.better, "on": c.on[dimension.name], "why": c.why} for c in compared]
    prompt = fill_template(TEMPLATES / "advice.jinja", dimension=dimension, others=others, comparisons=told)
    return ask_step(steps, f"advice-{dimension.name}", prompt, _advice)


def _advice(content: str) -> _Advice:
    said = {name: _line(value) for name, value in find_json_object(content).items()}
    return _valid(_Advice, said)


def _missing(
    steps: KeptSteps, dimensions: list[CriterionEntry], compared: list[Compared]
) -> list[tuple[CriterionEntry, str]]:
    """Ask which dimensions the comparisons lack, each with the reason."""
    missing = [m for c in compared for m in c.missing]
    if not missing:
        return []
    prompt = fill_template(TEMPLATES / "missing.jinja", dimensions=dimensions, missing=missing)
    return ask_step(steps, "missing", prompt, _proposed)


def _proposed(content: str) -> list[tuple[CriterionEntry, str]]:
    found = _dimensions(content, 0, 6)
    reasons = [_line(str(entry.get("why") or "")) for entry in find_json_object(content)["dimensions"]]
    return list(zip(found, reasons, strict=True))


def _counts(name: str, compared: list[Compared]) -> dict[str, int]:
    sides = [c.on[name] for c in compared]
    agrees = sum(c.on[name] == c.better for c in compared)
    return {side: sides.count(side) for side in ("with", "without", "tie")} | {"agrees": agrees}
