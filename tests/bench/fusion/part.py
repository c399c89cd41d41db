"""One part of the bench: a table of what was found beside what was asked."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from preceptor.schemas.support.files import write_text
from preceptor.toolkit.cli.options import make_table, open_stderr, open_stdout

from ..__main__ import cpu_model, known
from ..inputs import ROOT

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


def make_command(parts: Mapping[str, Measure], meaning: str, bench: str = "bench-fusion") -> click.Command:
    """Make the command that measures parts, shows their tables, and writes each into a page when found."""

    @click.command(help=meaning)
    @click.argument("wanted", metavar="[PARTS]...", nargs=-1, callback=known("part", parts))
    @click.option("--quick", is_flag=True, help="As small as will run; nothing can be concluded from it.")
    @click.option(
        "--write",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Markdown file with each part's marks, between which its table goes.",
    )
    def main(wanted: tuple[str, ...], quick: bool, write: Path | None) -> None:
        names = list(dict.fromkeys(wanted or parts))
        if write:
            text = write.read_text(encoding="utf-8")
            for name in names:
                if not all(mark in text for mark in marks(name, bench)):
                    raise click.ClickException(
                        f"{write}: no place for {name}; add the lines {marks(name, bench)}"
                    )
        for name in names:
            open_stderr().print(f"{name} …")
            found = parts[name](quick)
            open_stdout().print(make_table(found.title, found.columns, found.lines))
            if write:  # each as it is found: the next may take an hour
                write_text(write, written_into(write.read_text(encoding="utf-8"), name, found, bench))
                for file, svg in found.drawings.items():
                    write_text(ROOT / "docs" / "images" / file, svg)

    return main
