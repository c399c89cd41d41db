"""python -m preceptor.tests.bench.learners [PART …] [--quick] [--write docs/measurements/learners.md]"""

from pathlib import Path

import click

from preceptor.schemas.support.files import write_text
from preceptor.toolkit.cli.options import make_table, open_stderr, open_stdout

from ..__main__ import known
from ..fusion.part import Measure, marks, written_into
from .cards import cards
from .lessons import lessons
from .simulated import coverage, speed
from .tutors import tutors

BENCH = "bench-learners"
PARTS: dict[str, Measure] = {
    "lessons": lessons,
    "cards": cards,
    "coverage": coverage,
    "speed": speed,
    "tutors": tutors,
}


@click.command()
@click.argument("parts", nargs=-1, callback=known("part", PARTS))
@click.option("--quick", is_flag=True, help="As small as will run; nothing can be concluded from it.")
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Markdown file with each part's marks, between which its table goes.",
)
def main(parts: tuple[str, ...], quick: bool, write: Path | None) -> None:
    """Measure how well learner models foretell, and whether recommending pays, beside peers in the same run."""
    wanted = list(dict.fromkeys(parts or PARTS))
    if write:
        text = write.read_text(encoding="utf-8")
        for name in wanted:
            if not all(mark in text for mark in marks(name, BENCH)):
                raise click.ClickException(
                    f"{write}: no place for {name}; add the lines {marks(name, BENCH)}"
                )
    for name in wanted:
        open_stderr().print(f"{name} …")
        found = PARTS[name](quick)
        open_stdout().print(make_table(found.title, found.columns, found.lines))
        if write:
            write_text(write, written_into(write.read_text(encoding="utf-8"), name, found, BENCH))


if __name__ == "__main__":
    main(prog_name="python -m preceptor.tests.bench.learners")
