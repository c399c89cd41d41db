"""Training recipes: YAML in the field names of TRL and PEFT, and a few keys of ours.

model_name_or_path: meta-llama/Llama-3.1-8B-Instruct
dataset_name: dist/spock
dataset_config: preference
learning_rate: 1.0e-6
use_peft: true
env:
  preceptor:                # ours; `trl dpo --config` reads the same file and takes this for an environment
    stage: dpo              # variable that is never read
    variants:
      tiny: {model_name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct, max_steps: 10}

Ours may also be at the top level, if plain TRL need not read the file. They are:

stage             one of stages/registry.py, such as dpo
dataset_revision  the commit of a dataset on the Hub
variants          named sets of other values, chosen by --variant
chosen_fall       how much of their log-probability chosen completions may lose before a warning, as a
                  share of the reference model's (0.1)
keep_checkpoints  keep the run's checkpoints in the output (false)
allow             defects of rows that only warn: dead_pairs, empty_completions, one_label
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas.errors import RecipeError
from ..schemas.support.nearest import find_nearest, suggest
from ..schemas.support.settings_files import choose_variant, parse_assignment, read_file, read_variants
from ..schemas.support.settings_files import merge_settings as merge_values
from .keys import Key, convert_value, list_keys
from .stages.registry import STAGES
from .trainer.environment import ALLOWED

# Measured with a small model on JFLEG (docs/training.md): a run that lost 21 % of the chosen log-probability
# wrote corrections 9 GLEU worse than before; runs with an added SFT loss, or SFT alone, gained some.
CHOSEN_FALL = 0.1

_OURS = {
    "stage": Key("str", "preceptor"),
    "dataset_revision": Key("str | None", "preceptor"),
    "variants": Key("dict[str, Any]", "preceptor"),
    "chosen_fall": Key("float", "preceptor"),
    "keep_checkpoints": Key("bool", "preceptor"),
    "allow": Key("list[str]", "preceptor"),
}
# Keys of older versions of TRL and transformers, which recipes from elsewhere still have.
_FORMER = {
    "torch_dtype": "dtype",
    "evaluation_strategy": "eval_strategy",
    "max_seq_length": "max_length",
    "model_max_length": "max_length",
    "warmup_ratio": "warmup_steps, where a number below 1 is a share of all steps",
    "max_prompt_length": "max_length, which counts prompt and completion together",
    "loss": "loss_type, or stage",
}
_REFUSED = {
    "push_to_hub": "a folder is published when it is whole: leave it out",
    "hub_token": "the recipe is copied into every output: leave it out, and log in (hf auth login)",
    "dataset_streaming": "the rows are checked before the run: leave it out",
    "trust_remote_code": "it runs the code in a model's folder: leave it out, and give --trust-remote-code "
    "with the command for a model whose code you have read",
}
_NAME = "a training recipe, such as recipes/gec/sft.yaml"
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")


@dataclass(frozen=True)
class TrainingConfig:
    """A training recipe, read and checked."""

    path: Path
    text: str
    """The whole file."""
    stage: str
    values: dict[str, Any]
    """Values of TRL's keys from the recipe, its variant and --set; TRL's defaults are left out."""
    environment: dict[str, str]
    variant: str | None = None
    sets: tuple[str, ...] = ()
    dataset_revision: str | None = None
    chosen_fall: float = CHOSEN_FALL
    keep_checkpoints: bool = False
    allow: tuple[str, ...] = ()

    def select_values(self, owner: str) -> dict[str, Any]:
        """Select the values that are fields of a dataclass of TRL's, such as ModelConfig."""
        known = list_keys(self.stage)
        return {name: value for name, value in self.values.items() if known[name].owner == owner}

    @property
    def trainer_values(self) -> dict[str, Any]:
        """The values that are fields of the trainer's config."""
        return self.select_values(STAGES[self.stage].config_name)


def read_config(path: Path, sets: Sequence[str] = (), variant: str | None = None) -> TrainingConfig:
    """Read and check a training recipe.

    `variant` names one of the recipe's variants; its values replace the recipe's. `sets` are texts key=value
    and replace both; key= leaves the key out. RecipeError names the file, the key and the nearest known key.
    """
    text, content = _read(path)
    environment, content = _split(path, content)
    variants = read_variants(path, content)
    content.pop("variants", None)
    given = dict(parse_assignment(one, "learning_rate=1e-5") for one in sets)
    chosen = choose_variant(path, variants, variant)
    for name, values in variants.items():  # those that are not asked for too
        merged = merge_values(path, content | values, given if name == variant else {})
        _check(f"{path}: variant {name}", merged, _stage(path, merged))
    merged = merge_values(path, content | chosen, given)
    stage = _stage(path, merged)
    checked = _check(str(path), merged, stage)
    ours = {name: checked.pop(name) for name in _OURS if name in checked}
    ours.pop("stage")
    ours["allow"] = tuple(ours.get("allow", ()))
    if ours.get("chosen_fall", CHOSEN_FALL) <= 0:
        raise RecipeError(f"{path}: 'chosen_fall': should be above 0, such as {CHOSEN_FALL}")
    if fault := STAGES[stage].find_fault(checked):
        raise RecipeError(f"{path}: {fault}")
    checked |= deepcopy(dict(STAGES[stage].settles))
    _check_best(path, stage, checked.get("metric_for_best_model"))
    if not checked.get("model_name_or_path"):
        raise RecipeError(f"{path}: 'model_name_or_path' is missing; name a model, as a folder or on the Hub")
    if not checked.get("dataset_name"):
        raise RecipeError(
            f"{path}: 'dataset_name' is missing; name a folder that preceptor build wrote, or "
            "a dataset on the Hub"
        )
    return TrainingConfig(path, text, stage, checked, environment, variant, tuple(sets), **ours)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    text, content = read_file(path, _NAME, "learning_rate: 1.0e-6")
    for key, what in (("metrics", "an evaluation's file"), ("configs", "a dataset's recipe")):
        if key in content and "model_name_or_path" not in content:
            raise RecipeError(f"{path}: is {what}; name {_NAME}")
    return text, content


def _split(path: Path, content: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Split off the environment variables; our keys under env join the others."""
    environment = content.pop("env", None) or {}
    if not isinstance(environment, dict):
        raise RecipeError(f"{path}: 'env': expected names and values")
    ours = environment.pop("preceptor", None) or {}
    if not isinstance(ours, dict):
        raise RecipeError(f"{path}: 'env.preceptor': expected keys and values, such as 'stage: dpo'")
    for name in ours:
        if name not in _OURS:
            raise RecipeError(f"{path}: {_unknown(f'env.preceptor.{name}', name, _OURS)}")
        if name in content:
            raise RecipeError(f"{path}: '{name}' stands at the top and under env.preceptor; leave one out")
    for name in environment:
        if str(name).upper().endswith(_SECRET):
            raise RecipeError(
                f"{path}: 'env.{name}': the recipe is copied into every output; set it in your shell"
            )
        if name not in ALLOWED:
            raise RecipeError(
                f"{path}: 'env.{name}': a recipe may not set it, since a recipe of somebody else's could run "
                f"other programs by such; set it in your shell. It may set {', '.join(sorted(ALLOWED))}"
            )
    return {str(name): str(value) for name, value in environment.items()}, content | ours


def _stage(path: Path, values: Mapping[str, Any]) -> str:
    named = values.get("stage")
    for stage in STAGES:
        if named == stage:
            return stage
    if named is None and "stage" not in values:
        near = find_nearest("stage", values)
        hint = f"did you mean '{near}' to be it?" if near else "add it"
        raise RecipeError(f"{path}: 'stage' is missing; {hint} (one of {', '.join(STAGES)})")
    raise RecipeError(
        f"{path}: 'stage': no stage '{named}': {suggest(str(named), tuple(STAGES), 'known stages')}"
    )


def _check(where: str, values: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Convert values to the types of their keys. RecipeError lists all that is wrong."""
    known = list_keys(stage) | _OURS
    checked: dict[str, Any] = {}
    wrong: list[str] = []
    for name, value in values.items():
        if name in _REFUSED and name in known and value:
            wrong.append(f"'{name}': {_REFUSED[name]}")
        elif name not in known or (name == "variants"):
            wrong.append(_unknown(name, name, known, stage))
        else:
            try:
                checked[name] = convert_value(known[name], value)
            except ValueError as error:
                wrong.append(f"'{name}': {error}")
    if wrong:
        raise RecipeError(f"{where}: {'; '.join(wrong)}")
    return checked


def _unknown(shown: str, name: str, known: Mapping[str, Key], stage: str | None = None) -> str:
    """Word the message for an unknown key: the nearest one, its new name, or the stages that have it."""
    if stage and (of := [s for s in STAGES if name in list_keys(s)]):
        return (
            f"'{shown}' is a key of the stages {', '.join(of)}, not of {stage}: leave it out (--set {name}=)"
        )
    if name in _FORMER and stage:
        return f"unknown key '{shown}': it is now {_FORMER[name]}"
    near = find_nearest(name, known)
    few = len(known) <= len(_OURS)
    other = f"known keys: {', '.join(known)}" if few else "not a field of TRL's or of preceptor's"
    return f"unknown key '{shown}': " + (f"did you mean '{near}'?" if near else other)


def _check_best(path: Path, stage: str, named: Any) -> None:
    """RecipeError for a figure that the stage's trainer lacks; TRL finds out after the first epoch."""
    name = str(named or "loss").removeprefix("eval_")
    known = STAGES[stage].figures.known
    if name not in known:
        near = find_nearest(name, known)
        hint = f"did you mean 'eval_{near}'?" if near else f"there are {', '.join(known)}"
        raise RecipeError(f"{path}: 'metric_for_best_model': stage {stage} has no figure '{named}': {hint}")
