"""JSON Lines that grow during a run, and are read again after a kill.

add_lines(path, [{"request": "1f…", "answer": …}])      # on the disk when it returns
read_json_lines(path)                                        # skips a last line that was cut off
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...errors import EvaluationError


def add_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to the end of a file, which is made if missing. Dates become ISO text."""
    text = "".join(json.dumps(row, default=str) + "\n" for row in rows)
    with path.open("ab+") as stream:
        if stream.tell() and not _ends_a_line(stream.fileno()):
            text = "\n" + text
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())


def _ends_a_line(file: int) -> bool:
    return os.pread(file, 1, os.fstat(file).st_size - 1) == b"\n"


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a file; [] if there is no file.

    A row that was cut off by a kill is skipped. Raises EvaluationError if the file holds anything else.
    """
    if not path.is_file():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)  # our own file, which may hold half a character of a model's
        except (ValueError, RecursionError):
            if line and not line.startswith(b"{"):
                raise EvaluationError(f"{path}: not the JSON Lines of an evaluation; move it away") from None
            continue
        if not isinstance(row, dict):
            raise EvaluationError(f"{path}: not the JSON Lines of an evaluation; move it away")
        rows.append(row)
    return rows
