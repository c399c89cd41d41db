"""Read a workbook's sheet, as a program of its own: python -m … BOOK SHEET FOLDER MEMORY.

Its cells go to string.arrow in FOLDER, and those of columns with times to datetime.arrow and date.arrow; to
the output goes {"names": […], "filled": […], "times": [2]} or {"fault": "…"}. A sheet that claims billions of
cells ends this process at MEMORY bytes, and no other.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import fastexcel
import pyarrow as pa
import pyarrow.compute as pc

_LIKE_TIME = r"^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}:\d{2}(?:\.\d+)?)?$"


def read_workbook(book_path: str, sheet: str, folder: Path) -> dict[str, object]:
    """Read the sheet that is named, or the only one with rows, into the folder."""
    book = fastexcel.read_excel(book_path)
    names = book.sheet_names
    if sheet:
        filled = [sheet] if sheet in names else []
    else:
        filled = [name for name in names if _read_cells(book, name, "string").num_rows]
    times: list[int] = []
    if len(filled) == 1:
        texts = _read_cells(book, filled[0], "string")
        times = [place for place, column in enumerate(texts.columns) if _has_time(column)]
        _write(folder / "string.arrow", texts)
        kinds: tuple[Literal["datetime", "date"], ...] = ("datetime", "date")
        for kind in kinds:
            cells = _read_cells(book, filled[0], kind, times) if times else pa.record_batch({})
            _write(folder / f"{kind}.arrow", cells)
    return {"names": names, "filled": filled, "times": times}


def cap_memory(most: int) -> None:
    """Let this process take `most` bytes more than it has, where the system can hold it to that."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on every system

        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + most
        # What is written to, not what allocators merely reserve.
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _has_time(column: pa.Array) -> bool:
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return False
    return bool(pc.any(pc.match_substring_regex(column, _LIKE_TIME)).as_py())


def _read_cells(
    book: fastexcel.ExcelReader,
    name: str,
    kind: Literal["string", "datetime", "date"],
    places: list[int] | None = None,
) -> pa.RecordBatch:
    """Read cells as one type, null where they are of another; the first row is the sheet's first."""
    sheet = book.load_sheet(name, header_row=None, skip_rows=0, dtypes=kind, use_columns=places)
    return sheet.to_arrow()


def _write(path: Path, cells: pa.RecordBatch) -> None:
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, cells.schema) as writer:
        writer.write_batch(cells)


if __name__ == "__main__":
    cap_memory(int(sys.argv[4]))
    try:
        answer = read_workbook(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except (fastexcel.FastExcelError, OSError) as error:
        answer = {"fault": str(error)}
    sys.stdout.write(json.dumps(answer))
