"""Read the file of an evaluation: evaluate.yaml.

name: gec
dataset_name: dist/gec
metrics: [gleu, exact, changed]
baseline: copy
prompts: 500
variants: {tiny: {prompts: 8, max_tokens: 32}}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ...schemas.errors import RecipeError
from ...schemas.recipe import explain_faults
from ...schemas.support.nearest import suggest
from ...schemas.support.settings_files import (
    choose_variant,
    merge_settings,
    parse_assignment,
    read_file,
    read_variants,
)
from .metrics.registry import METRICS

_NAME = "an evaluation's file, such as recipes/gec/evaluate.yaml"


class JudgeSettings(BaseModel):
    """The judge and its rubric; without a model, metrics that need a judge are left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """Name of the evaluation: lower case, digits, hyphens."""
    dataset_name: str
    """Folder that preceptor build wrote, or dataset on the Hub."""
    dataset_revision: str | None = None
    """Commit or tag of a dataset on the Hub."""
    dataset_config: Literal["sft", "preference"] = "sft"
    """sft: completions are the references. preference: chosen texts are, beside rejected ones."""
    split: str = "test"
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
    text, content = _read(path)
    variants = read_variants(path, content)
    chosen = choose_variant(path, variants, variant)
    overrides = dict(parse_assignment(one, "prompts=100") for one in sets)
    for name, values in variants.items():  # also those that are not chosen
        if "variants" in values:
            raise RecipeError(f"{path}: variant {name}: a variant has no variants")
        if name != variant:
            _check(f"{path}: variant {name}", content | values)
    checked = _check(str(path), merge_settings(path, content | chosen, overrides))
    return EvaluationConfig(path, text, checked, variant, tuple(sets))


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    text, content = read_file(path, _NAME, "metrics: [gleu]")
    if "model_name_or_path" in content:
        raise RecipeError(f"{path}: is a recipe of training; name {_NAME}")
    return text, content


def _check(where: str, content: dict[str, Any]) -> EvaluationSettings:
    try:
        return EvaluationSettings.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain_faults(error, EvaluationSettings)}") from error
