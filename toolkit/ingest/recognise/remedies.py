"""Say what mends each kind of rejected row: the option, or what to change in the file.

rows  such as        mended by
 120  Both are equal --map choice:VALUE='Both are equal' (VALUE: a, b or tie)
  12  01.05.2026     --date-format, such as %d.%m.%Y
   3  votes.csv:17   the file: a field too many or too few; put texts with , or ; in quotes
"""

import re
from collections.abc import Sequence

import polars as pl

from ....schemas.support.text import clean

_SHOWN = 12  # lines of the table
_WIDE = 28
_SEVERAL = re.compile(r"[\d,]+ (other )?values$")
# Reason: what mends it. Flags for words are listed ready to be copied by lopsided.py.
_MENDS: tuple[tuple[str, str], ...] = (
    (r"^not valid UTF-8", "--encoding, such as windows-1251 or latin-1"),
    (r"^choice is ", "a word for a, b or tie: the flag that says which is above"),
    (r"^shown_first is ", "a word for a or b: shown_first:a=WORD, in a flag like that of other words"),
    (r"^(correct|censored) is ", "a word for true or false: the flag that says which is above"),
    (r"^measure is ", "--set measure=success (or turns), without a column of that name"),
    (r"^(at|the time) is ", "--date-format, such as %d.%m.%Y or '%d.%m.%Y %H:%M'"),
    (r"^levels is ", "--levels N, the number of levels of all ratings"),
    (
        r"^value is .*expected 1 to",
        "--levels N, or --scale LOWEST..HIGHEST; a word: the flag for it is above",
    ),
    (r"^value is .*--scale", "--scale LOWEST..HIGHEST with the whole range"),
    (r"^value is .*0 or 1", "a word for 0 or 1: the flag that says which is above; or --set measure=turns"),
    (r"^kind is .*--by-model", "leave out --by-model, or the column kind"),
    (r"^kind is ", "the file: kind is student, expert, crowd or model"),
    (r"is no completion of source", "ingest the texts first, or --about SOURCE that has them"),
    (r"names no one prompt of source", "ingest the prompts first, or --about SOURCE that has them"),
    (
        r"^'(criterion|measure|task)' is (missing|empty|missing or empty)",
        "--set {column}=VALUE where it is empty",
    ),
    (r"^expected \d+ fields, found", "the file: put texts with separators in quotes, and line ends too"),
    (r"^a quote is not closed", "the file: close the quote, or double it inside a text"),
    (r"already (used )?on line", "the file: give each its own id, or leave one out"),
    (
        r"^'?(\w+)'? is (missing|empty|missing or empty)$",
        "the file: fill in {column}, or --set {column}=VALUE if that is an option here",
    ),
    (r"a list or an object, expected", "the file: write text or a number there"),
    (r"forgotten", "nothing: this learner asked to be forgotten"),
)


def list_mends(counts: pl.DataFrame) -> list[str]:
    """List what mends the rejects, a line each, most rows first, a header first; [] where nothing is known.

    `counts` are those of `count_rejects`: value, rows, first, reason.
    """
    found: dict[str, tuple[int, str]] = {}
    for value, rows, first, reason in counts.select("value", "rows", "first", "reason").iter_rows():
        mended = _find_mend(reason)
        if mended:
            n, example = found.get(mended, (0, value if value and not _SEVERAL.match(value) else first))
            found[mended] = (n + rows, example)
    if not found:
        return []
    ordered = sorted(found.items(), key=lambda one: -one[1][0])
    lines = [
        f"  {n:>7,}  {clean(example, _WIDE):{_WIDE}}  {mended}" for mended, (n, example) in ordered[:_SHOWN]
    ]
    more = len(ordered) - _SHOWN
    return [
        "what mends them:",
        f"  {'rows':>7}  {'such as':{_WIDE}}  mended by",
        *lines,
        *([f"  and {more} more kinds"] if more > 0 else []),
    ]


def _find_mend(reason: str) -> str:
    for pattern, mend in _MENDS:
        if match := re.search(pattern, reason):
            column = next((group for group in match.groups() if group), "")
            return mend.replace("{column}", column)
    return ""


def join_lines(lines: Sequence[str]) -> str:
    """Join lines to the end of a message; "" for none."""
    return "".join(f"\n{line}" for line in lines)
