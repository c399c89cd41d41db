"""Sheets of spreadsheets (.xlsx, .ods, .xls): the same texts as CSV would hold, with the rows' numbers.

Numbers become text without needless zeros (3.0 as 3), truths true or false, times as in ISO 8601. A column in
which every cell below the header is a time of the spreadsheet's is typed as such. Of a formula, its last
result is read.
"""

import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from .....schemas.allowance import Allowance, format_size, measure_archive
from .....schemas.errors import SourceError
from .....schemas.support.nearest import suggest
from ....store.places import hold_temporary_folder
from ...batch import make_no_rejects
from ..header import HEADER_ROWS, Blocks, find_header, list_header_columns, note_title
from ..numbered_lines import SHEETS, Input, OnBytes

_PROGRAM = "preceptor.toolkit.ingest.files.sheets.workbook"
_LEAST_MEMORY = 1 << 30
_MEMORY_RATIO = 8  # memory for each byte that a workbook unpacks to
_LEAST_SECONDS = 60
_SECONDS_PER_BYTE = 2e-6


@dataclass(frozen=True)
class _Sheet:
    """A sheet's cells as texts, from its first row on, and as times where a column has any like one."""

    name: str
    names: list[str]
    rows: pl.DataFrame
    times: dict[int, tuple[pl.Series, pl.Series]]


_TIME = r"^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}:\d{2}(?:\.\d+)?)?$"


def read_sheet(file: Input, wanted: Sequence[str], on_bytes: OnBytes = lambda _: None) -> Blocks:
    """Read the one sheet of a spreadsheet that has rows, or the one that the user named.

    Yields one block of (records, rejects): records are `line` (the row's number), `raw` (null), and a column
    for each field of the header (see `list_header_columns`); there are no rejects. Raises SourceError if the
    file is no spreadsheet, or has no such sheet.
    """
    sheet = _load_sheet(file)
    place, above, columns = _find_columns(file, sheet.rows, wanted)
    if len(sheet.names) > 1:
        file.notes.append(f"{file.name}: sheet '{sheet.name}' read")
    note_title(file, above)
    fields = _with_times(sheet, sheet.rows[place + 1 :], place + 1)
    fields.columns = columns
    line = pl.int_range(place + 2, place + 2 + pl.len(), dtype=pl.Int64).alias("line")
    on_bytes(file.path.stat().st_size)
    yield fields.select(line, pl.lit(None).alias("raw"), pl.all()), make_no_rejects()


def list_sheet_columns(file: Input, wanted: Sequence[str] = ()) -> list[str]:
    """List the columns that `read_sheet` returns. Raises SourceError as it does."""
    return _find_columns(file, _load_sheet(file).rows, wanted)[2]


def _find_columns(file: Input, rows: pl.DataFrame, wanted: Collection[str]) -> tuple[int, int, list[str]]:
    """The place of the header, the number of filled rows above it, and its columns."""
    start = rows.head(HEADER_ROWS).rows()
    filled = [place for place, row in enumerate(start) if any((cell or "").strip() for cell in row)]
    if not filled:
        raise SourceError(f"{file.path}: the sheet is empty; expected a row with the column names")
    n = find_header([start[place] for place in filled], wanted)
    return filled[n], n, list_header_columns([(cell or "").strip() for cell in start[filled[n]]])


def _with_times(sheet: _Sheet, below: pl.DataFrame, skipped: int) -> pl.DataFrame:
    """Type the columns in which every filled cell is a time of the spreadsheet's, not a text like one."""
    like = below.select(pl.all().str.contains(_TIME).all() & pl.all().is_not_null().any()).row(0)
    places = [place for place, is_like in enumerate(like) if is_like]
    if not places:
        return below
    typed = []
    for place in places:
        time, day = (cells[skipped:] for cells in sheet.times[place])
        text = below.to_series(place)
        if (time.is_null() & day.is_null() & text.is_not_null()).any():
            continue
        when = (
            pl.when(time.is_null()).then(day.cast(pl.Datetime("us"))).otherwise(time.cast(pl.Datetime("us")))
        )
        typed.append(pl.select(pl.when(text.is_not_null()).then(when).alias(text.name)).to_series())
    return below.with_columns(typed)


def _load_sheet(file: Input) -> _Sheet:
    state = file.path.stat()
    packed = _measure(file.path, file.allowance)
    return _load(file.path, file.sheet, (state.st_size, state.st_mtime_ns), packed)


def _measure(path: Path, allowance: Allowance) -> int:
    """What the workbook unpacks to; its own size where it is not packed."""
    try:
        return measure_archive(path, allowance) if zipfile.is_zipfile(path) else path.stat().st_size
    except (zipfile.BadZipFile, zlib.error, OSError) as error:
        raise _describe_damage(path, error) from error


def _describe_damage(path: Path, why: object) -> SourceError:
    said = str(why).partition("\n")[0]
    return SourceError(f"{path}: no spreadsheet, or damaged ({said}); fetch it again")


@lru_cache(maxsize=1)  # a table is opened for its columns, and again for its rows
def _load(path: Path, sheet: str, _: tuple[int, int], unpacked: int) -> _Sheet:
    """Read the sheet in a process of its own: what fills its memory does not end ours."""
    memory = max(_LEAST_MEMORY, _MEMORY_RATIO * unpacked)
    seconds = _LEAST_SECONDS + _SECONDS_PER_BYTE * unpacked
    with hold_temporary_folder() as folder:
        book = _take_out(path, folder)
        command = [sys.executable, "-P", "-m", _PROGRAM, str(book), sheet, str(folder), str(memory)]
        roots = os.pathsep.join(place for place in sys.path if place)
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                command,
                # Arrow's own allocator takes 1 GB of address space at once, which the bound counts.
                env={**os.environ, "PYTHONPATH": roots, "ARROW_DEFAULT_MEMORY_POOL": "system"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError(
                f"{path}: could not be read in {seconds:.0f} seconds; save the sheet as CSV, and ingest that"
            ) from error
        if done.returncode:
            raise SourceError(
                f"{path}: its sheet takes more than {format_size(memory)} of memory, or the file is damaged; "
                "save the sheet as CSV, and ingest that"
            )
        said = json.loads(done.stdout)
        if "fault" in said:
            raise _describe_damage(path, said["fault"])
        return _read_result(path, sheet, said, folder)


def _take_out(path: Path, folder: Path) -> Path:
    """The workbook: the file, or the only file in a zip archive, taken out."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        inside = archive.namelist()
        if len(inside) != 1 or not inside[0].lower().endswith(SHEETS):
            return path
        # Its members may unpack as far again, as the reader's own process bounds.
        book = folder / f"book{Path(inside[0]).suffix.lower()}"
        book.write_bytes(archive.read(inside[0]))
        return book


def _read_result(path: Path, sheet: str, said: dict[str, Any], folder: Path) -> _Sheet:
    """The sheet that is named, or the only one with rows. Raises SourceError if there is not one."""
    names, filled = said["names"], said["filled"]
    if sheet and sheet not in names:
        raise SourceError(
            f"{path}: no sheet '{sheet}': {suggest(sheet, names, 'it has')}; sheets: {', '.join(names)}"
        )
    if len(filled) > 1:
        listed = ", ".join(f"'{name}'" for name in filled)
        raise SourceError(
            f"{path}: has {len(filled)} sheets with rows: {listed}; choose one with --sheet NAME"
        )
    if not filled:
        raise SourceError(f"{path}: is empty, its sheets hold no rows")
    frames = [
        pl.DataFrame(pa.ipc.open_file(io.BytesIO((folder / f"{kind}.arrow").read_bytes())).read_all())
        for kind in ("string", "datetime", "date")
    ]
    times = {place: (frames[1].to_series(i), frames[2].to_series(i)) for i, place in enumerate(said["times"])}
    return _Sheet(filled[0], names, frames[0], times)
