"""Read the file of an evaluation: evaluate.yaml.

name: gec
dataset_name: dist/gec
metrics: [gleu, exact, changed]
baseline: copy
prompts: 500
variants: {tiny: {prompts: 8, max_tokens: 32}}
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ...schemas.errors import RecipeError
from ...schemas.support.nearest import suggest
from ...schemas.support.settings_files import (
    choose_variant,
    merge_settings,
    parse_assignment,
    read_variants,
    select_lines,
)
from ...schemas.support.settings_files.faults import explain_by_line
from ...schemas.support.settings_files.kinds import expect_kind
from ...schemas.support.settings_files.yaml_text import Place, read_settings
from .metrics.registry import METRICS

_NAME = "an evaluation's file, such as recipes/gec/evaluate.yaml"


class JudgeSettings(BaseModel):
    """The judge and its rubric; without a model, metrics that need a judge are left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str | None = None
    """openai:NAME, hf:FOLDER or hf-likelihood:FOLDER; --judge overrides it."""
    rubric: str
    """Name or YAML file of a rubric, of the kind that the metrics need: pairwise or rating."""
    base_url: str | None = None
    """Address for openai:; default: that of the command line."""
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    """Number of replies to a request until it has failed."""
    max_tokens: Annotated[int, Field(gt=0)] = 512
    """Maximum tokens of a reply."""


class EvaluationSettings(BaseModel):
    """The keys of an evaluation's file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """Name of the evaluation: lower case, digits, hyphens."""
    dataset_name: str
    """Folder that preceptor build wrote, or dataset on the Hub."""
    dataset_revision: str | None = None
    """Commit or tag of a dataset on the Hub."""
    dataset_config: Literal["sft", "preference"] = "sft"
    """sft: completions are the references. preference: chosen texts are, beside rejected ones."""
    split: str = "test"
    """Split whose prompts are asked."""
    metrics: Annotated[list[str], Field(min_length=1)]
    """Metrics to measure; the first figure of the first one decides."""
    baseline: Literal["copy", "none"] = "none"
    """copy: add a row for answers that give the prompt's source back."""
    prompts: Annotated[int, Field(gt=0)] | None = 500
    """Maximum number of prompts; null: all. Drawn by a hash of key and seed, so more include fewer."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Random seed of the prompts, of the models' sampling and of the intervals."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0: always the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the likeliest tokens whose probabilities add up to this."""
    max_tokens: Annotated[int, Field(gt=0)] = 512
    """Maximum tokens of an answer; longer ones are cut off."""
    stop: list[str] = []
    """Texts that end an answer."""
    template: str | None = None
    """Jinja file that words the prompts, beside this file or in the working directory."""
    judge: JudgeSettings | None = None
    """The judge of the metrics that need one."""
    variants: dict[str, dict[str, Any]] = {}
    """Named sets of values, chosen by --variant."""

    @field_validator("metrics", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @field_validator("metrics")
    @classmethod
    def _metrics_are_known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in METRICS:
                raise ValueError(f"no metric '{name}': {suggest(name, METRICS, 'known metrics')}")
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"'{repeated[0]}' stands there twice")
        if METRICS[names[0]].better == "neither":
            raise ValueError(
                f"the first one decides, and {names[0]} does not say what is better: put another first"
            )
        return names


@dataclass(frozen=True)
class EvaluationConfig:
    """The file of an evaluation, read and checked, with the values of the command line."""

    path: Path
    text: str
    """The file's text, unchanged."""
    values: EvaluationSettings
    variant: str | None = None
    sets: tuple[str, ...] = ()


def read_config(path: Path, sets: Sequence[str] = (), variant: str | None = None) -> EvaluationConfig:
    """Read and check a file.

    `variant` names one of its variants, whose values override the others. `sets` are texts key=value that
    override both; key= leaves the key out. Raises RecipeError with the file, the key and the nearest known
    one.
    """
    file = read_settings(path, _NAME, "metrics: [gleu]")
    expect_kind(file, "evaluation", _NAME)
    content, lines = file.content, file.lines
    variants = read_variants(path, content)
    chosen = choose_variant(path, variants, variant)
    overrides = dict(parse_assignment(one, "prompts=100") for one in sets)
    faults: dict[str, None] = {}  # those of the file first: variants repeat them
    merged = merge_settings(path, content | chosen, overrides)
    checked = _check(path, merged, select_lines(lines, variant, overrides), faults)
    for name, values in variants.items():  # also those that are not chosen
        if "variants" in values:
            faults[f"{path}: variant {name}: a variant has no variants"] = None
        elif name != variant:
            _check(path, content | values, select_lines(lines, name, {}), faults, (name, values))
    if checked is None or faults:
        raise RecipeError("\n".join(faults))
    return EvaluationConfig(path, file.text, checked, variant, tuple(sets))


def _check(
    path: Path,
    content: dict[str, Any],
    lines: Mapping[Place, int],
    faults: dict[str, None],
    variant: tuple[str, Collection[str]] = ("", ()),
) -> EvaluationSettings | None:
    """Check values; what is wrong is added to `faults`, once."""
    try:
        return EvaluationSettings.model_validate(content)
    except ValidationError as error:
        said = explain_by_line(path, error, EvaluationSettings, lines, variant)
        faults |= dict.fromkeys(said.splitlines())
        return None
