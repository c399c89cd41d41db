"""Files of keys and values with named variants, and overrides on the command line: --set key=value.

variants: {tiny: {lora_r: 4}}       --variant tiny -> {"lora_r": 4}
lora_r=8 -> ("lora_r", 8)        max_length=null -> ("max_length", None)        loss_type= -> left out
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import RecipeError
from ..nearest import find_nearest
from .yaml_text import Place
from .yaml_values import parse_yaml

LEFT_OUT = object()
"""The value of a key to leave out, as if the file did not name it."""


def read_variants(path: Path, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the variants of a file, by name.

    Raises RecipeError if `variants` is not a mapping of names to keys and values.
    """
    variants = content.get("variants") or {}
    if not isinstance(variants, dict) or not all(isinstance(values, dict) for values in variants.values()):
        raise RecipeError(f"{path}: 'variants': expected names, each with keys and values")
    return variants


def choose_variant(path: Path, variants: Mapping[str, dict[str, Any]], name: str | None) -> dict[str, Any]:
    """Choose the values of a variant; {} for None.

    Raises RecipeError if the file has no variant of that name.
    """
    if name is not None and name not in variants:
        raise RecipeError(f"{path}: has no variant '{name}'; its variants: {', '.join(variants) or 'none'}")
    return {} if name is None else variants[name]


def parse_assignment(text: str, example: str) -> tuple[str, Any]:
    """Parse KEY=VALUE, the value as YAML; LEFT_OUT if the value is empty.

    `example` is for the message. Raises RecipeError if the text has another form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise RecipeError(f"--set {text}: expected key=value, such as --set {example}")
    if not value.strip():
        return name.strip(), LEFT_OUT
    try:
        return name.strip(), parse_yaml(value, "")[1]
    except RecipeError as error:
        why = str(error).rpartition(": ")[2]
        raise RecipeError(f"--set {text[:200]}: the value is not YAML: {why}") from error


def merge_settings(where: object, values: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the values of a file with those given on the command line (`told`), which win.

    Raises RecipeError if a key that is to be left out is not in the file.
    """
    for name, value in told.items():
        if value is LEFT_OUT and name not in values:
            near = find_nearest(name, values)
            hint = f": did you mean '{near}'?" if near else ""
            raise RecipeError(f"{where}: --set {name}= leaves out a key that is not there{hint}")
    return {name: value for name, value in {**values, **told}.items() if value is not LEFT_OUT}


def select_lines(
    lines: Mapping[Place, int], variant: str | None, given: Mapping[str, Any]
) -> dict[Place, int]:
    """Select the lines of merged settings: a variant's keys stand where it has them, `given` ones nowhere."""
    ours = {at[2:]: line for at, line in lines.items() if at[:2] == ("env", "preceptor") and len(at) > 2}
    every = {**lines, **ours}
    chosen = {at[2:]: line for at, line in every.items() if at[:2] == ("variants", variant) and len(at) > 2}
    replaced = {at[0] for at in chosen}
    kept = {at: line for at, line in every.items() if at[0] not in replaced}
    return {at: line for at, line in (kept | chosen).items() if at[0] not in given}
