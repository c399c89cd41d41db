"""Fields of tables that people map by name: which column is ours, and its text as what it stands for."""

from dataclasses import dataclass

import polars as pl

from ....schemas.errors import SourceError
from ..batch import Context, add_raw
from .delimited import column
from .numbered_lines import Input
from .table_files import as_text, column_names


@dataclass(frozen=True)
class Columns:
    """What a table of signals must and may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


def their_names(file: Input, context: Context, columns: Columns) -> dict[str, str]:
    """What the file calls our columns; SourceError where one that is needed, or was named, is not there."""
    unknown = set(context.columns) - {*columns.required, *columns.optional}
    if unknown:
        known = ", ".join((*columns.required, *columns.optional))
        raise SourceError(f"--map {sorted(unknown)[0]}=…: not a column here; expected one of {known}")
    have = column_names(file)
    names = {name: context.columns.get(name, name) for name in (*columns.required, *columns.optional)}
    for ours, theirs in names.items():
        if theirs not in have and (ours in columns.required or ours in context.columns):
            raise SourceError(
                f"{file.path}: no column '{theirs}' for {ours}; the file has {', '.join(have) or 'none'}; "
                f"use --map {ours}=COLUMN"
            )
    return names


def under_our_name(records: pl.DataFrame, ours: str, theirs: str) -> pl.Expr:
    """The file's column under our name, null where it has none; as text, but for times that are typed."""
    name = column(theirs)
    if ours == "at" and isinstance(records.schema.get(name), pl.Datetime):
        return pl.col(name).alias(ours)
    return as_text(records, name).alias(ours)


def as_read(records: pl.DataFrame, wrong: pl.DataFrame) -> pl.DataFrame:
    """Line, raw and reason of the wrong ones, raw as the file has it."""
    there = add_raw(records.join(wrong, on="line", how="semi")).select("line", "raw")
    return there.join(wrong.select("line", "reason"), on="line")


def got(column: str, expected: str) -> pl.Expr:
    """A reason: what stands in the column, and what was expected."""
    return pl.format(
        "{} is '{}', expected {}", pl.lit(column), pl.col(column).fill_null(""), pl.lit(expected)
    )


def whole(column: str) -> pl.Expr:
    """Whole numbers, null for the rest; 4.0 is one, as tables with gaps write it."""
    number = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(number % 1 == 0).then(number.cast(pl.Int64, strict=False))


def truth(text: pl.Expr) -> pl.Expr:
    """true, false, 1 or 0, in any case; null for the rest."""
    known = {"true": True, "1": True, "false": False, "0": False}
    return text.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.Boolean)


def with_time(rows: pl.DataFrame) -> pl.DataFrame:
    """`at` (ISO 8601, typed, or seconds since 1970; UTC where it has no offset) parsed into `time`.

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


def bad_time() -> tuple[pl.Expr, pl.Expr]:
    """A check for what `with_time` could not parse."""
    unread = pl.col("at").is_not_null() & pl.col("time").is_null()
    return unread, got("at", "an ISO 8601 time such as 2026-05-04T10:00:00Z")
