"""Text files as numbered lines, in blocks: streamed, any size, nothing dropped.

    Lines.frame: line (from 1), raw (text without its line end), damaged (was not valid UTF-8)

gzip, bzip2 and a zip archive of one file are unpacked on the way, whatever the file's name. CRLF and a
byte-order mark are taken off; in a file without LF a CR ends a line. UTF-16 with its mark, and other
encodings that the user names, are converted. A line that is not text in its encoding keeps its bytes as
escapes in `raw` and is marked, so that readers can reject it.
"""

import bz2
import codecs
import gzip
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import polars as pl
import pyarrow as pa

from ....schemas.allowance import Allowance, Watched, format_size
from ....schemas.cells import find_codec, find_encoding, is_unmarked_utf16
from ....schemas.errors import SourceError

BLOCK_BYTES = 8 << 20
LONGEST_BYTES = 64 << 20  # kept in memory until the next cut
WHOLE_BYTES = 256 << 20  # of a packed file that is one value, such as JSON, and so is kept in memory
START_BYTES = 1 << 16  # looked at to recognise what a file is
_GZIP, _BZIP2 = b"\x1f\x8b\x08", b"BZh"
_ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
_OFFICE = ("[Content_Types].xml", "mimetype")  # in .xlsx and in .ods
SHEETS = (".xlsx", ".ods", ".xlsm", ".xlsb", ".xls")
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # at byte 4, so that a text may begin with BZh


_IN_QUOTES = re.compile(rb'"[^"]*(?:"|$)')

codecs.register_error("preceptor-damage", lambda error: ("\udcff", getattr(error, "end", 0)))


@dataclass(frozen=True)
class Input:
    """A file to read: where it is, its name inside the source; encoding, sheet, learner if the user said.

    `notes` collects what the user should know of the reading, such as rows above the header; `allowance`
    bounds what the files of a run unpack to.
    """

    path: Path
    name: str
    encoding: str = ""
    sheet: str = ""
    learner: str = ""
    notes: list[str] = field(default_factory=list, compare=False)
    allowance: Allowance = field(default_factory=Allowance, compare=False)


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
    for chunk in _chunks(file, on_bytes, quotes=keep_cr):
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

    Raises SourceError if the file is empty, or cannot be read as text.
    """
    parts, allowance = [], file.allowance
    for block in read_lines(file, on_bytes=on_bytes):
        if allowance.given is None and allowance.unpacked.get(file.path, 0) > WHOLE_BYTES:
            allowance.refuse(file.path, f"is one value that unpacks to more than {format_size(WHOLE_BYTES)}")
        if block["damaged"].any():
            line = block.filter("damaged")["line"][0]
            raise SourceError(describe_not_text(file, line))
        parts.append(block["raw"].str.join("\n").item())
    text = "\n".join(parts)
    if not text.strip():
        raise SourceError(f"{file.path}: is empty; fetch it again")
    return text


def describe_not_text(file: Input, line: int) -> str:
    """Describe a file with a line that is no text in its encoding, and what to do."""
    if is_binary(file):
        return f"{file.path}: is no text; is it the right file?"
    what = f"not valid {file.encoding or 'UTF-8'}"
    return (
        f"{file.path}:{line}: {what}; fetch it again, or name its encoding, such as --encoding latin-1 or "
        "--encoding windows-1251"
    )


def is_binary(file: Input) -> bool:
    """True if the file begins with bytes that no text has in any encoding of one byte a letter, or UTF-8."""
    try:
        with file.path.open("rb") as raw, _unpacked(file, raw) as stream:
            start = stream.read(START_BYTES)
    except (EOFError, OSError, SourceError, zipfile.BadZipFile, zlib.error):
        return False
    marked = find_encoding(start) in ("utf-16", "utf-32") or is_unmarked_utf16(start)
    return not marked and any(byte in start for byte in (*range(7), *range(14, 27)))


def read_start(file: Input, quotes: bool = False) -> str:
    """Read the first lines of a file, at most START_BYTES (of UTF-8); with `quotes` as those of a table.

    Raises SourceError if the file cannot be read as text.
    """
    chunks = _chunks(file, lambda _: None, quotes)
    try:
        return next(chunks, b"")[:START_BYTES].decode(errors="replace")
    finally:
        chunks.close()


def note_encoding(file: Input) -> str | None:
    """Note the encoding that a file is read in, if it is not UTF-8; None for UTF-8 or an unreadable file."""
    try:
        with file.path.open("rb") as raw, _unpacked(file, raw) as stream:
            marked = find_encoding(stream.read(4))
    except (EOFError, OSError, SourceError, zipfile.BadZipFile, zlib.error):
        return None
    if marked in ("utf-16", "utf-32"):
        return f"{file.name}: read as {marked.upper()}, as its byte-order mark says"
    if file.encoding and not marked:
        return f"{file.name}: read as {file.encoding} (--encoding)"
    return None


def _chunks(file: Input, on_bytes: OnBytes, quotes: bool = False) -> Generator[bytes]:
    """The file's bytes, unpacked, as UTF-8 without a byte-order mark; lines end in LF.

    With `quotes` an LF inside double quotes ends no line.
    """
    path, size = file.path, BLOCK_BYTES
    try:
        with path.open("rb") as raw, _unpacked(file, raw) as stream:
            # Enough for a byte-order mark, even where blocks are tiny.
            chunk, seen = stream.read(max(size, 4)), 0
            convert = _conversion(file, chunk)
            first = True
            while chunk:
                on_bytes(raw.tell() - seen)
                seen = raw.tell()
                text = convert(chunk)
                if first:
                    text, first = text.removeprefix(b"\xef\xbb\xbf"), False
                    enough = len(chunk) < size or size >= START_BYTES
                    ends_in_cr = enough and _ends_in_cr(text, quotes)
                yield text.replace(b"\r", b"\n") if ends_in_cr else text
                chunk = stream.read(size)
            on_bytes(raw.tell() - seen)
    except (EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise SourceError(f"{path}: {error.strerror}; check the path") from error
        raise SourceError(f"{path}: damaged archive ({error}); fetch it again") from error


def _ends_in_cr(text: bytes, quotes: bool) -> bool:
    """True if a CR ends a line, since there is no LF (outside quotes, if these matter)."""
    if b"\r" not in text.rstrip(b"\r"):
        return False
    if quotes and b'"' in text:
        text = _IN_QUOTES.sub(b"", text[:START_BYTES])
    return b"\n" not in text and b"\r" in text


def _conversion(file: Input, start: bytes) -> Callable[[bytes], bytes]:
    """A function that converts chunks of the file to UTF-8. Raises SourceError if it is no text."""
    encoding = find_encoding(start) or file.encoding
    if not encoding and is_unmarked_utf16(start[:START_BYTES]):
        low = start[1::2].count(0) > start[0::2].count(0)
        name = "utf-16-le" if low else "utf-16-be"
        raise SourceError(f"{file.path}: is UTF-16 without a byte-order mark; read it with --encoding {name}")
    codec = find_codec(encoding or "utf-8")
    if codec is None:
        raise SourceError(f"no encoding '{encoding}'; expected a name such as windows-1251 or latin-1")
    if codec in ("utf-8", "utf-8-sig"):
        return bytes
    decoder = codecs.getincrementaldecoder(codec)("preceptor-damage")

    def convert(chunk: bytes) -> bytes:
        # A byte that means nothing becomes one that is not UTF-8, so that its line is marked as damaged.
        try:
            return decoder.decode(chunk).encode("utf-8", "surrogateescape")
        except UnicodeError as error:  # of codecs that have rules of their own, such as a mark at the start
            raise SourceError(
                f"{file.path}: cannot be read as {encoding} ({error}); leave --encoding out, or name the "
                "file's own encoding"
            ) from error

    return convert


def is_spreadsheet(path: Path) -> bool:
    """True for a file that is named like a workbook, or is a zip archive of one or with its parts."""
    if path.suffix.lower() in SHEETS:
        return True
    try:
        with path.open("rb") as raw:
            if not raw.read(4).startswith(_ZIPS):
                return False
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
    return any(name in _OFFICE for name in names) or (len(names) == 1 and names[0].lower().endswith(SHEETS))


def check_options(file: Input) -> None:
    """Raise SourceError if the user named an encoding or sheet of a file that has none to be named."""
    sheets = (file.encoding or file.sheet) and is_spreadsheet(file.path)
    if file.encoding and (sheets or file.path.suffix.lower() in (".parquet", ".sqlite")):
        raise SourceError(f"--encoding: {file.path} states its own encoding; leave the option out")
    if file.sheet and not sheets:
        raise SourceError(f"--sheet: {file.path} is no spreadsheet; leave the option out")


def find_member(path: Path, archive: zipfile.ZipFile) -> str:
    """Find the only file of a zip archive. Raises SourceError if there are others, or it is a spreadsheet."""
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    if any(name in _OFFICE for name in archive.namelist()):
        raise SourceError(f"{path}: is a spreadsheet; this format is read from text files only")
    if len(names) != 1:
        raise SourceError(
            f"{path}: is a zip archive that holds {len(names)} files; unpack it and name the one to read"
        )
    return names[0]


def _unpacked(file: Input, raw: BinaryIO) -> BinaryIO | Watched:
    """The file's bytes; those of a packed one are counted."""
    path, start = file.path, raw.read(10)
    raw.seek(0)
    if start.startswith(_ZIPS):
        with zipfile.ZipFile(path) as archive:
            opened = cast("BinaryIO", archive.open(find_member(path, archive)))
    elif start.startswith(_GZIP) or path.suffix.lower() == ".gz":
        opened = cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    elif path.suffix.lower() == ".bz2" or (start.startswith(_BZIP2) and start[4:] in _BZIP2_BLOCKS):
        opened = cast("BinaryIO", bz2.BZ2File(raw))
    else:
        return raw
    return file.allowance.watch(path, opened)


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
