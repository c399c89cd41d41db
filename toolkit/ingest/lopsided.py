"""Stop an ingest whose rejects would change what the rows that stay say.

    value                            taken  rejected  reason
    choice Both are equal                0       120  choice is '…', expected a, b or tie

Votes that lost all their ties, or a log that lost all its successes, are another message than the file's.
"""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from ...schemas.errors import SourceError
from ...schemas.support.text import clean
from .batch import FORGOTTEN_REASON

# Rows of a value that is lost altogether: of any value, and of one that is ours or may stand for one of ours.
_LEAST, _SHARE = 5, 0.005
_LEAST_OF_OURS, _SHARE_OF_OURS, _FEWEST = 3, 0.05, 2
_LEAST_OF_HALF = 10  # rejects that are more than the rows taken
_NUMBER = re.compile(r"[+-]?[\d.,]+")
_SHOWN = 8  # lines of the table


@dataclass(frozen=True)
class Said:
    """What a row says: the column that decides it, its value, and whether that is one of our values."""

    column: str
    value: pl.Expr
    ours: pl.Expr
    whole: tuple[str, ...] = ()  # all of our values, where they are few
    of: pl.Expr | None = None  # what the value is about, such as a criterion


def count_values(judged: pl.DataFrame, said: Said) -> pl.DataFrame:
    """Count the values of the column that decides what a row says, by value and reason.

    Columns: column, of, value, ours, whole, reason and n. `judged` has `reason`, null for rows taken. Quoted
    parts of reasons are left out, so that equal ones are counted together; empty values and rows of forgotten
    people are not counted.
    """
    of = [] if said.of is None else [said.of.cast(pl.String).alias("of")]
    counted = (
        judged.filter(pl.col("reason").fill_null("") != FORGOTTEN_REASON)
        .group_by(
            *of,
            said.value.cast(pl.String).alias("value"),
            pl.col("reason")
            .str.replace(r"^(\w+ is )'.*'(, expected .*)$", "$1'…'$2")
            .str.replace_all("'[^']*'", "'…'"),
        )
        .agg(pl.len().cast(pl.Int64).alias("n"), said.ours.fill_null(False).first().alias("ours"))
        .drop_nulls("value")
    )
    return counted.select(
        pl.lit(said.column).alias("column"),
        pl.col("of") if of else pl.lit(None, pl.String).alias("of"),
        "value",
        "ours",
        pl.lit(",".join(said.whole)).alias("whole"),
        "reason",
        "n",
    )


def check_lopsided(
    counts: Sequence[pl.DataFrame], rows: int, rejects: int, path: object, mends: Sequence[str] = ()
) -> None:
    """Raise SourceError if all rows of a value are rejected, or more rows are rejected than taken.

    `counts` are frames of `count_values`, `rows` were taken, `rejects` not (those of forgotten people aside);
    `mends` are lines of the message that say what mends them.
    """
    if not counts or not rejects:
        return
    names = ("column", "of", "value", "ours", "whole")
    values = pl.concat(counts).group_by(*names, "reason").agg(pl.col("n").sum())
    taken = pl.col("n").filter(pl.col("reason").is_null()).sum()
    each = values.group_by(names).agg(taken.alias("taken"), pl.col("n").sum().alias("all"))
    missing = _find_missing(each)
    all_, whole = pl.col("all"), rows + rejects
    enough = all_ >= max(_LEAST, _SHARE * whole)
    of_ours = (all_ >= _LEAST_OF_OURS) | ((all_ >= _SHARE_OF_OURS * whole) & (all_ >= _FEWEST))
    lost = each.filter(
        (pl.col("taken") == 0) & (enough | (of_ours & (pl.col("ours") | pl.lit(bool(missing)))))
    ).sort(-all_, "value")
    if lost.is_empty() and not (rejects > rows and rejects >= _LEAST_OF_HALF):
        return
    shown = _sort_rejects(values, each)
    words = ", ".join(f"'{clean(v, 30)}'" for v in lost["value"].head(3))
    what = f"all rows with {words}" if words else f"{rejects:,} of {whole:,} rows"
    raise SourceError(
        f"{path}: {what} are rejected, so the rest would say something else; nothing was stored\n"
        + "\n".join([*_lines(shown.iter_rows(named=True), shown.height), *_remedies(shown, missing), *mends])
        + "\nor keep the rest with --allow-rejects"
    )


def list_remedies(counts: Sequence[pl.DataFrame]) -> list[str]:
    """List, a line each, what to do about the rejects of a file of which no row was taken."""
    if not counts:
        return []
    names = ("column", "of", "value", "ours", "whole")
    values = pl.concat(counts).group_by(*names, "reason").agg(pl.col("n").sum())
    each = values.group_by(names).agg(taken=pl.lit(0), all=pl.col("n").sum())
    return _remedies(_sort_rejects(values, each), _find_missing(each))


def _sort_rejects(values: pl.DataFrame, each: pl.DataFrame) -> pl.DataFrame:
    """The rejected values by reason: those of which no row was taken first, then the most frequent."""
    names = ("column", "of", "value", "ours", "whole")
    shown = values.drop_nulls("reason").join(each, on=names, nulls_equal=True)
    return shown.sort(pl.col("taken") > 0, -pl.col("n"), "value", "reason")


def _find_missing(each: pl.DataFrame) -> list[str]:
    """Our values of which no row was taken, where they are few."""
    if each.is_empty():
        return []
    there = set(each.filter(pl.col("taken") > 0)["value"])
    return [value for value in each["whole"][0].split(",") if value and value not in there]


def _remedies(shown: pl.DataFrame, missing: Sequence[str]) -> list[str]:
    """Say how to keep the rows: words for our values, or texts that are not there."""
    column, whole = shown.select("column", "whole").row(0) if shown.height else ("", "")
    known = [value for value in whole.split(",") if value]
    foreign = shown.filter(~pl.col("ours") & pl.col("reason").str.starts_with(f"{column} is "))
    # A number that is no level is no word for another one.
    words = [word for word in dict.fromkeys(foreign["value"]) if known or not _NUMBER.fullmatch(word)][:3]
    lines = []
    for word in words:
        number = re.search(r"\d+", word)
        value = missing[0] if missing else known[0] if known else number[0] if number else "1"
        lines.append(f"  --map {shlex.quote(f'{column}:{value}={word}')}")
    if lines:
        sure = len(missing) == 1 and len(words) == 1
        which = "" if sure else f" (or {', '.join(known) or 'another number'}, whichever it means)"
        lines.insert(0, f"say what these words mean{which}:")
    if shown.filter(pl.col("reason").str.contains("no completion of source")).height:
        lines.append("completions that are not there: ingest them first, or name another source with --about")
    return lines


def _lines(rows: Iterable[dict[str, object]], height: int) -> list[str]:
    """The table: value, rows taken and rejected, reason."""
    lines = [f"  {'value':32} {'taken':>9} {'rejected':>9}  reason"]
    for n, row in enumerate(rows):
        if n == _SHOWN:
            lines.append(f"  and {height - n:,} more lines")
            break
        about = f"{row['of']} = " if row["of"] is not None else ""
        value = f"{row['column']} {clean(about + str(row['value']), 22)}"
        lines.append(f"  {value:32} {row['taken']:>9,} {row['n']:>9,}  {row['reason']}")
    return lines
