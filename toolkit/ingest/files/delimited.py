"""CSV and TSV as records with line numbers: set-based, and bad records are kept.

    completion_a,completion_b,choice
    mn-01-a,mn-01-b,"a"

RFC 4180 quoting, line ends inside quotes included. A record's line is the line it starts on.
Only a quote at the start of a field opens one, so that a stray quote inside a field (5" screen)
swallows nothing. A first line "sep=;" (Excel's) is no record. Columns may be without a name, or share one,
as long as nobody asks for them by name.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator

import polars as pl

from ....schemas.cells import SEPARATORS, find_separator, read_separator_line
from ....schemas.errors import SourceError
from ..batch import find_reason
from .header import HEADER_ROWS, find_header, list_header_columns, note_title
from .numbered_lines import LONGEST_BYTES, Input, OnBytes, read_lines, read_start

_QUOTED = r'"(?:[^"]|"")*"'
_MARK = "\x01"  # replaces a quoted field while the rest of the record is checked
_LONGEST = 10_000  # lines; a quote open for longer is a stray one
_MOSTLY = 0.9  # of the lines in a record
_LONG = 50  # lines of a field; more that look like rows are worth a note


def read_records(
    file: Input,
    delimiter: str = ",",
    on_bytes: OnBytes = lambda _: None,
    distinct: bool = True,
    wanted: Collection[str] = (),
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Read blocks of (records, rejects).

    records: one text column per header field (see `list_header_columns`), `line` and `raw`; empty fields are
    null. With the columns `wanted`, the header may stand below title rows (see `find_header`).
    rejects: line, raw, reason. Blank lines are neither. A quote that is never closed, or only by another
    stray one, costs its own line only: what it would swallow is read line by line. Raises SourceError without
    a usable header, or with `distinct` if several columns share a name.
    """
    header, at, above = _read_header(file, delimiter, distinct, wanted)
    note_title(file, above)
    lines = _after_hint(read_lines(file, on_bytes=on_bytes, keep_cr=True))
    for joined in _joined(lines, delimiter, len(header), file):
        first = joined.height and joined["line"][0] <= at
        yield _parse(joined.filter(pl.col("line") > at) if first else joined, header, delimiter)


def read_header(
    file: Input, delimiter: str = ",", distinct: bool = True, wanted: Collection[str] = ()
) -> list[str]:
    """Read the names of the columns that `read_records` returns, from no more records than needed.

    Raises SourceError without a usable header.
    """
    return _read_header(file, delimiter, distinct, wanted)[0]


def find_delimiter(file: Input, default: str = ",", wanted: Collection[str] = ()) -> str:
    """Find the separator of a table: the one that a line "sep=;" names, or that divides the header best.

    The header is the line, among the first, with most of the columns `wanted`. Raises SourceError if the file
    cannot be read as text.
    """
    lines = [line for line in read_start(file, quotes=True).split("\n") if line.strip()]
    hint = read_separator_line(lines[0]) if lines else None
    rows = lines[hint is not None :][: HEADER_ROWS if wanted else 1]
    if hint or not rows:
        return hint or default
    cells = [_split(row.rstrip("\r"), separator) for row in rows for separator in SEPARATORS]
    header = rows[find_header(cells, wanted) // len(SEPARATORS)]
    return find_separator(header, default, {name.lower() for name in wanted})


def _split(record: str, delimiter: str) -> list[str]:
    """The fields of a record, for finding the header; none if it is no well-formed record."""
    try:
        return next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _after_hint(blocks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same blocks of lines, without Excel's line "sep=;" at the start."""
    for n, block in enumerate(blocks):
        hinted = not n and block.height and read_separator_line(block["raw"][0]) is not None
        yield block[1:] if hinted else block


def _empty_lines() -> pl.DataFrame:
    return pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "damaged": pl.Boolean})


def _joined(
    blocks: Iterator[pl.DataFrame], delimiter: str, width: int = 0, file: Input | None = None
) -> Iterator[pl.DataFrame]:
    """The lines of blocks as records of one or more lines; what looks wrong in `file` is noted there."""
    rest = _empty_lines()
    for block in blocks:
        joined, rest = _join_quoted(pl.concat([rest, block]), delimiter, width, file)
        if rest.height > _LONGEST or rest.estimated_size() > LONGEST_BYTES:
            joined, rest = pl.concat([joined, rest]), rest.clear()
        yield joined
    if rest.height:
        yield rest


def _join_quoted(
    lines: pl.DataFrame, delimiter: str, width: int = 0, file: Input | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records of one or more lines, and the lines after the last closed record."""
    if not lines["raw"].str.contains('"', literal=True).any():
        return lines, lines.clear()
    marked = lines.with_columns(_open_after(delimiter).alias("open"))
    closed = marked.with_row_index("i").filter(~pl.col("open"))["i"]
    last = int(closed[-1]) + 1 if len(closed) else 0
    whole, rest = marked[:last], lines[last:]
    if not whole["open"].any():
        return whole.drop("open"), rest
    starts = ~pl.col("open").shift(1, fill_value=False)
    whole = whole.with_columns(starts.cum_sum().alias("record"))
    records = (
        whole.group_by("record", maintain_order=True)
        .agg(pl.col("line").first(), pl.col("raw").str.join("\n"), pl.col("damaged").any(), pl.len())
        .with_columns(pl.col("raw").str.strip_suffix("\r"))
    )
    swallowed = _find_swallowed(records, whole, delimiter, width, file) if file else []
    stray = (pl.col("len") > 1) & (_misquoted(delimiter) | pl.col("record").is_in(swallowed))
    by_line = whole.join(records.filter(stray), on="record", how="semi")
    kept = ("line", "raw", "damaged")
    return pl.concat([records.filter(~stray).select(kept), by_line.select(kept)]).sort("line"), rest


def _find_swallowed(
    records: pl.DataFrame, lines: pl.DataFrame, delimiter: str, width: int, file: Input
) -> list[int]:
    """Records of a wrong number of fields with whole rows inside: a stray quote begins and another ends them.

    A record with the right number of fields stays one, since its text may quote a table; a long one is noted.
    """
    odd = _count_fields(delimiter) != width
    long = records.filter((pl.col("len") > 2) & ~_misquoted(delimiter) & (odd | (pl.col("len") > _LONG)))
    if long.is_empty():
        return []
    inner = (
        lines.join(long, on="record", how="semi")
        .with_columns(((_count_fields(delimiter) == width) & ~_misquoted(delimiter)).alias("row"))
        .group_by("record", maintain_order=True)
        .agg(pl.col("row").slice(1, pl.len() - 2).mean())
        .filter(pl.col("row") > _MOSTLY)
    )
    rows = long.select("record", "line", "len", odd.alias("odd")).join(inner, on="record", how="semi")
    for line, length in rows.filter(~pl.col("odd")).select("line", "len").rows():
        note = (
            f"{file.name}:{line}: one field goes on for {length} lines that look like rows of their own; "
            "is a quote there not closed?"
        )
        file.notes.append(note)
    # Of two columns a single comma in a text makes a row: more lines are needed to be certain.
    return rows.filter("odd", (pl.col("len") - 2) * (width - 1) > 1)["record"].to_list()


def _open_after(delimiter: str) -> pl.Expr:
    """True for lines after which a quoted field is still open.

    A line either determines the state alone, or keeps or flips the state before it.
    """
    if_closed = _ends_open(delimiter, pl.concat_str(pl.lit(delimiter), "raw"))
    if_open = _ends_open(delimiter, pl.concat_str(pl.lit(delimiter + '"'), "raw"))
    settles = if_closed == if_open
    flips = (if_closed & ~if_open).cum_sum() % 2 == 1
    settled = pl.when(settles).then(if_closed).forward_fill().fill_null(False)
    flips_then = pl.when(settles).then(flips).forward_fill().fill_null(False)
    return settled != (flips != flips_then)


def _ends_open(delimiter: str, text: pl.Expr) -> pl.Expr:
    """True if a quote that opens a field of `text` is not closed; a delimiter starts every field."""
    bare = text.str.replace_all(_MARK, " ", literal=True).str.replace_all(
        re.escape(delimiter) + _QUOTED, _MARK
    )
    # "a"" is open: its second and third quote are an escaped one.
    return bare.str.contains(f'[{re.escape(delimiter)}{_MARK}]"')


def _read_header(
    file: Input, delimiter: str, distinct: bool, wanted: Collection[str]
) -> tuple[list[str], int, int]:
    """Column names, the line they stand on, and the filled rows above. Raises SourceError without any."""
    rows = HEADER_ROWS if wanted else 1
    filled = _empty_lines()
    lines = _after_hint(read_lines(file, keep_cr=True))
    for joined in _joined((part for block in lines for part in block.iter_slices(HEADER_ROWS)), delimiter):
        found = joined.filter(_filled(delimiter)).with_columns(pl.col("raw").str.strip_suffix("\r"))
        filled = pl.concat([filled, found])
        if filled.height >= rows:
            break
    if filled.is_empty():
        raise SourceError(f"{file.path}: is empty; expected a header line with the column names")
    filled = filled.head(rows)
    cells = [_split(raw, delimiter) for raw in filled["raw"]]
    place = find_header(cells, wanted)
    first = filled[place]
    line, raw = first["line"][0], first["raw"][0]
    sound = first.select(~pl.col("damaged") & ~_misquoted(delimiter)).item()
    width = first.select(_count_fields(delimiter)).item()
    names = _fields(first["raw"], width, delimiter).row(0) if sound else ()
    header = [str(name or "").strip() for name in names]
    if not any(header):
        raise SourceError(f"{file.path}:{line}: expected a header with column names, got '{raw[:80]}'")
    if distinct and len({*filter(None, header)}) < len([*filter(None, header)]):
        raise SourceError(
            f"{file.path}:{line}: expected a header with distinct column names, got '{raw[:80]}'"
        )
    above = sum(any(cell.strip() for cell in row) for row in cells[:place])
    return list_header_columns(header), line, above


def _filled(delimiter: str) -> pl.Expr:
    """Not a blank line; delimiters alone are a record of empty fields, tabs included."""
    text = pl.col("raw")
    return (text.str.strip_chars() != "") | text.str.contains(delimiter, literal=True)


def _count_fields(delimiter: str) -> pl.Expr:
    """The number of a record's fields."""
    return _bare().str.count_matches(delimiter, literal=True) + 1


def _bare() -> pl.Expr:
    """The record with every quoted field replaced by a mark."""
    return pl.col("raw").str.replace_all(_MARK, " ", literal=True).str.replace_all(_QUOTED, _MARK)


def _misquoted(delimiter: str) -> pl.Expr:
    """True if a quote is not closed, or is not around a whole field."""
    other = f"[^{re.escape(delimiter)}]"
    return _bare().str.contains(f'"|{other}{_MARK}|{_MARK}{other}')


def _parse(records: pl.DataFrame, header: list[str], delimiter: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split well-formed records into fields; give the reason for the others."""
    rows = records.with_columns(pl.col("raw").str.strip_suffix("\r")).filter(_filled(delimiter))
    rows = _cut_empty_fields(rows, len(header), delimiter)
    found = _count_fields(delimiter)
    checked = rows.with_columns(
        find_reason(
            (pl.col("damaged"), "not valid UTF-8"),
            (_misquoted(delimiter), "a quote is not closed, or does not stand around a whole field"),
            (
                found != len(header),
                pl.format("expected {} fields, found {}", pl.lit(len(header)), found),
            ),
        )
    )
    good = checked.filter(pl.col("reason").is_null())
    fields = _fields(good["raw"], len(header), delimiter)
    fields.columns = header
    fields = fields.with_columns(good["line"], good["raw"])
    return fields, checked.filter(pl.col("reason").is_not_null()).select("line", "raw", "reason")


def _cut_empty_fields(rows: pl.DataFrame, width: int, delimiter: str) -> pl.DataFrame:
    """Cut empty fields beyond the last column, as spreadsheets write them; fill an empty row to the width."""
    ends = rows["raw"].str.ends_with(delimiter)
    if not ends.any():
        return rows
    beyond = pl.max_horizontal(_count_fields(delimiter) - width, 0)
    there = pl.col("raw").str.len_chars() - pl.col("raw").str.strip_chars_end(delimiter).str.len_chars()
    kept = pl.col("raw").str.head(pl.col("raw").str.len_chars() - beyond)
    empty = pl.col("raw").str.replace_all(delimiter, "", literal=True).str.strip_chars() == ""
    return rows.with_columns(
        pl.when(empty & (width > 1))
        .then(pl.lit(delimiter * (width - 1)))
        .when(beyond <= there)
        .then(kept)
        .otherwise("raw")
        .alias("raw")
    )


def _fields(records: pl.Series, width: int, delimiter: str) -> pl.DataFrame:
    """Fields of records known to be well-formed; empty ones null, quoted or not."""
    names = [f"field_{i}" for i in range(width)]
    if records.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    # With an added header, so that a U+FEFF at the start of a record is not taken for a byte-order mark.
    text = "\n".join((delimiter.join(names), records.str.join("\n").item(), ""))
    fields = pl.read_csv(
        io.BytesIO(text.encode()),
        separator=delimiter,
        schema=dict.fromkeys(names, pl.String),
    )
    return fields.with_columns(pl.all().replace("", None))
