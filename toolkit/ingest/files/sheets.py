"""Sheets of spreadsheets (.xlsx, .ods, .xls): the same texts as CSV would hold, with the rows' numbers.

Numbers become text without needless zeros (3.0 as 3), truths true or false, times as in ISO 8601. A column in
which every cell below the header is a time of the spreadsheet's is typed as such. Of a formula, its last
result is read.
"""

import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import fastexcel
import polars as pl

from ....schemas.errors import SourceError
from ....schemas.support.nearest import suggest
from ..batch import make_no_rejects
from .header import HEADER_ROWS, Blocks, find_header, list_header_columns, note_title
from .numbered_lines import SHEETS, Input, OnBytes

_Kind = Literal["string", "datetime", "date"]


@dataclass(frozen=True)
class _Sheet:
    """A sheet of an open workbook, and its cells as texts, from its first row on."""

    book: fastexcel.ExcelReader
    name: str
    rows: pl.DataFrame


_TIME = r"^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}:\d{2}(?:\.\d+)?)?$"


def read_sheet(file: Input, wanted: Sequence[str], on_bytes: OnBytes = lambda _: None) -> Blocks:
    """Read the one sheet of a spreadsheet that has rows, or the one that the user named.

    Yields one block of (records, rejects): records are `line` (the row's number), `raw` (null), and a column
    for each field of the header (see `list_header_columns`); there are no rejects. Raises SourceError if the
    file is no spreadsheet, or has no such sheet.
    """
    sheet = _load_sheet(file)
    place, above, columns = _find_columns(file, sheet.rows, wanted)
    if len(sheet.book.sheet_names) > 1:
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
    times, days = (
        _read_cells(sheet.book, sheet.name, kind, places)[skipped:] for kind in ("datetime", "date")
    )
    typed = []
    for place, time, day in zip(places, times, days, strict=True):
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
    return _load(file.path, file.sheet, (state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=1)  # a table is opened for its columns, and again for its rows
def _load(path: Path, sheet: str, _: tuple[int, int]) -> _Sheet:
    try:
        book = fastexcel.read_excel(_content(path))
        name = _choose(path, book, sheet)
        return _Sheet(book, name, _read_cells(book, name, "string"))
    except (fastexcel.FastExcelError, zipfile.BadZipFile, OSError) as error:
        said = str(error).partition("\n")[0]
        raise SourceError(f"{path}: no spreadsheet, or damaged ({said}); fetch it again") from error


def _content(path: Path) -> Path | bytes:
    """The workbook: the file, or the only file in a zip archive."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        inside = archive.namelist()
        return archive.read(inside[0]) if len(inside) == 1 and inside[0].lower().endswith(SHEETS) else path


def _read_cells(
    book: fastexcel.ExcelReader, name: str, kind: _Kind, places: list[int] | None = None
) -> pl.DataFrame:
    """Read cells as one type, null where they are of another; the first row is the sheet's first."""
    return pl.DataFrame(book.load_sheet(name, header_row=None, skip_rows=0, dtypes=kind, use_columns=places))


def _choose(path: Path, book: fastexcel.ExcelReader, sheet: str) -> str:
    """The sheet that is named, or the only one with rows. Raises SourceError if there is not one."""
    names = book.sheet_names
    if sheet and sheet not in names:
        raise SourceError(
            f"{path}: no sheet '{sheet}': {suggest(sheet, names, 'it has')}; sheets: {', '.join(names)}"
        )
    filled = [sheet] if sheet else [n for n in names if _read_cells(book, n, "string").height]
    if len(filled) > 1:
        listed = ", ".join(f"'{name}'" for name in filled)
        raise SourceError(
            f"{path}: has {len(filled)} sheets with rows: {listed}; choose one with --sheet NAME"
        )
    if not filled:
        raise SourceError(f"{path}: is empty, its sheets hold no rows")
    return filled[0]
