"""Stop an ingest whose rejects would change what the rows that stay say.

    choice               taken  rejected  reason
    Both are equal           0       120  choice is '…', expected a, b or tie

Votes that lost all their ties, or a log that lost all its successes, are another message than the file's.
"""

from collections.abc import Iterable, Sequence

import polars as pl

from ...schemas.errors import SourceError
from ...schemas.support.text import clean
from .batch import FORGOTTEN_REASON

_LEAST = 5  # rows of a value that is lost altogether
_SHARE = 0.005  # of the rows read
_LEAST_OF_HALF = 10  # rejects that are more than the rows taken
_SHOWN = 8  # lines of the table


def count_values(judged: pl.DataFrame, column: str, value: pl.Expr) -> pl.DataFrame:
    """Count the values of the column that decides what a row says: column, value, reason, n.

    `judged` has `reason`, null for rows that are taken. Quoted parts of reasons are left out, so that equal
    ones are counted together; empty values and rows of forgotten people are not counted.
    """
    return (
        judged.filter(pl.col("reason").fill_null("") != FORGOTTEN_REASON)
        .group_by(
            pl.lit(column).alias("column"),
            value.cast(pl.String).alias("value"),
            pl.col("reason").str.replace_all("'[^']*'", "'…'"),
        )
        .agg(pl.len().cast(pl.Int64).alias("n"))
        .drop_nulls("value")
    )


def check_lopsided(counts: Sequence[pl.DataFrame], rows: int, rejects: int, path: object) -> None:
    """Raise SourceError if all rows of a value are rejected, or more rows are rejected than taken.

    `counts` are frames of `count_values`, `rows` were taken, `rejects` not (those of forgotten people aside).
    """
    if not counts or not rejects:
        return
    values = pl.concat(counts).group_by("column", "value", "reason").agg(pl.col("n").sum())
    taken = pl.col("n").filter(pl.col("reason").is_null()).sum()
    each = values.group_by("column", "value").agg(taken.alias("taken"), pl.col("n").sum().alias("all"))
    least = max(_LEAST, _SHARE * (rows + rejects))
    lost = each.filter((pl.col("taken") == 0) & (pl.col("all") >= least))
    most = rejects > rows and rejects >= _LEAST_OF_HALF
    if lost.is_empty() and not most:
        return
    shown = values.drop_nulls("reason").join(each, on=["column", "value"])
    shown = shown.sort(pl.col("taken") > 0, -pl.col("n"), "value", "reason")
    words = ", ".join(f"'{clean(v, 30)}'" for v in lost.sort(-pl.col("all"), "value")["value"].head(3))
    what = f"all rows with {words}" if words else f"{rejects:,} of {rows + rejects:,} rows"
    raise SourceError(
        f"{path}: {what} are rejected, so the rest would say something else; nothing was stored\n"
        + "\n".join(_lines(shown.iter_rows(named=True), shown.height))
        + "\nwrite the values as expected (preceptor ingest --help), or keep the rest with --allow-rejects"
    )


def _lines(rows: Iterable[dict[str, object]], height: int) -> list[str]:
    """The table: value, rows taken and rejected, reason."""
    lines = [f"  {'value':32} {'taken':>9} {'rejected':>9}  reason"]
    for n, row in enumerate(rows):
        if n == _SHOWN:
            lines.append(f"  and {height - n:,} more lines")
            break
        value = f"{row['column']} {clean(str(row['value']), 22)}"
        lines.append(f"  {value:32} {row['taken']:>9,} {row['n']:>9,}  {row['reason']}")
    return lines
