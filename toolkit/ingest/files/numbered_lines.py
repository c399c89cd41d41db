"""Text files as numbered lines, in blocks: streamed, any size, nothing dropped.

    Lines.frame: line (from 1), raw (text without its line end), damaged (was not valid UTF-8)

gzip and bzip2 are unpacked on the way. CRLF and a byte-order mark are taken off. A line that is
not UTF-8 keeps its bytes as escapes in `raw` and is marked, so that readers can reject it.
"""

import bz2
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import polars as pl
import pyarrow as pa

from ....schemas.errors import SourceError

BLOCK_BYTES = 8 << 20
LONGEST_BYTES = 256 << 20  # kept in memory until the next cut
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Input:
    """A file to read: where it is, and its name inside the source."""

    path: Path
    name: str


OnBytes = Callable[[int], None]


def read_lines(
    file: Input, cut: bytes = b"\n", on_bytes: OnBytes = lambda _: None, keep_cr: bool = False
) -> Iterator[pl.DataFrame]:
    r"""Read blocks of whole lines; a block ends just before the last `cut` (after its first byte).

    `cut=b"\nS "` keeps an M2 sentence together with its edits. `on_bytes` is called with the number of bytes
    of the file (packed, if it is) read since the last call. With `keep_cr` a line that ends in CRLF keeps its
    CR. Returns frames of line, raw and damaged. Raises SourceError if the file cannot be read as text.
    """
    number, rest = 1, b""
    for chunk in _chunks(file.path, on_bytes):
        data = rest + chunk
        at = data.rfind(cut)
        if at < 0 and len(data) > LONGEST_BYTES:
            at = data.rfind(b"\n")
            if at < 0:
                raise SourceError(f"{file.path}:{number}: longer than {LONGEST_BYTES:,} bytes; is it text?")
        if at < 0:
            rest = data
            continue
        whole, rest = data[: at + 1], data[at + 1 :]
        frame = _frame(whole, number, keep_cr)
        number += frame.height
        yield frame
    if rest:
        yield _frame(rest, number, keep_cr)


def read_whole(file: Input, on_bytes: OnBytes = lambda _: None) -> str:
    """Read the text of a file that is one value, such as JSON over many lines.

    Raises SourceError if the file cannot be read as text.
    """
    return "\n".join(block["raw"].str.join("\n").item() for block in read_lines(file, on_bytes=on_bytes))


def _chunks(path: Path, on_bytes: OnBytes) -> Iterator[bytes]:
    """The file's bytes, unpacked, without a byte-order mark."""
    try:
        with path.open("rb") as raw, _unpacked(path, raw) as stream:
            start = stream.read(len(_UTF8_MARK))
            if start.startswith(_UTF16_MARKS):
                raise SourceError(f"{path}: is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)")
            chunk = start.removeprefix(_UTF8_MARK) + stream.read(BLOCK_BYTES)
            seen = 0
            while chunk:
                on_bytes(raw.tell() - seen)
                seen = raw.tell()
                yield chunk
                chunk = stream.read(BLOCK_BYTES)
            on_bytes(raw.tell() - seen)
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise SourceError(f"{path}: {error.strerror}; check the path") from error
        raise SourceError(f"{path}: damaged archive ({error}); fetch it again") from error


def _unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    match path.suffix.lower():
        case ".gz":
            return cast("BinaryIO", gzip.open(raw))
        case ".bz2":
            return cast("BinaryIO", bz2.open(raw))
    return raw


def _frame(data: bytes, number: int, keep_cr: bool) -> pl.DataFrame:
    """Numbered lines of a block; `data` may lack its last line end."""
    damaged = pl.lit(False)
    try:
        lines = _split(data)
    except pa.ArrowInvalid:
        parts = data.removesuffix(b"\n").split(b"\n")
        lines = pl.Series([part.decode(errors="backslashreplace") for part in parts])
        damaged = pl.lit(pl.Series([not _is_utf8(part) for part in parts]))
    if b"\r" in data and not keep_cr:
        lines = lines.str.strip_suffix("\r")
    return pl.DataFrame({"raw": lines}).select(
        pl.int_range(number, number + len(lines), dtype=pl.Int64).alias("line"),
        "raw",
        damaged.alias("damaged"),
    )


def _split(data: bytes) -> pl.Series:
    """Lines as views of the bytes: nothing is copied. ArrowInvalid where they are not UTF-8."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data) - 1)
    starts = np.concatenate([[0], ends + 1]).astype(np.int64)
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(data)]
    whole = pa.Array.from_buffers(pa.large_string(), len(ends), buffers)
    whole.validate(full=True)
    return pl.Series("raw", whole).str.strip_suffix("\n")


def _is_utf8(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True
