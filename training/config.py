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

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas.errors import RecipeError
from ..schemas.support.nearest import find_nearest, suggest
from ..schemas.support.settings_files import choose_variant, parse_assignment, read_variants, select_lines
from ..schemas.support.settings_files import merge_settings as merge_values
from ..schemas.support.settings_files.faults import locate
from ..schemas.support.settings_files.kinds import expect_kind
from ..schemas.support.settings_files.yaml_text import Place, SettingsFile, read_settings
from .keys import Key, convert_value, list_keys
from .stages.registry import STAGES
from .trainer.environment import ALLOWED
from .trainer.permissions import find_unsafe

# Measured with a small model on JFLEG (docs/training.md): a run that lost 21 % of the chosen log-probability
# wrote corrections 9 GLEU worse than before; runs with an added SFT loss, or SFT alone, gained some.
CHOSEN_FALL = 0.1

OURS = {
    "stage": Key("str", "preceptor", "Stage of training, which selects the trainer."),
    "dataset_revision": Key("str | None", "preceptor", "Commit of a dataset on the Hub."),
    "variants": Key("dict[str, Any]", "preceptor", "Named sets of other values, chosen by --variant."),
    "chosen_fall": Key(
        "float",
        "preceptor",
        "How much of their log-probability chosen completions may lose before a warning, as a share of the "
        f"reference model's; {CHOSEN_FALL} where it is left out.",
    ),
    "keep_checkpoints": Key(
        "bool", "preceptor", "Keep the run's checkpoints in the output; false where it is left out."
    ),
    "allow": Key(
        "list[str]",
        "preceptor",
        "Defects of rows that only warn: dead_pairs, empty_completions, one_label.",
    ),
}
"""Keys of ours, which TRL does not know."""
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
    "resume_from_checkpoint": "a run that was stopped goes on when its command is given again: leave it out",
}
_NAME = "a training recipe, such as recipes/gec/sft.yaml"
_NEEDED = {
    "model_name_or_path": "a model, as a folder or on the Hub",
    "dataset_name": "a folder that preceptor build wrote, or a dataset on the Hub",
}
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


def read_config(
    path: Path, sets: Sequence[str] = (), variant: str | None = None, *, trusting_code: bool = False
) -> TrainingConfig:
    """Read and check a training recipe.

    `variant` names one of the recipe's variants; its values replace the recipe's. `sets` are texts key=value
    and replace both; key= leaves the key out. `trusting_code`: code in the model's folder may run.
    RecipeError names the file, the key and the nearest known key.
    """
    file = read_settings(path, _NAME, "learning_rate: 1.0e-6")
    expect_kind(file, "training", _NAME)
    faults: dict[str, None] = {}  # those of the file first: variants repeat them
    environment, content = _split(file, faults)
    variants = read_variants(path, content)
    content.pop("variants", None)
    given = dict(parse_assignment(one, "learning_rate=1e-5") for one in sets)
    chosen = choose_variant(path, variants, variant)
    merged = merge_values(path, content | chosen, given)
    lines = select_lines(file.lines, variant, given)
    stage = _stage(path, merged, lines, faults)
    checked = _check(path, merged, stage, lines, faults)
    _refuse_unsafe(path, merged, given, trusting_code, lines, faults)
    for name, values in variants.items():  # those that are not asked for too
        if name != variant:
            other, places = content | values, select_lines(file.lines, name, {})
            _check(path, other, _stage(path, other, places, faults), places, faults, (name, values))
            _refuse_unsafe(path, values, {}, trusting_code, places, faults)
    ours = {name: checked.pop(name) for name in OURS if name in checked}
    ours.pop("stage", None)
    ours["allow"] = tuple(ours.get("allow", ()))
    if ours.get("chosen_fall", CHOSEN_FALL) <= 0:
        where = locate(path, ("chosen_fall",), lines)
        faults[f"{where}: 'chosen_fall': should be above 0, such as {CHOSEN_FALL}"] = None
    if fault := STAGES[stage].find_fault(checked):
        faults[f"{path}: {fault}"] = None
    checked |= deepcopy(dict(STAGES[stage].settles))
    checked |= {"trust_remote_code": True} if trusting_code else {}
    if fault := _find_fault_of_best(stage, checked.get("metric_for_best_model")):
        faults[f"{locate(path, ('metric_for_best_model',), lines)}: {fault}"] = None
    for name, what in _NEEDED.items():
        if not merged.get(name) and not find_nearest(name, merged.keys() - list_keys(stage).keys()):
            faults[f"{path}: '{name}' is missing; name {what}"] = None
    if faults:
        raise RecipeError("\n".join(faults))
    return TrainingConfig(path, file.text, stage, checked, environment, variant, tuple(sets), **ours)


def _split(file: SettingsFile, faults: dict[str, None]) -> tuple[dict[str, str], dict[str, Any]]:
    """Split off the environment variables; our keys under env join the others."""
    content = dict(file.content)
    environment = content.pop("env", None) or {}
    if not isinstance(environment, dict):
        raise RecipeError(f"{file.locate(('env',))}: 'env': expected names and values")
    ours = environment.pop("preceptor", None) or {}
    if not isinstance(ours, dict):
        where = file.locate(("env", "preceptor"))
        raise RecipeError(f"{where}: 'env.preceptor': expected keys and values, such as 'stage: dpo'")
    for name in list(ours):
        where = file.locate(("env", "preceptor", name))
        if name not in OURS:
            faults[f"{where}: {_unknown(f'env.preceptor.{name}', name, OURS)}"] = None
            del ours[name]
        elif name in content:
            faults[f"{where}: '{name}' stands at the top and under env.preceptor; leave one out"] = None
    for name in environment:
        if str(name).upper().endswith(_SECRET):
            where, told = (
                file.locate(("env", name)),
                "the recipe is copied into every output; set it in your shell",
            )
            faults[f"{where}: 'env.{name}': {told}"] = None
        elif name not in ALLOWED:
            told = (
                "a recipe may not set it, since somebody else's recipe could run other programs by it; "
                f"set it in your shell. It may set {', '.join(sorted(ALLOWED))}"
            )
            faults[f"{file.locate(('env', name))}: 'env.{name}': {told}"] = None
    return {str(name): str(value) for name, value in environment.items()}, content | ours


def _stage(
    path: Path, values: Mapping[str, Any], lines: Mapping[Place, int], faults: Mapping[str, None]
) -> str:
    """Find the stage, by which all keys are checked; RecipeError with the faults so far if it is none."""
    named = values.get("stage")
    for stage in STAGES:
        if named == stage:
            return stage
    where = locate(path, ("stage",), lines)
    if named is None and "stage" not in values:
        near = find_nearest("stage", values)
        hint = f"did you mean '{near}' to be it?" if near else "add it"
        told = f"{path}: 'stage' is missing; {hint} (one of {', '.join(STAGES)})"
    else:
        told = f"{where}: 'stage': no stage '{named}': {suggest(str(named), tuple(STAGES), 'known stages')}"
    raise RecipeError("\n".join([*faults, told]))


def _check(
    path: Path,
    values: Mapping[str, Any],
    stage: str,
    lines: Mapping[Place, int],
    faults: dict[str, None],
    variant: tuple[str, Collection[str]] = ("", ()),
) -> dict[str, Any]:
    """Convert values to the types of their keys; what is wrong is added to `faults`, once, with its line.

    `variant`: the name of a variant and its keys, whose faults name it.
    """
    known = list_keys(stage) | OURS
    checked: dict[str, Any] = {}
    for name, value in values.items():
        fault = None
        if name in _REFUSED and name in known and value:
            fault = f"'{name}': {_REFUSED[name]}"
        elif name not in known or (name == "variants"):
            fault = _unknown(name, name, known, stage)
        else:
            try:
                checked[name] = convert_value(known[name], value)
            except ValueError as error:
                fault = f"'{name}': {error}"
        if fault:
            of = f"variant {variant[0]}: " if name in variant[1] else ""
            faults[f"{locate(path, (name,), lines)}: {of}{fault}"] = None
    return checked


def _refuse_unsafe(
    path: Path,
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    trusting_code: bool,
    lines: Mapping[Place, int],
    faults: dict[str, None],
) -> None:
    """Refuse values that would run code, or use files and places of the recipe's author."""
    for name, value in values.items():
        if fault := find_unsafe(name, value, name in given, trusting_code):
            faults[f"{locate(path, (name,), lines)}: '{name}': {fault}"] = None


def _unknown(shown: str, name: str, known: Mapping[str, Key], stage: str | None = None) -> str:
    """Word the message for an unknown key: the nearest one, its new name, or the stages that have it."""
    if stage and (of := [s for s in STAGES if name in list_keys(s)]):
        return (
            f"'{shown}' is a key of the stages {', '.join(of)}, not of {stage}: leave it out (--set {name}=)"
        )
    if name in _FORMER and stage:
        return f"unknown key '{shown}': it is now {_FORMER[name]}"
    near = find_nearest(name, known)
    few = len(known) <= len(OURS)
    other = f"known keys: {', '.join(known)}" if few else "not a field of TRL's or of preceptor's"
    return f"unknown key '{shown}': " + (f"did you mean '{near}'?" if near else other)


def _find_fault_of_best(stage: str, named: Any) -> str | None:
    """Find a figure that the stage's trainer lacks; TRL finds out after the first epoch."""
    name = str(named or "loss").removeprefix("eval_")
    known = STAGES[stage].figures.known
    if name in known:
        return None
    near = find_nearest(name, known)
    hint = f"did you mean 'eval_{near}'?" if near else f"there are {', '.join(known)}"
    return f"'metric_for_best_model': stage {stage} has no figure '{named}': {hint}"
