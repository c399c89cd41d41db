"""Read and extend `sources.yaml`, the list of all sources of a project.

sources:                                 preceptor ingest --from sources.yaml
- source: texts
  format: prompts
  paths: [prompts.jsonl]
"""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ....schemas.errors import PreceptorError, RecipeError
from ....schemas.support.files import write_text
from ....schemas.support.settings_files.faults import explain_by_line, explain_faults
from ....schemas.support.settings_files.kinds import FILE_KINDS, find_kind
from ....schemas.support.settings_files.yaml_text import Place, SettingsFile, read_settings
from ...ingest.formats import FORMATS
from .entry import Entry, make_context

NAME = "a list of sources, such as sources.yaml (preceptor start writes it)"
HEAD = (
    "# preceptor ingest --from {name}\n# All sources of this project, in the order in which they are read.\n"
)
_LINE_ENDS = {"\x85", "\u2028", "\u2029"}  # that YAML knows beside the line feed


class Sources(BaseModel):
    """The sources of a project, in the order in which they are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: list[Entry] = Field(default=[], description="The sources, in the order of reading.")


def make_entry(where: str, **values: Any) -> Entry:
    """Make an entry of values. Raises RecipeError, after `where`, for values that cannot be."""
    try:
        return Entry.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain_faults(error, Entry)}") from error


def read_sources(path: Path) -> list[Entry]:
    """Read the entries of a file of sources; paths become those from the current folder.

    Raises RecipeError with all faults, a line each: file, line, key and the nearest right name.
    """
    return _parse(_read(path))


def _read(path: Path) -> SettingsFile:
    file = read_settings(path, NAME, "sources: [{source: texts, format: prompts, paths: [prompts.jsonl]}]")
    if kind := find_kind(file.content):
        other = FILE_KINDS[kind]
        raise RecipeError(f"{path}: is {other.title}, which {other.command} reads; name {NAME}")
    return file


def _parse(file: SettingsFile) -> list[Entry]:
    content = {name: [] if value is None else value for name, value in file.content.items()}
    try:
        entries = Sources.model_validate(content).sources
    except ValidationError as error:
        raise RecipeError(explain_by_line(file.path, error, Sources, file.lines)) from error
    faults = []
    counts = Counter(entry.source for entry in entries)
    for n, entry in enumerate(entries):
        at: Place = ("sources", n)
        if counts.pop(entry.source, 1) > 1:
            faults.append(f"{file.locate(at)}: source '{entry.source}' stands twice; give each its own name")
        faults += [
            f"{file.locate((*at, 'paths'))}: {path}: no such file or folder beside this file; check the path"
            for path in entry.paths
            if not (file.path.parent / path).exists()
        ]
        try:
            make_context(entry, FORMATS[entry.format])
        except PreceptorError as error:
            faults.append(f"{file.locate((*at, 'map'))}: {error}")
    if faults:
        raise RecipeError("\n".join(faults))
    folder = file.path.parent
    return [entry.model_copy(update={"paths": [str(folder / p) for p in entry.paths]}) for entry in entries]


def check_addition(path: Path, entry: Entry) -> bool:
    """Check that an entry can be added to a file of sources; False if it is there already, the same.

    Raises RecipeError if the file has other faults, or this source with other values.
    """
    if not path.exists():
        return True
    file = _read(path)
    ours = _describe(entry, path.parent)
    for n, old in enumerate(_parse(file)):
        if old.source == entry.source:
            if _describe(old, path.parent) == ours:
                return False
            raise RecipeError(
                f"{file.locate(('sources', n))}: has source '{entry.source}' already, read otherwise; edit "
                "it there, or give this one another --source"
            )
    _find_indent(file)
    return True


def add_entry(path: Path, entry: Entry) -> bool:
    """Add an entry at the end of a file of sources, which is made if there is none.

    The rest of the file stays as it is, comments too. Returns False if the entry is there already. Raises
    RecipeError as `check_addition` does.
    """
    if not check_addition(path, entry):
        return False
    indent, text = 0, HEAD.format(name=path.name) + "sources:\n"
    if path.exists():
        file = _read(path)
        indent, text = _find_indent(file), file.text
        if not file.content.get("sources"):
            text = text.rstrip().removesuffix("[]").rstrip() + "\n"
    lines = "".join(f"{' ' * indent}{line}\n" for line in _write_item(_describe(entry, path.parent)))
    write_text(path, f"{text}{'' if text.endswith(chr(10)) else chr(10)}{lines}", 0o600)
    return True


def _write_item(values: dict[str, Any]) -> list[str]:
    """Write an item of the list as lines of YAML; letters are written as they are, but for odd line ends."""
    for readable in (True, False):
        text = yaml.safe_dump([values], allow_unicode=readable, sort_keys=False, width=10**9)
        if not _LINE_ENDS & set(text):
            break
    return text.rstrip("\n").split("\n")


def _describe(entry: Entry, folder: Path) -> dict[str, Any]:
    """The entry's values as the file has them, with paths from its folder."""
    values = entry.model_dump(exclude_defaults=True)
    return values | {"paths": [os.path.relpath(path, folder) for path in entry.paths]}


def _find_indent(file: SettingsFile) -> int:
    """Find how far the items of the file's list are indented.

    Raises RecipeError if they are not in lines of their own at the end of the file.
    """
    root = yaml.compose(file.text, Loader=yaml.SafeLoader)
    last = root.value[-1][1] if root is not None else root
    empty = not file.content.get("sources")
    if last is None or (not empty and last.flow_style) or [*file.content][-1] != "sources":
        raise RecipeError(
            f"{file.path}: nothing can be added to it; write its sources at the end, each in lines of its "
            "own that begin with '- source:'"
        )
    return 0 if empty else int(last.start_mark.column)
