"""Read a roster: the names of people, to be found in learners' texts.

    Anna Kowalska               name,group                first_name;last_name
    Ben                         Anna Kowalska,7a          Anna;Kowalska

One name per line, or a table with a column name, first_name or last_name, whose every cell is a name.
"""

import csv
from pathlib import Path

from ...schemas.errors import PrivacyError

_COLUMNS = ("name", "first_name", "last_name")


def read_roster(path: Path) -> list[str]:
    """Read the names, each once, in order. Raises PrivacyError if none, or one is a single letter."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise PrivacyError(f"{path}: {said}; expected a text file with one name per line") from error
    names = _table(lines) if lines else []
    if names is None:
        if path.suffix.lower() in (".csv", ".tsv"):
            raise PrivacyError(f"{path}: has no column {', '.join(_COLUMNS)}; its first line is '{lines[0]}'")
        names = list(enumerate(lines, 1))
    found = {" ".join(name.split()): line for line, name in names if name.strip()}
    for name, line in found.items():
        if len(name) < 2:
            raise PrivacyError(
                f"{path}:{line}: '{name}' is one letter, which stands in every text; take it out"
            )
    if not found:
        raise PrivacyError(f"{path}: holds no names; expected one per line")
    return list(found)


def _table(lines: list[str]) -> list[tuple[int, str]] | None:
    """Read line and name of every cell under our columns; None if the first line names none of them."""
    separator = next((mark for mark in "\t;" if mark in lines[0]), ",")
    reader = csv.reader(lines, delimiter=separator)
    header = [cell.strip().lower() for cell in next(reader)]
    ours = [place for place, name in enumerate(header) if name in _COLUMNS]
    if not ours:
        return None
    return [(reader.line_num, row[place]) for row in reader for place in ours if place < len(row)]
