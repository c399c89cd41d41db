"""Cells of tables, read alike by ingest and forms: truths, choices and levels; separators and encodings.

read_choice("Tie ")               -> "tie"
read_level("3,0")                 -> 3
find_separator("learner;item")    -> ";"
"""

import codecs
import re
from collections.abc import Collection

TRUTHS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
CHOICES = ("a", "b", "tie")
ZEROS = r"(?:\.0*|,0{1,2})$"
"""Decimals of a whole number: 1.0, 1,0; not 1,000, which may be a thousand."""

SEPARATORS = (",", ";", "\t", "|")
_SEP_LINE = re.compile('^"?sep=([^"\r\n]?)"?\\s*$', re.IGNORECASE)
_QUOTED = re.compile('"(?:[^"]|"")*"')
_MARKS = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe\0\0": "utf-32",  # before the mark of UTF-16, with which it begins
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def read_choice(text: str) -> str | None:
    """Read A, B or tie in any case as "a", "b" or "tie"; None for other words."""
    word = text.strip().lower()
    return word if word in CHOICES else None


def read_level(text: str) -> int | None:
    """Read a whole number, written as 3, 3.0 or 3,0; None for the rest."""
    found = re.fullmatch(r"[+-]?\d+", re.sub(ZEROS, "", text.strip()))
    return int(found[0]) if found else None


def read_separator_line(line: str) -> str | None:
    """Read the separator of Excel's line "sep=;", "" if it names none; None if the line is another."""
    found = _SEP_LINE.match(line)
    return found and found[1]


def find_separator(header: str, default: str = ",", wanted: Collection[str] = ()) -> str:
    """Find the separator that divides a header best.

    That is into most of the columns `wanted` (lower case), then into most columns; then `default`. Separators
    inside quotes do not count, nor a bar where there is another one: names of columns may hold bars.
    """
    bare = _QUOTED.sub(lambda found: re.sub("[,;\t|]", " ", found[0]), header)

    def count(separator: str) -> tuple[int, bool, int, bool]:
        names = [name.strip(' "\r\n').lower() for name in bare.split(separator)]
        found = len(names) > 1 and separator != "|"
        return len(set(names) & set(wanted)), found, len(names), separator == default

    return max(SEPARATORS, key=count)


def find_encoding(start: bytes) -> str | None:
    """Find what a byte-order mark states: "utf-8", "utf-16" or "utf-32"; None without a mark."""
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)


def is_unmarked_utf16(start: bytes) -> bool:
    """True if every second byte is mostly zero, as in UTF-16 without a byte-order mark."""
    pairs = len(start) // 2
    return pairs > 0 and max(start[0::2].count(0), start[1::2].count(0)) > 0.8 * pairs


def find_codec(encoding: str) -> str | None:
    """Find Python's name of a text encoding, such as cp1251 for windows-1251; None if unknown."""
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        return None
    return found.name if getattr(found, "_is_text_encoding", True) else None
