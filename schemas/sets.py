"""Values that the command line sets over those of a file: --set key=value.

lora_r=8 -> ("lora_r", 8)        max_length=null -> ("max_length", None)        loss_type= -> left out
"""

import difflib
from collections.abc import Mapping
from typing import Any

import yaml

from .errors import RecipeError

LEFT_OUT = object()
"""The value of a key that is to be left out, as if the file did not name it."""


def assignment(text: str, example: str) -> tuple[str, Any]:
    """A key and its value, read as YAML; LEFT_OUT where nothing follows. RecipeError, with the example."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise RecipeError(f"--set {text}: expected key=value, such as --set {example}")
    if not value.strip():
        return name.strip(), LEFT_OUT
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {text}: the value is not YAML") from error


def merged(where: object, values: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The values with those told over them; RecipeError where a key that is to be left out is not there."""
    for name, value in told.items():
        if value is LEFT_OUT and name not in values:
            near = difflib.get_close_matches(name, list(values), n=1)
            hint = f": did you mean '{near[0]}'?" if near else ""
            raise RecipeError(f"{where}: --set {name}= leaves out a key that is not there{hint}")
    return {name: value for name, value in {**values, **told}.items() if value is not LEFT_OUT}
