"""Keys that a training recipe may have: the fields of the installed TRL's own dataclasses.

list_keys("dpo") -> {"learning_rate": Key("float", "DPOConfig"), "lora_r": Key("int", "ModelConfig"), …}

They are read from the installed source files without importing them: an import takes seconds, and a
misspelt key should be reported at once.
"""

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..schemas.errors import TrainingError
from .stages.registry import STAGES

SHARED = ("ModelConfig", "ScriptArguments")

_MODULES = {
    "_BaseConfig": "trl.trainer.base_config",
    "ModelConfig": "trl.trainer.model_config",
    "ScriptArguments": "trl.scripts.utils",
    "TrainingArguments": "transformers.training_args",
    **{stage.config_name: stage.config.partition(":")[0] for stage in STAGES.values()},
}
_SCALARS: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "None": None,
    "dict": dict[str, Any],
    "dict[str, Any]": dict[str, Any],
    "dict[str, bool]": dict[str, bool],
    "list[str]": list[str],
    "list[float]": list[float],
}


@dataclass(frozen=True)
class Key:
    """A key: its type as the source writes it ("float | None"), the dataclass that has it as a field, and the
    meaning of one of ours.
    """

    type: str
    owner: str
    meaning: str = ""


@cache
def list_keys(stage: str) -> dict[str, Key]:
    """List the keys of a stage by name. TrainingError if TRL is not installed."""
    found: dict[str, Key] = {}
    for owner in (*SHARED, STAGES[stage].config_name):
        found |= {name: Key(type, owner) for name, type in _fields(owner).items()}
    return found


def describe_type(key: Key) -> dict[str, Any]:
    """Describe the values of a key as JSON Schema does; {} for values of TRL's own types."""
    union = _find_type(key)
    return {} if union is None else TypeAdapter(union).json_schema()


def convert_value(key: Key, value: Any) -> Any:
    """Convert a value to the key's type: "1e-6" -> 1e-6 for a float.

    Values of TRL's own types, such as enums, are returned as they are: TRL checks them. ValueError says what
    the value should be.
    """
    parts = [part.strip() for part in key.type.split(" | ")]
    if value is False and "Strategy" in key.type:  # what YAML makes of a bare no
        return "no"
    union = _find_type(key)
    if union is None:
        return value
    if isinstance(value, str) and "str" not in parts and any(p.startswith("list") for p in parts):
        value = [value]
    try:
        return TypeAdapter(union).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"should be {' or '.join(parts).replace('None', 'null')}, not {value!r}") from error


def _find_type(key: Key) -> Any:
    """Find the type of a key's values; None if it is one of TRL's own."""
    parts = [part.strip() for part in key.type.split(" | ")]
    if any(part not in _SCALARS for part in parts):
        return None
    union: Any = _SCALARS[parts[0]]
    for part in parts[1:]:
        union = union | _SCALARS[part]
    return union


@cache
def _fields(name: str) -> dict[str, str]:
    """Read the fields of a dataclass, inherited ones included, and their types as the source writes them."""
    package, _, module = _MODULES[name].partition(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise TrainingError(f"training needs {package}: pip install 'preceptor[train]'")
    file = Path(spec.submodule_search_locations[0]) / f"{module.replace('.', '/')}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    made = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    found: dict[str, str] = {}
    for base in made.bases:
        if isinstance(base, ast.Name) and base.id in _MODULES:
            found |= _fields(base.id)
    for node in made.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_field = isinstance(node.value, ast.Call) or node.target.id in found
            if is_field and not node.target.id.startswith("_"):
                found[node.target.id] = ast.unparse(node.annotation)
    return found
