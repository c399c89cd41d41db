"""Fields of tables that users map by name: find our columns, and parse their text."""

from dataclasses import dataclass

import polars as pl

from ....schemas.errors import SourceError
from ..batch import Context, add_raw
from .delimited import name_column
from .numbered_lines import Input
from .table_files import convert_to_text, list_columns


@dataclass(frozen=True)
class Columns:
    """The required and the optional columns of a table of signals."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


def map_names(file: Input, context: Context, columns: Columns) -> dict[str, str]:
    """Map our columns to the file's names for them.

    Raises SourceError if a column that is required, or that the user mapped, is missing.
    """
    unknown = set(context.columns) - {*columns.required, *columns.optional}
    if unknown:
        known = ", ".join((*columns.required, *columns.optional))
        raise SourceError(f"--map {sorted(unknown)[0]}=…: not a column here; expected one of {known}")
    have = list_columns(file)
    names = {name: context.columns.get(name, name) for name in (*columns.required, *columns.optional)}
    for ours, theirs in names.items():
        if theirs not in have and (ours in columns.required or ours in context.columns):
            raise SourceError(
                f"{file.path}: no column '{theirs}' for {ours}; the file has {', '.join(have) or 'none'}; "
                f"use --map {ours}=COLUMN"
            )
    return names


def select_column(records: pl.DataFrame, ours: str, theirs: str) -> pl.Expr:
    """Select the file's column under our name; null if the file has none.

    As text, except for typed times.
    """
    name = name_column(theirs)
    if ours == "at" and isinstance(records.schema.get(name), pl.Datetime):
        return pl.col(name).alias(ours)
    return convert_to_text(records, name).alias(ours)


def select_wrong(records: pl.DataFrame, wrong: pl.DataFrame) -> pl.DataFrame:
    """Select line, raw (as in the file) and reason of the wrong records."""
    there = add_raw(records.join(wrong, on="line", how="semi")).select("line", "raw")
    return there.join(wrong.select("line", "reason"), on="line")


def expect(column: str, expected: str) -> pl.Expr:
    """Write a reason for a rejected row: the column's value, and what was expected."""
    return pl.format(
        "{} is '{}', expected {}", pl.lit(column), pl.col(column).fill_null(""), pl.lit(expected)
    )


def parse_whole(column: str) -> pl.Expr:
    """Parse whole numbers, null for the rest; 4.0 is one, as tables with gaps write it."""
    number = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(number % 1 == 0).then(number.cast(pl.Int64, strict=False))


def parse_bool(text: pl.Expr) -> pl.Expr:
    """Parse true, false, 1 and 0, in any case; null for the rest."""
    known = {"true": True, "1": True, "false": False, "0": False}
    return text.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.Boolean)


def parse_time(rows: pl.DataFrame) -> pl.DataFrame:
    """Parse `at` (ISO 8601, typed, or seconds since 1970; UTC without an offset) into `time`.

    Ten digits are seconds, thirteen milliseconds, sixteen microseconds.
    """
    time = _parsed_time() if rows.schema["at"] == pl.String else _typed_time(rows.schema["at"])
    return rows.with_columns(
        pl.when(time.dt.year().is_between(1, 9999)).then(time).alias("time"), pl.col("at").cast(pl.String)
    )


def _typed_time(kind: pl.DataType) -> pl.Expr:
    zoned = isinstance(kind, pl.Datetime) and kind.time_zone is not None
    return pl.col("at") if zoned else pl.col("at").dt.replace_time_zone("UTC")


def _parsed_time() -> pl.Expr:
    at = pl.col("at").str.replace(" ", "T", literal=True)
    with_offset = at.str.strptime(pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%S%.f%#z", strict=False)
    without = (
        at.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
    )
    number = at.str.extract(r"^(\d{10}(?:\d{3}){0,2})$")
    epoch = pl.from_epoch(number.str.pad_end(16, "0").cast(pl.Int64), time_unit="us")
    return pl.coalesce(with_offset, *without, epoch.dt.replace_time_zone("UTC"))


def check_time() -> tuple[pl.Expr, pl.Expr]:
    """Check for times that `parse_time` could not parse: a mask and a reason."""
    unread = pl.col("at").is_not_null() & pl.col("time").is_null()
    return unread, expect("at", "an ISO 8601 time such as 2026-05-04T10:00:00Z")
