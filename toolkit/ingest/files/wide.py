"""Wide tables: one row a person and one column a question, or one row a question and one column a person.

    Timestamp,Name,Which is better: mn-01,Which is better: mn-02
    --map annotator=Name --wide 'Which is better: {prompt}'

A pattern names columns of the file; what stands at {…} fills our column of that name. Each cell that is
not empty becomes a row.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.support.nearest import suggest
from ..batch import FORGOTTEN_REASON, Context
from .fields import PLACE, Columns, map_names, select_column
from .header import name_column
from .numbered_lines import Input, OnBytes
from .table_files import convert_to_text, list_columns, read_table
from .values import check_values, replace_values

_PARTS = 1000  # values in one field, at most


@dataclass(frozen=True)
class MappedRows:
    """A block of rows under our names; `line` is the file's line times `width`, plus the cell's number."""

    rows: pl.DataFrame  # line and our columns, as text
    records: pl.DataFrame  # line, raw and the file's columns
    bad: pl.DataFrame  # line, raw, reason
    width: int
    names: dict[str, str]  # our column -> the file's
    met: frozenset[tuple[str, str]]
    notes: tuple[str, ...]
    cells: tuple[str, ...] = ()  # names of the columns with a value each, of a wide table

    def has_people(self, column: str) -> bool:
        """True if our column of people's ids is in the file, or a pattern or a constant gives it."""
        there = name_column(self.names[column]) in self.records.columns
        return there or self.rows[column].null_count() < self.rows.height


def read_rows(
    file: Input, context: Context, columns: Columns, on_bytes: OnBytes = lambda _: None
) -> Iterator[MappedRows]:
    """Read blocks of a table under our names; in a wide one, a row for each cell that is not empty.

    Values and constants of the user stand in place. Raises SourceError for a column that is missing, and a
    pattern that fits none.
    """
    check_values(context, columns.all)
    check_pattern(context.wide, columns)
    names = map_names(file, context, columns)
    have = list_columns(file, list(names.values()))
    cells = find_cells(file, context.wide, have, list(names.values()))
    notes = note_unused(have, [*names.values(), *(cells["column"] if cells is not None else [])])
    empty = 0
    for found, wrong in read_table(
        file, [*names.values(), *(cells["column"] if cells is not None else [])], on_bytes
    ):
        rows = found.select("line", *(select_column(found, *pair) for pair in names.items()))
        rows = rows.with_columns(
            pl.col(name).fill_null(pl.lit(value)) for name, value in context.constants.items()
        )
        width, records, bad = 1, found, wrong
        if cells is not None:
            width = cells.height
            rows = _unpivot(rows, records, cells, columns.value)
            empty += records.height * width - rows.height
        if context.split:
            rows = _split(rows, columns.value, context.split)
            width *= _PARTS
        if width > 1:
            of = rows.select("line", (pl.col("line") // width).alias("row_"))
            records = of.join(
                records.rename({"line": "row_"}), on="row_", how="left", maintain_order="left"
            ).drop("row_")
            bad = bad.with_columns(pl.col("line") * width)
        rows, met = replace_values(rows, context.values)
        asked = () if cells is None else tuple(cells["column"])
        yield MappedRows(rows, records, bad, width, names, met, notes, asked)
        notes = ()
    if empty:
        note = (f"{file.name}: {empty:,} of the cells that --wide names are empty",)
        none = pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "reason": pl.String})
        yield MappedRows(rows.clear(), records.clear(), none, 1, names, frozenset(), note)


def name_cells(wrong: pl.DataFrame, block: MappedRows) -> pl.DataFrame:
    """Name the column of each rejected cell of a wide table in its reason; `wrong` has line and reason."""
    if not block.cells:
        return wrong
    place = (pl.col("line") % block.width) // (block.width // len(block.cells))
    column = place.replace_strict(dict(enumerate(block.cells)), return_dtype=pl.String)
    named = pl.format("{} (column '{}')", "reason", column)
    return wrong.with_columns(
        pl.when(pl.col("reason") == FORGOTTEN_REASON).then("reason").otherwise(named).alias("reason")
    )


def restore_lines(rejects: pl.DataFrame, width: int) -> pl.DataFrame:
    """Give rejects of `MappedRows` the file's line numbers."""
    return rejects.with_columns(pl.col("line") // width)


def check_pattern(pattern: str, columns: Columns) -> None:
    """Raise SourceError if a pattern of columns names none of ours, another one, or one twice."""
    places = PLACE.findall(pattern)
    ours = () if columns.extra_only else (name for name in columns.all if name != columns.value)
    known = [*columns.extra, *ours]
    for name in places if places or not pattern else [""]:
        if name not in known:
            hint = suggest(name, known, "expected one of", " ")
            raise SourceError(f"--wide '{pattern}': no column of ours at {{{name}}}; {hint}")
        if places.count(name) > 1:
            raise SourceError(f"--wide '{pattern}': {{{name}}} stands twice; leave one")


def find_cells(file: Input, pattern: str, have: Sequence[str], read: Sequence[str]) -> pl.DataFrame | None:
    """Find the columns that a pattern names: column, and what stands at each {…}; None without a pattern.

    Columns in `read` are read under their own name and are left out. Raises SourceError if the pattern fits
    no column of the file.
    """
    if not pattern:
        return None
    parts = PLACE.split(pattern.strip())
    form = "".join(rf"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    found = {name: re.fullmatch(form, name, re.IGNORECASE | re.DOTALL) for name in have if name not in read}
    cells = [{"column": name, **match.groupdict()} for name, match in found.items() if match]
    if not cells:
        raise SourceError(
            f"{file.path}: --wide '{pattern}' fits none of its columns; "
            f"the file has {', '.join(have) or 'none'}"
        )
    return pl.DataFrame(cells).with_columns(pl.col(PLACE.findall(pattern)).str.strip_chars())


def _unpivot(rows: pl.DataFrame, records: pl.DataFrame, cells: pl.DataFrame, value: str) -> pl.DataFrame:
    """A row for each cell that is not empty, with what its column's name says."""
    texts = [convert_to_text(records, name_column(n)).alias(f"{i}") for i, n in enumerate(cells["column"])]
    numbered = cells.drop("column").with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).cast(pl.String).alias("cell_")
    )
    kept = rows.drop(value, *numbered.columns, strict=False)
    return (
        kept.hstack(records.select(texts))
        .unpivot(numbered["cell_"].to_list(), index=kept.columns, variable_name="cell_", value_name=value)
        .drop_nulls(value)
        .join(numbered, on="cell_", how="left", maintain_order="left")
        .with_columns(pl.col("line") * cells.height + pl.col("cell_").cast(pl.Int64))
        .sort("line")
        .drop("cell_")
    )


def _split(rows: pl.DataFrame, value: str, separator: str) -> pl.DataFrame:
    """A row for each part of a field with several values."""
    filled = pl.element().str.strip_chars().replace("", None).drop_nulls()
    parts = pl.col(value).fill_null("").str.split(separator).list.eval(filled)
    # A field without any value, or with too many, stays one row, which is rejected.
    several = parts.list.len().is_between(1, _PARTS)
    each = rows.with_columns(pl.when(several).then(parts).otherwise(pl.concat_list(value)).alias(value))
    each = each.with_columns(pl.int_ranges(pl.col(value).list.len(), dtype=pl.Int64).alias("part_"))
    return each.explode("part_", value).with_columns(pl.col("line") * _PARTS + pl.col("part_")).drop("part_")


def note_unused(have: Sequence[str], read: Sequence[str]) -> tuple[str, ...]:
    """Note the columns of the file that are not read."""
    unused = [name for name in have if name not in read]
    if not unused:
        return ()
    more = f" and {len(unused) - 12} more" if len(unused) > 12 else ""
    return (f"columns that are not read: {', '.join(unused[:12])}{more}",)
