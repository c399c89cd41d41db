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

import polars as pl

from ...schemas.errors import SourceError

BLOCK_BYTES = 16 << 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Input:
    """A file to read: where it is, and its name inside the source."""

    path: Path
    name: str


OnBytes = Callable[[int], None]


def read_lines(file: Input, cut: bytes = b"\n", on_bytes: OnBytes = lambda _: None) -> Iterator[pl.DataFrame]:
    r"""Blocks of whole lines; a block ends just before the last `cut` (after its first byte).

    `cut=b"\nS "` keeps an M2 sentence together with its edits. `on_bytes` is told how many bytes
    of the file (packed, if it is) were read since the last call.
    """
    number, rest = 1, b""
    for chunk in _chunks(file.path, on_bytes):
        data = rest + chunk
        at = data.rfind(cut)
        if at < 0:
            rest = data
            continue
        whole, rest = data[: at + 1], data[at + 1 :]
        frame = _frame(whole, number)
        number += frame.height
        yield frame
    if rest:
        yield _frame(rest, number)


def _chunks(path: Path, on_bytes: OnBytes) -> Iterator[bytes]:
    """The file's bytes, unpacked, without a byte-order mark."""
    first = True
    try:
        with path.open("rb") as raw, _unpacked(path, raw) as stream:
            seen = 0
            while chunk := stream.read(BLOCK_BYTES):
                on_bytes(raw.tell() - seen)
                seen = raw.tell()
                if first and chunk[:2] in _UTF16:
                    raise SourceError(f"{path}: is UTF-16; convert it to UTF-8 first "
                                      "(iconv -f UTF-16 -t UTF-8)")  # fmt: skip
                yield chunk.removeprefix(b"\xef\xbb\xbf") if first else chunk
                first = False
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path}: damaged archive ({error}); fetch it again") from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}; check the path") from error


def _unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(raw))
    if path.suffix == ".bz2":
        return cast("BinaryIO", bz2.open(raw))
    return raw


def _frame(data: bytes, number: int) -> pl.DataFrame:
    """Numbered lines of a block; `data` may lack its last line end."""
    data = data.removesuffix(b"\n")
    try:
        lines = pl.Series([data.decode()]).str.split("\n").explode()
        damaged = pl.lit(False)
    except UnicodeDecodeError:
        parts = data.split(b"\n")
        lines = pl.Series([part.decode(errors="backslashreplace") for part in parts])
        damaged = pl.lit(pl.Series([not _is_utf8(part) for part in parts]))
    return pl.DataFrame({"raw": lines}).select(
        pl.int_range(number, number + len(lines), dtype=pl.Int64).alias("line"),
        pl.col("raw").str.strip_suffix("\r"),
        damaged.alias("damaged"),
    )


def _is_utf8(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True
