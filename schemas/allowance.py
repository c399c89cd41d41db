"""How much packed files may unpack to, all files of a run together.

3 MB of .gz                    at most 600 MB: 200 times its size
40 kB of .apkg                 at most 64 MB, the least that is allowed
--max-unpacked 2GB             at most 2 GB, whatever their size
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .errors import SourceError

RATIO = 200
LEAST_BYTES = 64 << 20
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)i?B?", re.IGNORECASE)
_STEP = 1 << 20
_LOCAL = struct.Struct("<4s22xHH")  # a member's own header: its mark, the lengths of its name and its rest
_PACKINGS = {zipfile.ZIP_STORED: 0, zipfile.ZIP_DEFLATED: -zlib.MAX_WBITS}


def parse_size(text: str) -> int | None:
    """Parse a number of bytes, such as 500MB or 2GB; None if it is none, or nothing."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " ")) if found else 0
    return size or None


@dataclass
class Allowance:
    """How many bytes packed files may unpack to, and how many each has.

    `given` is what the user allows; `remedy` is what helps a user who trusts a file that takes more.
    """

    given: int | None = None
    remedy: str = "allow more, such as --max-unpacked 10GB"
    unpacked: dict[Path, int] = field(default_factory=dict)
    _packed: dict[Path, int] = field(default_factory=dict)

    def find_limit(self, path: Path) -> int:
        """Find how many bytes the files so far and this one may unpack to."""
        if path not in self._packed:
            self._packed[path] = path.stat().st_size
        return self.given or max(LEAST_BYTES, RATIO * sum(self._packed.values()))

    def count(self, path: Path, done: int) -> None:
        """Note that a file has unpacked to `done` bytes. Raises SourceError if that is more than allowed."""
        limit = self.find_limit(path)
        self.unpacked[path] = max(done, self.unpacked.get(path, 0))
        if sum(self.unpacked.values()) > limit:
            others = " with the files before it" if len(self.unpacked) > 1 else ""
            self.refuse(path, f"unpacks{others} to more than {format_size(limit)}")

    def refuse(self, path: Path, what: str) -> None:
        """Raise SourceError for a file that takes more than is allowed, as `what` says."""
        size = format_size(path.stat().st_size)
        raise SourceError(
            f"{path}: {what} (it is {size}), as files do that are made to fill a computer; if you "
            f"trust it, {self.remedy}"
        )

    def watch(self, path: Path, stream: BinaryIO) -> "Watched":
        """Read from a stream of unpacked bytes, and count them."""
        return Watched(stream, lambda done: self.count(path, done))


class Watched:
    """A stream of unpacked bytes that tells how many were read."""

    def __init__(self, stream: BinaryIO, tell: Callable[[int], None]) -> None:
        self._stream, self._tell, self._done = stream, tell, 0

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes, a part at a time."""
        parts, left = list[bytes](), size
        while left and (part := self._stream.read(min(left, _STEP))):
            parts.append(part)
            left -= len(part)
            self._done += len(part)
            self._tell(self._done)
        return b"".join(parts)

    def __enter__(self) -> "Watched":
        """Return the stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the stream."""
        self._stream.close()


def format_size(size: int) -> str:
    """Format a number of bytes: "64 MB", "3.2 GB"."""
    for unit, one in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size} bytes"


def measure_archive(path: Path, allowance: Allowance) -> int:
    """Measure what the members of a zip archive unpack to, whatever its directory claims.

    Raises SourceError if that is more than allowed, or a member is packed in a way that is not measured, and
    zipfile.BadZipFile or zlib.error if the archive is damaged.
    """
    done = 0
    with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
        for member in archive.infolist():
            if member.compress_type not in _PACKINGS:
                raise SourceError(f"{path}: '{member.filename}' is packed by a method that is not known here")
            raw.seek(member.header_offset)
            head = raw.read(_LOCAL.size)
            if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
                raise zipfile.BadZipFile("a member is not where its directory says")
            _, name, rest = _LOCAL.unpack(head)
            raw.seek(name + rest, 1)
            done = _measure_member(path, raw, member, done, allowance)
    return done


def _measure_member(
    path: Path, raw: BinaryIO, member: zipfile.ZipInfo, done: int, allowance: Allowance
) -> int:
    """The bytes so far and those of a member."""
    window, left = _PACKINGS[member.compress_type], member.compress_size
    unpack = zlib.decompressobj(window) if window else None
    while left > 0 and (packed := raw.read(min(left, 1 << 16))):
        left -= len(packed)
        while packed:
            done += len(unpack.decompress(packed, _STEP)) if unpack else len(packed)
            packed = unpack.unconsumed_tail if unpack else b""
            allowance.count(path, done)
    return done
