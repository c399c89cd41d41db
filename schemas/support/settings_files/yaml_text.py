"""Read YAML files of keys and values, each key with its line; one reader for all files that users write.

name: gec            -> content {"name": "gec", "pairs": {"band": [0.6, 0.9]}}
pairs:                  lines   {("name",): 1, ("pairs",): 2, ("pairs", "band"): 3, …}
  band: [0.6, 0.9]
"""

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...errors import RecipeError
from ..nearest import find_nearest
from .yaml_values import parse_yaml

Place = tuple[str | int, ...]
"""Keys and numbers of list items (from 0), from the top of a file."""

ENDINGS = {".yaml", ".yml"}
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class SettingsFile:
    """A YAML file of keys and values."""

    path: Path
    text: str
    content: dict[str, Any]
    lines: Mapping[Place, int]
    """Line (from 1) of every key and list item."""

    def find_line(self, place: Place) -> int | None:
        """Find the line of a place, or of the nearest one around it; None if the file has neither."""
        return next(
            (self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines), None
        )

    def locate(self, place: Place) -> str:
        """Name file and line of a place: "gec.yaml:3"."""
        line = self.find_line(place)
        return f"{self.path}:{line}" if line else f"{self.path}"


def read_settings(path: Path, name: str, example: str) -> SettingsFile:
    """Read a YAML file of keys and values.

    `name` and `example` are for messages: the kind of file ("a training recipe, such as …") and a key with
    its value. Raises RecipeError with file, line and remedy if the file cannot be read, is not such YAML, or
    has a key twice.
    """
    text = read_text(path, name)
    root, content = parse_yaml(text, path)
    if content is None:
        raise RecipeError(f"{path}: is empty; expected keys and values, such as '{example}'")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "one value"
        raise RecipeError(f"{path}: is {kind}; expected keys and values, such as '{example}'")
    faults: list[tuple[int, str]] = []
    lines = dict(_walk(root, (), (), faults))
    faults += [
        (lines.get((str(key),), 1), f"'{key}' is no name of a key; put it in quotes")
        for key in content
        if not isinstance(key, str) and not isinstance(key, bool | None)
    ]
    if faults:
        raise RecipeError("\n".join(f"{path}:{line}: {fault}" for line, fault in sorted(faults)))
    return SettingsFile(path, text, content, lines)


def read_text(path: Path, name: str) -> str:
    """Read a file's text: UTF-8, or UTF-16 with its mark.

    Raises RecipeError if it cannot be read; `name` is the kind of file in the message.
    """
    try:
        data = path.read_bytes()
    except IsADirectoryError as error:
        inside = _list_beside(path)
        listed = f"one of its files: {', '.join(inside)}" if inside else name
        raise RecipeError(f"{path}: is a folder; name {listed}") from error
    except FileNotFoundError as error:
        near = find_nearest(path.name, _list_beside(path.parent))
        hint = f"did you mean '{path.parent / near}'?" if near else f"name {name}"
        raise RecipeError(f"{path}: {error.strerror}; {hint}") from error
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}; name {name}") from error
    encoding = next((one for mark, one in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecipeError(
            f"{path}:{line}: is not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8, or convert it: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {path} > utf8.yaml"
        ) from error


def _list_beside(folder: Path) -> list[str]:
    try:
        return sorted(one.name for one in folder.iterdir() if one.suffix in ENDINGS)
    except OSError:
        return []


def _walk(
    node: yaml.Node | None, at: Place, above: tuple[int, ...], faults: list[tuple[int, str]]
) -> Iterator[tuple[Place, int]]:
    """List places and lines below a node; `faults` gets keys that stand twice or are no texts."""
    children: Iterable[tuple[str | int, int, yaml.Node]] = ()
    if isinstance(node, yaml.MappingNode):
        children = list(_list_keys(node, faults))
    elif isinstance(node, yaml.SequenceNode):
        children = [(n, item.start_mark.line + 1, item) for n, item in enumerate(node.value)]
    for name, line, value in children:
        yield (*at, name), line
        if id(value) in (*above, id(node)):
            faults.append((line, "an alias (*) of what it stands in; write the value out"))
        elif node is not None and value.start_mark.index > node.start_mark.index:  # an alias stands elsewhere
            yield from _walk(value, (*at, name), (*above, id(node)), faults)


def _list_keys(node: yaml.MappingNode, faults: list[tuple[int, str]]) -> Iterator[tuple[str, int, yaml.Node]]:
    first: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if (key.tag, name) in first:
            faults.append((line, f"'{name}' stands twice, first in line {first[key.tag, name]}; leave one"))
        elif key.tag in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}:
            faults.append((line, f"'{name}': YAML reads this key as {_read_as(key)}; put it in quotes"))
        first.setdefault((key.tag, name), line)
        yield name, line, value


def _read_as(key: yaml.Node) -> str:
    return "nothing" if key.tag.endswith("null") else "true or false"
