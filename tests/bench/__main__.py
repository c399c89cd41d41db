"""`make bench`: ours beside a peer in the same run.

    python -m preceptor.tests.bench [ROW …] [--quick] [--write docs/measurements/bench.md]

Machines are noisy: read the ratios. Every side runs in a process of its own, in turn with the
others; the repetition whose wall time is the median is shown.
"""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from preceptor.schemas.support.files import write_text
from preceptor.schemas.support.nearest import find_nearest
from preceptor.toolkit.cli.options import make_table, open_stderr, open_stdout

from .measure import Found, Job, Row, measure, run_row
from .rows import ROWS

COLUMNS = ("who", "seconds ", "CPU s ", "times ours ", "peak MB ", "remark")
VERSIONS = ("preceptor", "duckdb", "polars", "jax", "numpyro", "click", "errant", "choix")

Line = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A row's title, its table, and what its sides do."""

    title: str
    lines: list[Line]
    note: str


def known(kind: str, names: Collection[str]) -> Callable[..., tuple[str, ...]]:
    """Refuse an argument that is no row (or whatever `kind` there is), and name the nearest."""

    def check(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if name not in names:
                near = find_nearest(name, names)
                meant = f"did you mean {near}? " if near else ""
                raise click.BadParameter(f"no {kind} '{name}'; {meant}{kind}s are {', '.join(names)}")
        return given

    return check


def _has_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that could not be written, before minutes of work."""
    if path and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"{path.parent}: no such folder; make it first")
    return path


@click.command()
@click.argument("rows", nargs=-1, callback=known("row", ROWS))
@click.option("--quick", is_flag=True, help="Inputs 20 times smaller, one repetition.")
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    callback=_has_folder,
    help="Markdown file for the table.",
)
@click.option("--one", nargs=4, hidden=True, help="ROW SIDE FOLDER REPETITION: one measurement, as JSON.")
def main(
    rows: tuple[str, ...], quick: bool, write: Path | None, one: tuple[str, str, str, str] | None
) -> None:
    """Measure speed and memory beside peers in the same run."""
    if one:
        name, side, folder, repetition = one
        click.echo(measure(ROWS[name].sides[side], Job(Path(folder), int(repetition))))
        return
    load, sections, failed = os.getloadavg()[0], list[Section](), False
    for name in dict.fromkeys(rows or ROWS):
        open_stderr().print(f"{name} …")
        row = ROWS[name]
        size, found, told = run_row(name, row, quick)
        note = " ".join(part for part in (row.note, told) if part)
        sections.append(Section(f"{name}: {row.what}, {size}", side_lines(row, found), note))
        open_stdout().print(make_table(sections[-1].title, COLUMNS, sections[-1].lines))
        if told:
            open_stdout().print(told)
        failed |= any(side.failed for side in found.values())
    if write:
        write_text(write, markdown(sections, quick, load))
    sys.exit(1 if failed else 0)


def side_lines(row: Row, found: dict[str, Found]) -> list[Line]:
    """One line for each side, ours first."""
    ours = next(iter(found.values()))
    lines: list[Line] = []
    for side, held in found.items():
        if held.trouble:
            lines.append((side, "-", "-", "-", "-", held.trouble))
            continue
        remark = "; ".join(part for part in (held.middle.remark, row.sides[side].less) if part)
        figures = figure(held.middle.seconds), figure(held.middle.cpu), _times(held, ours)
        lines.append((side, *figures, figure(held.peak_mb), remark))
    return lines


def _times(held: Found, ours: Found) -> str:
    """The ratio, with its range over the repetitions."""
    if held is ours or not ours.runs:
        return "1" if ours.runs else "-"
    middle, low, high = held.times(ours)
    return figure(middle) if len(held.runs) == 1 else f"{figure(middle)} ({figure(low)}–{figure(high)})"


def figure(value: float) -> str:
    """Three digits, never in powers of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def markdown(sections: list[Section], quick: bool, load: float) -> str:
    """The tables with the date and what they were measured on; no names of hosts, no paths."""
    cores = os.cpu_count() or 1
    command = "make bench BENCH=--quick" if quick else "make bench"
    busy = "These figures were taken on a busy machine: r" if load > cores / 4 else "R"
    parts = "\n\n".join(f"## {part.title}\n\n{_rows(part.lines)}\n\n{part.note}" for part in sections)
    return f"""# Bench

`{command}` on {datetime.now(UTC):%Y-%m-%d}: {cpu_model()}, {cores} cores, \
Python {platform.python_version()}, {_versions()}.

Load average when it began: {load:.1f}. {busy}ead the ratios rather than the seconds.

Every side runs in a process of its own, in turn with the others. Seconds, CPU seconds (of all threads) \
and remark are those of the repetition whose wall time is the median. `times ours` is the median (and \
range) of a side's wall time over that of the table's first line in the same repetition. `peak MB` is the \
highest resident memory of the whole process, Python and imports included.

{parts}
"""


def _rows(lines: list[Line]) -> str:
    align = tuple("---:" if column.endswith(" ") else "---" for column in COLUMNS)
    return "\n".join(f"| {' | '.join(cell.strip() for cell in row)} |" for row in (COLUMNS, align, *lines))


def cpu_model() -> str:
    """What the system calls its processor."""
    info = Path("/proc/cpuinfo")
    found = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in found if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> str:
    have = {d.name.lower(): d.version for d in importlib.metadata.distributions()}
    return ", ".join(f"{name} {have[name]}" for name in VERSIONS if name in have)


if __name__ == "__main__":
    main(prog_name="python -m preceptor.tests.bench")
