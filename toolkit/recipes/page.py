"""Write the documentation page of all keys, from the schemas; docs/formats/recipes.md holds it."""

import json
from collections.abc import Iterator
from typing import Any

from ...training.config import OURS
from .schema import Schema, make_schema

_INTRODUCTION = """# Every key of a recipe

Derived from what recipes are checked by; a test keeps the two equal. `preceptor recipe check FILE` names all
faults of a file at once. In an editor with a YAML language server, a schema completes keys and marks faults:

<!-- test: schema -->
```console
$ preceptor recipe schema dataset --out dataset.schema.json
$ preceptor recipe schema training --out training.schema.json
$ preceptor recipe schema evaluation --out evaluation.schema.json
```

```yaml
# yaml-language-server: $schema=dataset.schema.json
name: my-dataset
```
"""
_SECTIONS = (
    ("dataset", "Recipe of a dataset", "`preceptor build` and `preceptor outcomes` read it."),
    ("evaluation", "File of an evaluation", "`preceptor evaluate` reads it."),
    ("exercises", "Recipe of exercises", "`preceptor exercises build` reads it."),
    (
        "training",
        "Recipe of a training",
        "`preceptor train` reads it. All fields of TRL's and PEFT's own configuration are keys, those of "
        "[DPOConfig](https://huggingface.co/docs/trl/dpo_trainer#trl.DPOConfig) for the stage dpo; these are "
        "Preceptor's, at the top or under `env: preceptor:`.",
    ),
)


def write_page() -> str:
    """Write the page as Markdown: a table of keys, values, defaults and meanings for each kind of file."""
    return _INTRODUCTION + "".join(_write_section(*section) for section in _SECTIONS)


def _write_section(kind: str, title: str, read_by: str) -> str:
    schema = make_schema(kind)
    keys = OURS.keys() if kind == "training" else schema["properties"].keys()
    rows = [row for name in keys for row in _list_rows(name, schema["properties"][name], schema)]
    head = "| key | values | default | meaning |\n| --- | --- | --- | --- |\n"
    return f"\n## {title}\n\n{read_by}\n\n{head}" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _list_rows(name: str, one: Schema, around: Schema) -> Iterator[tuple[str, str, str, str]]:
    """List a key and, if it is a section or a list of sections, the keys in it."""
    default = "needed" if name.rpartition(".")[2] in around.get("required", ()) else _write_default(one)
    meaning = " ".join(one.get("description", "").split()).replace("|", "\\|")
    yield f"`{name}`", _describe(one), default, meaning
    for inner, prefix in ((_find_section(one), name), (_find_section(one.get("items", {})), f"{name}[]")):
        for key, value in inner.get("properties", {}).items():
            yield from _list_rows(f"{prefix}.{key}", value, inner)


def _find_section(one: Schema) -> Schema:
    """Find the schema of a section that may also be left out; {} if there is none."""
    return next((part for part in [one, *one.get("anyOf", ())] if "properties" in part), {})


def _write_default(one: Schema) -> str:
    if "default" not in one or _find_section(one):
        return ""
    return f"`{json.dumps(one['default'], ensure_ascii=False)}`"


def _describe(one: Schema) -> str:
    """Describe the values of a key in words."""
    if "anyOf" in one:
        if one["anyOf"][0].get("items") == one["anyOf"][-1]:
            return f"{_describe(one['anyOf'][0])}; or one of them"
        return " or ".join(dict.fromkeys(_describe(part) for part in one["anyOf"]))
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    kind = one.get("type")
    if kind == "array":
        if "prefixItems" in one:
            return f"list of {len(one['prefixItems'])}: {_describe(one['prefixItems'][0])}"
        return f"list of: {_describe(one.get('items', {}))}"
    words: dict[Any, str] = {
        "number": "number",
        "integer": "whole number",
        "string": "text",
        "boolean": "`true`, `false`",
        "null": "`null`",
        "object": "keys and values",
    }
    return words.get(kind, "any") + _describe_range(one)


def _describe_range(one: Schema) -> str:
    ends = (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    )
    return "".join(f" {word} {one[key]:g}" for key, word in ends if key in one)
