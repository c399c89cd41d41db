"""Keys that a training recipe may have: the fields of the installed TRL's own dataclasses.

keys_of("dpo") -> {"learning_rate": Key("float", "DPOConfig"), "lora_r": Key("int", "ModelConfig"), …}

They are read from the source files that are installed, without importing them (that takes seconds, and a
misspelt key should be answered at once).
"""

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from ..schemas.errors import TrainingError

Stage = Literal["sft", "dpo", "ipo", "kto", "soft-dpo"]
STAGES: tuple[Stage, ...] = get_args(Stage)

TRAINER_CONFIG = {
    "sft": "SFTConfig",
    "dpo": "DPOConfig",
    "ipo": "DPOConfig",
    "soft-dpo": "DPOConfig",
    "kto": "KTOConfig",
}
SHARED = ("ModelConfig", "ScriptArguments")

_FILES = {
    "SFTConfig": ("trl", "trainer/sft_config.py"),
    "DPOConfig": ("trl", "trainer/dpo_config.py"),
    "KTOConfig": ("trl", "trainer/kto_config.py"),
    "_BaseConfig": ("trl", "trainer/base_config.py"),
    "ModelConfig": ("trl", "trainer/model_config.py"),
    "ScriptArguments": ("trl", "scripts/utils.py"),
    "TrainingArguments": ("transformers", "training_args.py"),
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
    """A key: its type as the source has it ("float | None") and the dataclass it is a field of."""

    type: str
    owner: str


@cache
def keys_of(stage: Stage) -> dict[str, Key]:
    """Keys of a stage by name; TrainingError where TRL is not installed."""
    found: dict[str, Key] = {}
    for owner in (*SHARED, TRAINER_CONFIG[stage]):
        found |= {name: Key(type, owner) for name, type in _fields(owner).items()}
    return found


def as_type(key: Key, value: Any) -> Any:
    """The value as the key's type ("1e-6" -> 1e-6 for a float); ValueError says what it should be.

    Types of TRL's own (enums and the like) are left for TRL to check.
    """
    parts = [part.strip() for part in key.type.split(" | ")]
    if value is False and "Strategy" in key.type:  # what YAML makes of a bare no
        return "no"
    if any(part not in _SCALARS for part in parts):
        return value
    if isinstance(value, str) and "str" not in parts and any(p.startswith("list") for p in parts):
        value = [value]
    union: Any = None
    for number, part in enumerate(parts):
        union = _SCALARS[part] if number == 0 else union | _SCALARS[part]
    try:
        return TypeAdapter(union).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"should be {' or '.join(parts).replace('None', 'null')}, not {value!r}") from error


@cache
def _fields(name: str) -> dict[str, str]:
    """Fields of a dataclass with the inherited ones, and their types as written."""
    package, place = _FILES[name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise TrainingError(f"training needs {package}: pip install 'preceptor[train]'")
    file = Path(spec.submodule_search_locations[0]) / place
    tree = ast.parse(file.read_text(encoding="utf-8"))
    made = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    found: dict[str, str] = {}
    for base in made.bases:
        if isinstance(base, ast.Name) and base.id in _FILES:
            found |= _fields(base.id)
    for node in made.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_field = isinstance(node.value, ast.Call) or node.target.id in found
            if is_field and not node.target.id.startswith("_"):
                found[node.target.id] = ast.unparse(node.annotation)
    return found
