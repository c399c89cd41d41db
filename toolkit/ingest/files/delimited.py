"""CSV and TSV as records with line numbers: set-based, and bad records are kept.

    completion_a,completion_b,choice
    mn-01-a,mn-01-b,"a"

RFC 4180 quoting, line ends inside quotes included. A record's line is the line it starts on.
Only a quote at the start of a field opens one, so that a stray quote inside a field (5" screen)
swallows nothing. A first line "sep=;" (Excel's) is no record. Columns may be without a name, or share one,
as long as nobody asks for them by name.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator

import polars as pl

from ....schemas.cells import find_separator, read_separator_line
from ....schemas.errors import SourceError
from ..batch import find_reason
from .numbered_lines import Input, OnBytes, read_lines, read_start

UNNAMED = "\x02"  # in columns that cannot be named: of no name, or of a name that others have
_QUOTED = r'"(?:[^"]|"")*"'
_MARK = "\x01"  # replaces a quoted field while the rest of the record is checked
_HEADER_LINES = 100  # looked at together for the header alone
_LONGEST = 10_000  # lines; a quote open for longer is a stray one


def read_records(
    file: Input, delimiter: str = ",", on_bytes: OnBytes = lambda _: None, distinct: bool = True
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Read blocks of (records, rejects).

    records: one text column per header field (see `list_header_columns`), `line` and `raw`; empty fields are
    null.
    rejects: line, raw, reason. Blank lines are neither. A quote that is never closed costs its own line only:
    what it would swallow is read line by line. Raises SourceError without a usable header, or with `distinct`
    if several columns share a name.
    """
    header: list[str] | None = None
    for joined in _joined(_after_hint(read_lines(file, on_bytes=on_bytes, keep_cr=True)), delimiter):
        records = joined
        if header is None:
            header, records = _take_header(file, joined, delimiter, distinct)
        if header is not None:
            yield _parse(records, header, delimiter)
    if header is None:
        raise _no_header(file)


def read_header(file: Input, delimiter: str = ",", distinct: bool = True) -> list[str]:
    """Read the names of the columns that `read_records` returns, from no more records than needed.

    Raises SourceError without a usable header.
    """
    lines = _after_hint(read_lines(file, keep_cr=True))
    few = (part for block in lines for part in block.iter_slices(_HEADER_LINES))
    for joined in _joined(few, delimiter):
        header, _ = _take_header(file, joined, delimiter, distinct)
        if header is not None:
            return header
    raise _no_header(file)


def find_delimiter(file: Input, default: str = ",") -> str:
    """Find the separator of a table: the one that a line "sep=;" names, or that divides the header best.

    Raises SourceError if the file cannot be read as text.
    """
    lines = [line for line in read_start(file).split("\n") if line.strip()]
    hint = read_separator_line(lines[0]) if lines else None
    header = [*lines[hint is not None :], ""][0]
    return hint or find_separator(header, default)


def _after_hint(blocks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same blocks of lines, without Excel's line "sep=;" at the start."""
    for n, block in enumerate(blocks):
        hinted = not n and block.height and read_separator_line(block["raw"][0]) is not None
        yield block[1:] if hinted else block


def _no_header(file: Input) -> SourceError:
    return SourceError(f"{file.path}: is empty; expected a header line with the column names")


def _joined(blocks: Iterator[pl.DataFrame], delimiter: str) -> Iterator[pl.DataFrame]:
    """The lines of blocks as records of one or more lines."""
    rest = pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "damaged": pl.Boolean})
    for block in blocks:
        joined, rest = _join_quoted(pl.concat([rest, block]), delimiter)
        if rest.height > _LONGEST:
            joined, rest = pl.concat([joined, rest]), rest.clear()
        yield joined
    if rest.height:
        yield rest


def _join_quoted(lines: pl.DataFrame, delimiter: str) -> tuple[pl.DataFrame, pl.DataFrame]:
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
    stray = (pl.col("len") > 1) & _misquoted(delimiter)
    by_line = whole.join(records.filter(stray), on="record", how="semi")
    kept = ("line", "raw", "damaged")
    return pl.concat([records.filter(~stray).select(kept), by_line.select(kept)]).sort("line"), rest


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
    bare = text.str.replace_all(_MARK, " ", literal=True).str.replace_all(delimiter + _QUOTED, _MARK)
    # "a"" is open: its second and third quote are an escaped one.
    return bare.str.contains(f'[{delimiter}{_MARK}]"')


def _take_header(
    file: Input, records: pl.DataFrame, delimiter: str, distinct: bool
) -> tuple[list[str] | None, pl.DataFrame]:
    """Column names, and the records after them; None if there is no record yet."""
    filled = records.filter(_filled(delimiter)).with_columns(pl.col("raw").str.strip_suffix("\r"))
    if filled.is_empty():
        return None, records.clear()
    first = filled.head(1)
    line, raw = first["line"][0], first["raw"][0]
    sound = first.select(~pl.col("damaged") & ~_misquoted(delimiter)).item()
    width = first.select(_bare().str.count_matches(delimiter, literal=True) + 1).item()
    names = _fields(first["raw"], width, delimiter).row(0) if sound else ()
    header = [str(name or "").strip() for name in names]
    if not any(header):
        raise SourceError(f"{file.path}:{line}: expected a header with column names, got '{raw[:80]}'")
    if distinct and len({*filter(None, header)}) < len([*filter(None, header)]):
        raise SourceError(
            f"{file.path}:{line}: expected a header with distinct column names, got '{raw[:80]}'"
        )
    return list_header_columns(header), records.filter(pl.col("line") > line)


def list_header_columns(header: list[str]) -> list[str]:
    """List distinct columns for the fields of a header.

    A name of several fields is the column of none of them: each gets UNNAMED and a number after it, so that
    `find_twice` finds it. A field without a name gets UNNAMED and a number.
    """
    count = Counter(header)
    return [
        name_column(name) if name and count[name] == 1 else f"{name}{UNNAMED}{n}"
        for n, name in enumerate(header, 1)
    ]


def find_twice(columns: Iterable[str], name: str) -> int:
    """Count the columns of a header that share this name; 0 if it is there once, or not at all."""
    return sum(column.partition(UNNAMED)[0] == name for column in columns if UNNAMED in column)


def name_column(field: str) -> str:
    """Name the column for a field of the header: the field's name, unless it is one of ours."""
    return f"{field} " if field in ("line", "raw") else field


def _filled(delimiter: str) -> pl.Expr:
    """Not a blank line; delimiters alone are a record of empty fields, tabs included."""
    text = pl.col("raw")
    return (text.str.strip_chars() != "") | text.str.contains(delimiter, literal=True)


def _bare() -> pl.Expr:
    """The record with every quoted field replaced by a mark."""
    return pl.col("raw").str.replace_all(_MARK, " ", literal=True).str.replace_all(_QUOTED, _MARK)


def _misquoted(delimiter: str) -> pl.Expr:
    """True if a quote is not closed, or is not around a whole field."""
    return _bare().str.contains(rf'"|[^{delimiter}]{_MARK}|{_MARK}[^{delimiter}]')


def _parse(records: pl.DataFrame, header: list[str], delimiter: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split well-formed records into fields; give the reason for the others."""
    rows = records.with_columns(pl.col("raw").str.strip_suffix("\r")).filter(_filled(delimiter))
    found = _bare().str.count_matches(delimiter, literal=True) + 1
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
