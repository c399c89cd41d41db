"""What is evaluated and how: evaluate.yaml.

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


class Judge(BaseModel):
    """Who judges answers, and by what; metrics that need it are left out where no model is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    """openai:NAME, hf:FOLDER or hf-likelihood:FOLDER; --judge on the command line stands over it."""
    rubric: str
    """A pairwise one for judged and judged_references, one that rates for rated: a name or a YAML file."""
    base_url: str | None = None
    """Of openai:; that of the command line where it is left out."""
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    """Replies to a request until it has failed."""
    max_tokens: Annotated[int, Field(gt=0)] = 512
    """Of a reply."""


class Evaluation(BaseModel):
    """The keys of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """Of the evaluation: lower case, digits, hyphens."""
    dataset_name: str
    """A folder that preceptor build wrote, or a dataset on the Hub."""
    dataset_revision: str | None = None
    """Commit or tag of a dataset on the Hub."""
    dataset_config: Literal["sft", "preference"] = "sft"
    """sft: completions are the references. preference: the chosen ones are, the rejected beside them."""
    split: str = "test"
    metrics: Annotated[list[str], Field(min_length=1)]
    """What is measured; the first figure of the first one decides."""
    baseline: Literal["copy", "none"] = "none"
    """copy: what giving the prompt's source back would come to is a row of its own."""
    prompts: Annotated[int, Field(gt=0)] | None = 500
    """At most; null: all. Drawn by a hash of key and seed, so that more prompts keep those drawn before."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draw of prompts, of what models draw and of the intervals."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0: always the likeliest words."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(gt=0)] = 512
    """Of an answer; what is longer is cut off."""
    stop: list[str] = []
    """Texts that end an answer."""
    template: str | None = None
    """Jinja file that words what is sent, beside this file or from where one stands."""
    judge: Judge | None = None
    """Of the metrics that need one."""
    variants: dict[str, dict[str, Any]] = {}
    """Named sets of other values, chosen by --variant."""

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
class Config:
    """An evaluation's file, read and checked, with what the command line says over it."""

    path: Path
    text: str
    """The file as it stands."""
    values: Evaluation
    variant: str | None = None
    sets: tuple[str, ...] = ()


def read_config(path: Path, sets: Sequence[str] = (), variant: str | None = None) -> Config:
    """Read and check a file; RecipeError names the file, the key and the nearest known one.

    `variant` names one of its variants, whose values stand over the others; `sets` are texts key=value,
    which stand over both; key= leaves the key out.
    """
    text, content = _read(path)
    variants = read_variants(path, content)
    chosen = choose_variant(path, variants, variant)
    told = dict(parse_assignment(one, "prompts=100") for one in sets)
    for name, values in variants.items():  # those that are not asked for too
        if "variants" in values:
            raise RecipeError(f"{path}: variant {name}: a variant has no variants")
        if name != variant:
            _check(f"{path}: variant {name}", content | values)
    checked = _check(str(path), merge_settings(path, content | chosen, told))
    return Config(path, text, checked, variant, tuple(sets))


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    text, content = read_file(path, _NAME, "metrics: [gleu]")
    if "model_name_or_path" in content:
        raise RecipeError(f"{path}: is a recipe of training; name {_NAME}")
    return text, content


def _check(where: str, content: dict[str, Any]) -> Evaluation:
    try:
        return Evaluation.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain_faults(error, Evaluation)}") from error
