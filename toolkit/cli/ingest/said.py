"""What `preceptor ingest` says of what it read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ....schemas.support.numbers import format_count
from ..options import make_table, open_stderr, open_stdout
from ..progress import show_bar

if TYPE_CHECKING:
    import polars as pl

    from ...ingest.run import IngestReport
    from ...recipes.project.entry import Entry

_CELL = 40  # letters of a cell that is shown


def _name_rows(table: str) -> tuple[str, str]:
    """Name one row of a table and several: "vote", "votes"."""
    if table == "lexicon":
        return "term", "terms"
    one = f"{table.removesuffix('ies')}y" if table.endswith("ies") else table.removesuffix("s")
    return one, table


def say_report(report: "IngestReport", license: str, unused: Sequence[str] = ()) -> None:
    """Print what was read and what was rejected.

    `license` is the source's; `unused` are options that a file which is there already is not read with.
    """
    from ....schemas.licenses import NONE_STATED

    out, err = open_stdout(), open_stderr()
    name = report.source
    if report.already_there:
        without = f", and {', '.join(unused)} not looked at" if unused else ""
        out.print(
            f"{name}: already holds exactly these bytes; nothing added (--replace reads them again){without}"
        )
        return
    tables = ", ".join(format_count(n, *_name_rows(table)) for table, n in report.added.items() if n)
    rows = format_count(report.rows, "row")
    out.print(f"{name}: {rows} taken, {report.rejects:,} rejected ({tables})")
    if report.rejects:
        err.print(f"rejected, kept with file, line and reason (preceptor status --rejects {name}):")
        for line in report.reject_lines:
            err.print(f"  {line}")
    for note in report.notes:
        err.print(f"note: {note}")
    if license == NONE_STATED:
        err.print(f"no --license given: rows of {name} may not be published")


def show_rows(rows: "Mapping[str, pl.DataFrame]", head: str) -> None:
    """Print the first rows of each table, texts cut to fit a screen."""
    out = open_stdout()
    for table, frame in rows.items():
        cells = [[_cut(cell) for cell in row] for row in frame.iter_rows()]
        out.print(make_table(f"{table}, {head}", frame.columns, cells))


def _cut(cell: object) -> str:
    text = "" if cell is None else " ".join(str(cell).split())
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


@contextmanager
def count_bytes(entries: "Sequence[Entry]") -> Iterator[Callable[[int], None]]:
    """Show a bar within the block, moved by bytes: each file is read for its digest and for its rows."""
    from ...recipes.project.ingest_entries import find_files

    total = 2 * sum(file.path.stat().st_size for entry in entries for file in find_files(entry))
    done = 0
    with show_bar(f"ingest {', '.join(entry.source for entry in entries[:3])}", open_stderr()) as update:

        def on_bytes(n: int) -> None:
            nonlocal done
            done += n
            update(min(done, total), total)

        yield on_bytes


# Options of which a source that is there already has the value, or which are not about reading.
_COMPARED = (
    *("paths", "source", "license", "language", "url", "revision", "sheet", "replace", "strict"),
    *("save", "dry_run", "yes", "from_"),
)


def list_unused() -> list[str]:
    """List the options on the command line that nothing is made of if the file is not read again."""
    context = click.get_current_context()
    return [
        option.opts[0]
        for option in context.command.params
        if option.name
        and option.name not in _COMPARED
        and context.get_parameter_source(option.name) == click.core.ParameterSource.COMMANDLINE
    ]
