"""Find the header of a table below title rows; leave out rows that repeat it or are empty.

Results of spring term
                                  title rows: noted
learner;item;correct              the header: the first row with most of the wanted columns
ada;7;1
learner;item;correct              the header again: counted in a note
;;                                an empty row: counted in a note
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

import polars as pl

from .numbered_lines import Input

HEADER_ROWS = 100  # rows at the start of a table in which its header is looked for
UNNAMED = "\x02"  # in columns that cannot be named: of no name, or of a name that others have
Blocks = Iterator[tuple[pl.DataFrame, pl.DataFrame]]


def find_header(rows: Sequence[Sequence[str | None]], wanted: Collection[str]) -> int:
    """Find the row that is the header: the first of those with most of the columns `wanted`, in any case.

    If no row has any, it is the first with two filled cells, else the first.
    """
    if not wanted:
        return 0
    names = {name.lower() for name in wanted}
    filled = [{(cell or "").strip().lower() for cell in row} - {""} for row in rows]
    most = max(range(len(rows)), key=lambda n: len(filled[n] & names))
    if filled[most] & names:
        return most
    return next((n for n, cells in enumerate(filled) if len(cells) > 1), 0)


def list_header_columns(header: Sequence[str]) -> list[str]:
    """List distinct columns for the fields of a header.

    A name of several fields is the column of none of them: each gets UNNAMED and a number after it, so that
    `find_twice` finds it. A field without a name gets UNNAMED and a number.
    """
    count = Counter(header)
    return [
        name_column(name) if name and count[name] == 1 else f"{name}{UNNAMED}{n}"
        for n, name in enumerate(header, 1)
    ]


def list_names(columns: Iterable[str]) -> list[str]:
    """List the names in a header, each once, from its columns."""
    names = [name.partition(UNNAMED)[0].strip() for name in columns]
    return [name for name in dict.fromkeys(names) if name]


def find_twice(columns: Iterable[str], name: str) -> int:
    """Count the columns of a header that share this name; 0 if it is there once, or not at all."""
    return sum(column.partition(UNNAMED)[0] == name for column in columns if UNNAMED in column)


def name_column(field: str) -> str:
    """Name the column for a field of the header: the field's name, unless it is one of ours."""
    return f"{field} " if field in ("line", "raw") else field


def note_title(file: Input, above: int) -> None:
    """Note how many rows stand above the header, if any."""
    if above:
        rows = "1 row" if above == 1 else f"{above} rows"
        file.notes.append(f"{file.name}: {rows} above the header not read")


def drop_repeats(file: Input, blocks: Blocks) -> Blocks:
    """Drop records that are empty or repeat the header, and note how many there were.

    Records have line, raw and text columns as `list_header_columns` names them.
    """
    empty, again = 0, list[int]()
    for records, bad in blocks:
        found = _find_left_out(records)
        if found is None:
            yield records, bad
        else:
            empty += int(found["empty"].sum())
            again += records.filter(found["again"])["line"].to_list()
            yield records.filter(~(found["empty"] | found["again"])), bad
    if again:
        rows = "1 more row" if len(again) == 1 else f"{len(again):,} more rows"
        file.notes.append(f"{file.name}: the header stands on {rows}, the first is {again[0]}; not read")
    if empty:
        rows = "1 empty row" if empty == 1 else f"{empty:,} empty rows"
        file.notes.append(f"{file.name}: {rows} left out")


def _find_left_out(records: pl.DataFrame) -> pl.DataFrame | None:
    """Masks `empty` and `again` of records; None if no record is either."""
    columns = [column for column in records.columns if column not in ("line", "raw")]
    named = {column: name for column in columns if (name := column.partition(UNNAMED)[0].strip())}
    if not named or records.is_empty():
        return None
    # One column tells most tables that nothing is to be left out.
    first = records.select(_text(next(iter(named))).alias("cell"))["cell"]
    if not ((first == next(iter(named.values()))) | (first == "")).any():
        return None
    return records.select(
        pl.all_horizontal(_text(column) == "" for column in columns).alias("empty"),
        pl.all_horizontal(_text(column) == name for column, name in named.items()).alias("again"),
    )


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.strip_chars().fill_null("")
