"""Fields of tables that users map by name: find our columns, and parse their text."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from ....schemas.cells import CHOICES, TRUTHS, ZEROS
from ....schemas.errors import SourceError
from ....schemas.support.nearest import find_nearest, suggest
from ..batch import Context, add_raw
from .header import name_column
from .numbered_lines import Input
from .table_files import convert_to_text, list_columns

PLACE = re.compile(r"\{(\w*)\}")
"""What stands at {…} in names of a wide table's columns fills our column of that name."""


_OFTEN_ONE = ("criterion", "measure", "task")  # columns that have one value in many tables
_OR_SET = ", or --set {}=VALUE if it is the same in all rows"


@dataclass(frozen=True)
class Columns:
    """The required and the optional columns of a table of signals."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    value: str = ""  # the column that cells of a wide table hold
    extra: tuple[str, ...] = ()  # what else a pattern of a wide table may name
    extra_only: bool = False  # it names nothing of ours
    asked: tuple[str, ...] = ()  # columns that such an extra name gives

    @property
    def all(self) -> tuple[str, ...]:
        """All columns, the required ones first."""
        return (*self.required, *self.optional)


def map_names(file: Input, context: Context, columns: Columns) -> dict[str, str]:
    """Map our columns to the file's names for them.

    Raises SourceError if a column that is required, or that the user mapped, is missing.
    """
    _check_known("--map", context.columns, columns)
    _check_known("--set", context.constants, columns)
    names = {name: context.columns.get(name, name) for name in columns.all}
    have = list_columns(file, list(names.values()))
    given = _list_given(context, columns)
    faults: list[tuple[str, str, str]] = []
    for ours, theirs in names.items():
        needed = ours in columns.required and ours not in given
        if theirs not in have and (needed or ours in context.columns):
            near = find_nearest(theirs, have)
            remedy = shlex.quote(f"{ours}={near or 'COLUMN'}")
            either = _OR_SET.format(ours) if ours in _OFTEN_ONE else ""
            faults.append((ours, theirs, f"--map {remedy}{either}"))
    if faults:
        raise SourceError(_explain_missing(file, faults, have))
    return names


def _explain_missing(file: Input, faults: list[tuple[str, str, str]], have: list[str]) -> str:
    """Explain which columns are missing, all at once, each with the option that names it."""
    there = f"the file has {', '.join(have) or 'none'}"
    if len(faults) == 1:
        ours, theirs, remedy = faults[0]
        return f"{file.path}: no column '{theirs}' for {ours}; {there}; use {remedy}"
    lines = [f"\n  no column '{theirs}' for {ours}: use {remedy}" for ours, theirs, remedy in faults]
    return f"{file.path}: {len(faults)} columns are missing; {there}{''.join(lines)}"


def _check_known(option: str, names: Iterable[str], columns: Columns) -> None:
    """Check the columns that an option names. Raises SourceError that names the near one, or all."""
    for name in names:
        if name not in columns.all:
            hint = suggest(name, columns.all, "expected one of", " ")
            raise SourceError(f"{option} {name}=…: not a column here; {hint}")


def _list_given(context: Context, columns: Columns) -> set[str]:
    """List our columns that a constant or a pattern gives, so that the file need not have them."""
    places = set(PLACE.findall(context.wide))
    given = {*context.constants, *places}
    return (
        given
        | ({columns.value} if context.wide else set())
        | (set(columns.asked) if places & set(columns.extra) else set())
    )


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
    """Parse whole numbers, null for the rest; 4.0 and 4,0 are one, as tables with gaps write it."""
    number = parse_number(pl.col(column))
    return pl.when(number % 1 == 0).then(number.cast(pl.Int64, strict=False))


def parse_number(text: pl.Expr) -> pl.Expr:
    """Parse numbers, null for the rest; 4,0 is 4."""
    return _plain_number(text).cast(pl.Float64, strict=False)


def parse_bool(text: pl.Expr) -> pl.Expr:
    """Parse true, t, yes, y, 1, 1.0 and false, f, no, n, 0, 0.0, in any case; null for the rest."""
    word = _plain_number(text.str.strip_chars()).str.to_lowercase()
    return word.replace_strict(TRUTHS, default=None, return_dtype=pl.Boolean)


def parse_choice(column: str) -> pl.Expr:
    """Parse a, b and tie, in any case, under the same name; other words stay as they are."""
    word = pl.col(column).str.to_lowercase()
    return pl.when(word.is_in(CHOICES)).then(word).otherwise(column).alias(column)


def _plain_number(text: pl.Expr) -> pl.Expr:
    """The text without the zeros after a decimal point or comma."""
    digit_first = text.str.contains(r"^[+-]?\d")
    return pl.when(digit_first).then(text.str.replace(ZEROS, "")).otherwise(text)


def parse_time(rows: pl.DataFrame, form: str = "") -> pl.DataFrame:
    """Parse `at` into `time`: typed, as text in ISO 8601 or like it, or as a number since 1970.

    Without an offset it is UTC; UTC, GMT and offsets may follow after a space; seconds, or the whole time
    of day, may be missing; 24:00 is the next day's 0:00; the year comes first. Ten digits since 1970 are
    seconds, thirteen milliseconds, sixteen microseconds, nineteen nanoseconds. With `form` (such as "%d.%m.%Y
    %H:%M") text is read so and not otherwise.
    """
    if rows.schema["at"] != pl.String:
        time = rows.select(_typed_time(rows.schema["at"])).to_series()
    elif form:
        time = _formatted(rows["at"], form)
    else:
        time = rows.select(_usual_time()).to_series()
        missed = rows["at"].is_not_null() & time.is_null()
        if missed.any():
            other = rows.filter(missed).select(_other_time(pl.col("at"))).to_series()
            place = missed.cum_sum().cast(pl.Int64) - 1
            time = pl.select(
                pl.when(missed)
                .then(other.gather(pl.select(pl.lit(place).clip(0)).to_series()))
                .otherwise(time)
            ).to_series()
    found = rows.with_columns(time.alias("time"))
    return found.with_columns(
        pl.when(pl.col("time").dt.year().is_between(1, 9999)).then("time").alias("time"),
        pl.col("at").cast(pl.String),
    )


def _typed_time(kind: pl.DataType) -> pl.Expr:
    zoned = isinstance(kind, pl.Datetime) and kind.time_zone is not None
    return pl.col("at") if zoned else pl.col("at").dt.replace_time_zone("UTC")


def _usual_time() -> pl.Expr:
    """The forms that programs write most, which are quick to read."""
    at = pl.col("at").str.replace(" ", "T", literal=True)
    with_offset = at.str.strptime(pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%S%.f%#z", strict=False)
    without = at.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us", time_zone="UTC")
    return pl.coalesce(with_offset, without)


_DATE = r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
_CLOCK = r"(\d{1,2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
_OFFSET = r"(?:Z|UTC|GMT|([+-])(\d{2})(?::?(\d{2}))?)"
_TIME = rf"^(?i){_DATE}(?:(?:T| +){_CLOCK}(?: *{_OFFSET})?)?$"
_EPOCH = r"^(\d{10}(?:\d{3}){0,3})(?:\.(\d+))?$"


def _other_time(at: pl.Expr) -> pl.Expr:
    """Other ways to write a time with the year first, and numbers since 1970."""
    part = {name: at.str.extract(_TIME, i) for i, name in enumerate("YmdHMSfszo", 1)}
    text = pl.format(
        "{}-{}-{} {}:{}:{}.{}",
        *(part[name].str.zfill(2) for name in "Ymd"),
        *(part[name].fill_null("0").str.zfill(2) for name in "HMS"),
        part["f"].fill_null("0"),
    )
    # 24:00 is the end of a day, in ISO 8601 until 2019.
    midnight = text.str.contains(r" 24:00:00\.0*$")
    text = text.str.replace(r" 24(:00:00\.0*)$", " 00$1")
    local = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us", time_zone="UTC")
    local = pl.when(midnight).then(local + pl.duration(days=1)).otherwise(local)
    minutes = part["z"].cast(pl.Int64) * 60 + part["o"].fill_null("0").cast(pl.Int64)
    behind = pl.when(part["s"] == "-").then(-minutes).otherwise(minutes).fill_null(0)
    number, rest = at.str.extract(_EPOCH, 1), at.str.extract(_EPOCH, 2).fill_null("")
    digits = pl.concat_str(number, rest).str.pad_end(16, "0").str.head(16)
    epoch = pl.from_epoch(digits.cast(pl.Int64), time_unit="us").dt.replace_time_zone("UTC")
    return pl.coalesce(local - pl.duration(minutes=behind), epoch)


def _formatted(at: pl.Series, form: str) -> pl.Series:
    """Times in a format of strftime. Raises SourceError if the format is not one."""
    example = pl.Series([datetime(2026, 5, 14, 10, 20, 30, tzinfo=UTC)])
    try:
        # What a day is written as must be read as that day: a format without a year is none.
        again = example.dt.to_string(form).str.to_datetime(form, strict=False, time_unit="us")
        sound = again.dt.date().item() == example.dt.date().item()
        read = at.str.to_datetime(form, strict=False, time_unit="us")
    except pl.exceptions.PolarsError:
        sound = False
    if not sound:
        raise SourceError(
            f"--date-format {form}: names no day with its year; write it like %d.%m.%Y or %d.%m.%Y %H:%M"
        )
    zone = getattr(read.dtype, "time_zone", None)
    return read.dt.convert_time_zone("UTC") if zone else read.dt.replace_time_zone("UTC")


def check_time(form: str = "") -> tuple[pl.Expr, pl.Expr]:
    """Check for times that `parse_time` with this `form` could not parse: a mask and a reason."""
    unread = pl.col("at").is_not_null() & pl.col("time").is_null()
    known = "an ISO 8601 time such as 2026-05-04T10:00:00Z (for other forms use --date-format)"
    return unread, expect("at", f"a time by --date-format {form}" if form else known)
