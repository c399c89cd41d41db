"""Read a class list: a CSV of names and first languages.

    name,first_language
    Anna K.,uk
    Ben,de

The delimiter may be a semicolon or a tab. A name that is there twice is refused: two links for one name could
not be told apart. Other columns are refused too: what is not used should not be taken for used, and a class
list should hold no more than it must.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from .....schemas.errors import StudyError

_COLUMNS = ("name", "first_language", "")  # without a name: the end of a line that closes with a comma
_FORM = "expected columns name and first_language, such as: name,first_language"


@dataclass(frozen=True)
class Listed:
    """A learner of a class list."""

    name: str
    first_language: str | None


def read_class_list(path: Path) -> list[Listed]:
    """Read the learners of a class list, in order.

    Raises StudyError, with line numbers, for a file that is no such list, an empty name, or one that is there
    twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise StudyError(f"{path}: {said}; {_FORM}") from error
    if not lines:
        raise StudyError(f"{path}: is empty; {_FORM}")
    delimiter = next((mark for mark in "\t;" if mark in lines[0]), ",")
    reader = csv.DictReader(lines, delimiter=delimiter)
    header = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    if "name" not in header:
        raise StudyError(f"{path}:1: {_FORM}; found '{lines[0][:80]}'")
    if other := [name for name in header if name not in _COLUMNS]:
        near = "; first_language is what it may mean" if any("lang" in name for name in other) else ""
        raise StudyError(
            f"{path}:1: column '{other[0]}' is not read{near}; take it out, or rename it; {_FORM}"
        )
    found: dict[str, tuple[int, Listed]] = {}
    for row in reader:
        name = " ".join((row[header["name"]] or "").split())
        language = (row.get(header.get("first_language", ""), "") or "").strip() or None
        if not name:
            raise StudyError(f"{path}:{reader.line_num}: the name is empty; fill it in, or take the line out")
        if (before := found.get(name.casefold())) is not None:
            raise StudyError(
                f"{path}:{reader.line_num}: '{name}' is there twice (first in line {before[0]}); tell the "
                "two apart, such as by a letter, or take one out"
            )
        found[name.casefold()] = (reader.line_num, Listed(name, language))
    if not found:
        raise StudyError(f"{path}: names nobody; {_FORM}")
    return [listed for _, listed in found.values()]
