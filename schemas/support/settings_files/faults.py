"""Explain the faults of a settings file in a user's words, all at once, each with its line.

recipe.yaml:3: unknown key 'pairs.polcy': did you mean 'policy'?
recipe.yaml:4: 'pairs.min_confidence': should be greater than or equal to 0.5, not 0.2
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ..nearest import find_nearest, suggest
from .yaml_text import Place

_NAMES = "use lower-case letters, digits, and - . _ between them"
_TEXT = {"string_type", "string_unicode"}
_TOO_FEW = {"too_short"}  # of a list, a tuple or a mapping
_SECTION = {"model_type", "model_attributes_type", "dict_type", "dataclass_type"}


def explain_faults(error: ValidationError, model: type[BaseModel]) -> str:
    """Explain all faults in values of the model's keys, in one line."""
    return "; ".join(fault for _, fault in list_faults(error, model))


def explain_by_line(
    where: object,
    error: ValidationError,
    model: type[BaseModel],
    lines: Mapping[Place, int],
    variant: tuple[str, Collection[str]] = ("", ()),
) -> str:
    """Explain all faults of a file, a line each, with the file's name (`where`) and the place's line.

    `variant`: the name of a variant and its keys, whose faults name it.
    """
    name, keys = variant
    return "\n".join(
        f"{locate(where, at, lines)}: {f'variant {name}: ' if at[:1] and at[0] in keys else ''}{fault}"
        for at, fault in list_faults(error, model)
    )


def locate(where: object, at: Place, lines: Mapping[Place, int]) -> str:
    """Name file and line of a place, or of the nearest one around it: "recipe.yaml:3"."""
    line = next((lines[at[:n]] for n in range(len(at), 0, -1) if at[:n] in lines), None)
    return f"{where}:{line}" if line else f"{where}"


def list_faults(error: ValidationError, model: type[BaseModel]) -> list[tuple[Place, str]]:
    """List all faults with their places; not that a key is missing where it is only misspelt."""
    errors = error.errors()
    unknown = [one["loc"] for one in errors if one["type"] == "extra_forbidden"]
    meant = {
        (*at[:-1], find_nearest(str(at[-1]), _section_at(at[:-1], model).model_fields)) for at in unknown
    }
    return [
        (one["loc"], _explain(dict(one), model))
        for one in errors
        if one["type"] != "missing" or one["loc"] not in meant
    ]


def _explain(error: dict[str, Any], model: type[BaseModel]) -> str:
    """Explain one validation error."""
    where = ".".join(str(part) for part in error["loc"])
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = _section_at(error["loc"][:-1], model).model_fields
        return f"unknown key '{where}': {suggest(str(error['loc'][-1]), known, 'known keys')}"
    if kind == "missing":
        return f"'{where}' is missing; add it"
    message = error["msg"].removeprefix("Value error, ")
    if kind == "literal_error":
        values = re.findall(r"'((?:[^'\\]|\\.)*)'", error["ctx"]["expected"])
        message = f"no value '{given}': {suggest(str(given), values, 'known values')}"
    elif kind == "string_pattern_mismatch":
        message = f"'{given}' is no name: {_NAMES}"
    elif kind in _TEXT and given is not None and not isinstance(given, dict | list):
        message = f"YAML reads this as {given!r}; put it in quotes"
    elif kind in _SECTION:
        message = f"expected keys and values, not {_name(given)}"
    elif kind in _TOO_FEW:
        message = f"name at least {error['ctx']['min_length']}"
    elif message.startswith("Input "):
        message = f"{message.removeprefix('Input ')}, not {_name(given)}"
    return f"'{where}': {message}" if where else message


def _name(given: Any) -> str:
    if isinstance(given, list):
        return "a list"
    if isinstance(given, dict):
        return "keys and values"
    return "nothing" if given is None else repr(given)


def _section_at(path: Place, section: type[BaseModel]) -> type[BaseModel]:
    """The section of a file that a place is in, inside lists and optional sections too."""
    for part in path:
        if isinstance(part, str):
            kind = section.model_fields[part].annotation
            inside = [kind, *get_args(kind)]
            section = next(k for k in inside if isinstance(k, type) and issubclass(k, BaseModel))
    return section
