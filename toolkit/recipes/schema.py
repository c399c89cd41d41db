"""JSON schemas of the files that users write, for editors; derived from what the files are checked by.

# yaml-language-server: $schema=dataset.schema.json
name: my-dataset
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from pydantic import BaseModel

from ...annotation.rubrics.file import RubricEntry
from ...schemas.errors import RecipeError
from ...schemas.recipe import Recipe
from ...schemas.support.nearest import suggest
from ...schemas.support.settings_files.kinds import FILE_KINDS
from ...training.config import OURS
from ...training.keys import Key, describe_type, list_keys
from ...training.stages.registry import STAGES
from ..dataset.gates.run import list_gates
from ..evaluation.config import EvaluationSettings
from ..evaluation.metrics.registry import METRICS
from ..practice.exercises.recipe import Exercises

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def make_schema(kind: str = "dataset") -> Schema:
    """Make the JSON schema of a kind of file: dataset, training, evaluation, exercises or rubric.

    Raises RecipeError for another kind, and TrainingError if TRL, which has the keys of training, is not
    installed.
    """
    makers: dict[str, Callable[[], Schema]] = {
        "dataset": _make_dataset,
        "training": _make_training,
        "evaluation": _make_evaluation,
        "exercises": partial(_inline, Exercises),
        "rubric": partial(_inline, RubricEntry),
    }
    if kind not in makers:
        raise RecipeError(f"no kind of file '{kind}': {suggest(kind, makers, 'known kinds')}")
    schema = makers[kind]()
    title = f"Preceptor: {FILE_KINDS[kind].title}"
    return {"$schema": DRAFT, **schema, "title": title}


def _make_dataset() -> Schema:
    schema = _inline(Recipe)
    sections = {gate.name: _inline(gate.settings) for gate in list_gates() if gate.settings}
    gates = schema["properties"]["gates"]
    schema["properties"]["gates"] = {
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
        "description": gates["description"],
    }
    return schema


def _make_evaluation() -> Schema:
    schema = _inline(EvaluationSettings)
    metrics = schema["properties"]["metrics"]
    metrics["items"] = {"type": "string", "enum": list(METRICS)}
    schema["properties"]["metrics"] = {
        **{key: value for key, value in metrics.items() if key not in {"type", "items", "minItems"}},
        "anyOf": [{key: metrics[key] for key in ("type", "items", "minItems")}, metrics["items"]],
    }
    return _add_variants(schema)


def _make_training() -> Schema:
    keys: dict[str, Key] = {}
    for stage in STAGES:
        keys |= list_keys(stage)
    own = {name: describe_type(key) | {"description": key.meaning} for name, key in OURS.items()}
    own["stage"]["enum"] = list(STAGES)
    own.pop("variants")
    trained = {name: describe_type(key) for name, key in sorted(keys.items())}
    schema = _add_variants(
        {
            "type": "object",
            "properties": {**trained, **own, "variants": {"description": OURS["variants"].meaning}},
            "additionalProperties": False,
        }
    )
    properties = schema["properties"]
    ours = {name: properties[name] for name in (*own, "variants")}
    env = {"preceptor": {"type": "object", "properties": ours, "additionalProperties": False}}
    properties["env"] = {
        "type": "object",
        "description": "Environment variables of the run, and Preceptor's own keys under preceptor.",
        "properties": env,
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    }
    return schema


def _add_variants(schema: Schema) -> Schema:
    """Let each variant have the keys of the file."""
    inside = {name: one for name, one in schema["properties"].items() if name != "variants"}
    schema["properties"]["variants"] = {
        "type": "object",
        "description": schema["properties"]["variants"]["description"],
        "additionalProperties": {"type": "object", "properties": inside, "additionalProperties": False},
    }
    return schema


@cache
def _read(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


def _inline(model: type[BaseModel]) -> Schema:
    """Derive a model's schema without references, so that it can be put into another one."""
    schema = _read(model)
    shared = schema.get("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            beside = {key: value for key, value in part.items() if key != "$ref"}
            return resolve(shared[part["$ref"].rpartition("/")[2]]) | resolve(beside)
        return {
            key: resolve(value)
            for key, value in part.items()
            if key != "$defs" and not (key == "title" and isinstance(value, str))
        }

    resolved: Schema = resolve(schema)
    return resolved
