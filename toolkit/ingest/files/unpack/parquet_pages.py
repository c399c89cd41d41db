"""How large the values of a Parquet file's columns can be, by its pages' headers and not by its claims.

A text of 1 MB in a dictionary, and 1 million rows that are that text, are a file of 2 kB: rows are to be read
so few at a time that they fit in memory although each were as long as a page. Headers are written in Thrift's
compact protocol.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .....schemas.allowance import Allowance, format_size

WINDOW_BYTES = 128 << 20  # of rows that are read at once
PART_BYTES = 32 << 20  # of rows that are handed on at once
_MEASURED_ROWS = 20_000
_LONGEST_HEADER = 16 << 20
_PAGE, _DATA, _DATA_V2 = 3, 5, 8  # fields of a page's header: its packed size, two kinds of data
_PREFIXES = 7  # the encoding that writes how much of the text before a text repeats


@dataclass(frozen=True)
class PageBounds:
    """How many rows may be read at once, and the paths of nested columns to read as dictionaries."""

    rows: int
    dictionaries: list[str]


def find_bounds(
    path: Path, parquet: pq.ParquetFile, names: Sequence[str], most_rows: int, allowance: Allowance
) -> PageBounds:
    """Find how the named columns of a file can be read in little memory.

    Raises SourceError if a page or a list is larger than all that the file may unpack to, and ValueError if a
    page's header cannot be read.
    """
    limit = allowance.find_limit(path)
    longest: dict[int, int] = {}
    nested = set()
    meta, schema = parquet.metadata, parquet.schema
    with path.open("rb") as raw:
        for group in range(meta.num_row_groups):
            for i in range(meta.num_columns):
                column = schema.column(i)
                if column.path.split(".")[0] not in names:
                    continue
                values = 0
                for size, count, encoding in _list_pages(raw, meta.row_group(group).column(i)):
                    if size > limit:
                        allowance.refuse(path, f"has a page of {format_size(size)}")
                    if column.max_repetition_level and encoding == _PREFIXES and size * count > limit:
                        allowance.refuse(path, f"has lists of {count:,} texts with shared beginnings")
                    values += count
                    longest[i] = max(longest.get(i, 0), size)
                if column.max_repetition_level:
                    nested.add(i)
                    if 8 * values > limit:
                        allowance.refuse(path, f"has lists of {values:,} values in '{column.path}'")
    texts = {i: size for i, size in longest.items() if schema.column(i).physical_type.endswith("BYTE_ARRAY")}
    flat = sum(size for i, size in texts.items() if i not in nested)
    paths = [schema.column(i).path for i in texts if i in nested]
    return PageBounds(max(1, min(most_rows, WINDOW_BYTES // max(1, flat))), paths)


def count_written_out(path: Path, allowance: Allowance) -> int:
    """Count the bytes that a file's rows take when they are written out, in little memory.

    Raises SourceError as soon as that is more than allowed, and pyarrow's errors for a damaged file.
    """
    with pq.ParquetFile(path) as parquet:
        names = parquet.schema_arrow.names
        bounds = find_bounds(path, parquet, names, _MEASURED_ROWS, allowance)
    done = 0
    with pq.ParquetFile(path, read_dictionary=bounds.dictionaries, pre_buffer=False) as parquet:
        for batch in parquet.iter_batches(bounds.rows):
            done += sum(map(measure_written_out, batch.columns))
            allowance.count(path, done)
    return done


def divide_table(batch: pa.RecordBatch, most_bytes: int = PART_BYTES) -> Iterator[pa.RecordBatch]:
    """Divide rows so that each part fits in memory when its texts are written out."""
    if batch.num_rows > 1 and sum(map(measure_written_out, batch.columns)) > most_bytes:
        half = batch.num_rows // 2
        yield from divide_table(batch.slice(0, half), most_bytes)
        yield from divide_table(batch.slice(half), most_bytes)
    else:
        yield batch


def measure_written_out(array: pa.Array) -> int:
    """Measure the bytes of values, shape (rows,), each text of a dictionary as often as it is used."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _sum_lengths(array) if _is_text(kind.value_type) else 16 * len(array)
    if pa.types.is_struct(kind):
        return sum(map(measure_written_out, array.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        inner = array.flatten() if not pa.types.is_map(kind) else array.values
        return int(measure_written_out(inner)) + 8 * len(array)
    return int(array.nbytes)


def _is_text(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _sum_lengths(array: pa.Array) -> int:
    lengths = pc.binary_length(array.dictionary).cast(pa.int64())
    total = pc.sum(lengths.take(array.indices)).as_py()
    return int(total or 0) + 8 * len(array)


def _list_pages(raw: BinaryIO, chunk: Any) -> Iterator[tuple[int, int, int]]:
    """Each page's size when it is unpacked, how many values it holds (0: a dictionary), and its encoding."""
    first = chunk.dictionary_page_offset
    at = min(first, chunk.data_page_offset) if first else chunk.data_page_offset
    end, seen = at + chunk.total_compressed_size, 0
    while at < end and seen < chunk.num_values:
        header, length = _read_header(raw, at, end)
        unpacked, packed = _read_count(header, 2), _read_count(header, _PAGE)
        said = header.get(_DATA) or header.get(_DATA_V2) or {}
        if not isinstance(said, dict):
            raise ValueError("a page's header says nothing of its values")
        count = _read_count(said, 1)
        yield max(unpacked, packed), count, _read_count(said, 2 if _DATA in header else 4)
        seen += count
        at += length + packed


def _read_count(fields: dict[int, Any], name: int) -> int:
    """A field that is a number from 0; 0 if it is not there."""
    value = fields.get(name, 0)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"a page's header has no number from 0 as field {name}")
    return value


def _read_header(raw: BinaryIO, at: int, end: int) -> tuple[dict[int, Any], int]:
    """The header of the page at a place, and its length."""
    size = 512
    while True:
        raw.seek(at)
        data = raw.read(min(size, end - at))
        try:
            header, length = _read_struct(data, 0, 0)
        except IndexError:
            if size >= _LONGEST_HEADER or len(data) < size:
                raise ValueError("a page's header is cut off") from None
            size *= 16
            continue
        if 2 not in header or _PAGE not in header:
            raise ValueError("a page's header states no size")
        return header, length


def _read_struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > 8:
        raise ValueError("a page's header is nested too deep")
    fields: dict[int, Any] = {}
    name = 0
    while head := data[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            name += head >> 4
        else:
            name, at = _read_number(data, at)
        if kind in (1, 2):
            fields[name] = kind == 1
        else:
            fields[name], at = _read_value(data, at, kind, depth)
    return fields, at + 1


def _read_value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _read_number(data, at)
    if kind == 8:
        length, at = _read_varint(data, at)
        if at + length > len(data):
            raise IndexError
        return None, at + length
    if kind == 12:
        return _read_struct(data, at, depth + 1)
    raise ValueError(f"a page's header has a field of type {kind}")


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a page's header has a number without end")
