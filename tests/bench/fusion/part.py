"""One part of the bench: a table of what was found beside what was asked."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..__main__ import cpu_model

Line = tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """A part's table. `setting` says on what data, with n and seeds, and what an interval is."""

    title: str
    setting: str
    columns: Line
    lines: Sequence[Line]
    drawings: dict[str, str] = field(
        default_factory=dict
    )  # SVG by file name, for images/ beside the document


Measure = Callable[[bool], Found]  # True: as small as will run, to try the script


def markdown(name: str, found: Found, bench: str = "bench-fusion") -> str:
    """The table between the part's marks."""
    rows = [found.columns, tuple("---" for _ in found.columns), *found.lines]
    begin, end = marks(name, bench)
    return "\n".join(
        [
            begin,
            f"`make {bench} PARTS={name}` on {datetime.now(UTC):%Y-%m-%d}: {cpu_model()}, "
            f"Python {platform.python_version()}. {found.setting}",
            "",
            *(f"| {' | '.join(row)} |" for row in rows),
            end,
        ]
    )


def marks(name: str, bench: str = "bench-fusion") -> tuple[str, str]:
    """What stands before and after a part's table."""
    return f"<!-- {bench} {name}: begin -->", f"<!-- {bench} {name}: end -->"


def written_into(text: str, name: str, found: Found, bench: str = "bench-fusion") -> str:
    """`text` with the part's table between its marks; ValueError where it has none."""
    begin, end = marks(name, bench)
    before, mark, rest = text.partition(begin)
    _, closing, after = rest.partition(end)
    if not (mark and closing):
        raise ValueError(f"no line '{begin}' with '{end}' after it")
    return f"{before}{markdown(name, found, bench)}{after}"
