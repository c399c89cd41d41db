"""python -m preceptor.tests.bench.fusion [PART …] [--quick] [--write docs/measurements/fusion.md]"""

from pathlib import Path

import click

from preceptor.schemas.support.files import write_text
from preceptor.toolkit.cli.options import make_table, open_stderr, open_stdout

from ..__main__ import known
from ..inputs import ROOT
from ..studies.arms import study_arms
from ..studies.load import study_load
from .annotators.influence import influence
from .annotators.judges import judges
from .annotators.real_judges import real_judges
from .asking.asking import asking
from .calibration import calibration
from .heldout.heldout import heldout
from .heldout.rankings import rankings
from .part import Measure, marks, written_into
from .published.published import published
from .replicates import replicates
from .speed import speed
from .texts.parts import length, text, text_coverage

PARTS: dict[str, Measure] = {
    "replicates": replicates,
    "calibration": calibration,
    "speed": speed,
    "published": published,
    "heldout": heldout,
    "rankings": rankings,
    "asking": asking,
    "judges": judges,
    "real-judges": real_judges,
    "influence": influence,
    "text": text,
    "text-coverage": text_coverage,
    "length": length,
    "study-arms": study_arms,
    "study-load": study_load,
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
    """Measure whether what fits say is right, and whether they say it again."""
    wanted = list(dict.fromkeys(parts or PARTS))
    if write:
        text = write.read_text(encoding="utf-8")
        for name in wanted:
            if not all(mark in text for mark in marks(name)):
                raise click.ClickException(f"{write}: no place for {name}; add the lines {marks(name)}")
    for name in wanted:
        open_stderr().print(f"{name} …")
        found = PARTS[name](quick)
        open_stdout().print(make_table(found.title, found.columns, found.lines))
        if write:  # each as it is found: the next may take an hour
            write_text(write, written_into(write.read_text(encoding="utf-8"), name, found))
            for file, svg in found.drawings.items():
                write_text(ROOT / "docs" / "images" / file, svg)


if __name__ == "__main__":
    main(prog_name="python -m preceptor.tests.bench.fusion")
