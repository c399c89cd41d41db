"""Expressions over runs: adjacent rows of one group, in frames sorted by the group.

`first` marks the first row of each run. An expression is one pass over the column; a window over the
group would sort and gather it.
"""

import polars as pl

_APART = 1 << 40  # more than any offset: keeps the values of one run above those of the one before


def mark_first(*columns: str) -> pl.Expr:
    """Mark the first row of each run: true if any of the columns differs from the row before."""
    changes = (pl.col(name) != pl.col(name).shift() for name in columns)
    return pl.any_horizontal(changes).fill_null(True)


def take_before(values: pl.Expr, first: pl.Expr) -> pl.Expr:
    """Take the value of the row before in the run; null in its first row."""
    return pl.when(~first).then(values.shift())


def count_in(first: pl.Expr) -> pl.Expr:
    """Count the rows of the run before this one: 0, 1, 2 …"""
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    return row - pl.when(first).then(row).forward_fill()


def sum_before(values: pl.Expr, first: pl.Expr) -> pl.Expr:
    """Sum the values of the run's rows before this one."""
    done = values.cum_sum() - values
    return done - pl.when(first).then(done).forward_fill()


def find_highest_before(values: pl.Expr, first: pl.Expr) -> pl.Expr:
    """Find the highest of the values (0 to 2^40) of the run's rows before this one; null in its first."""
    lift = first.cum_sum().cast(pl.Int64) * _APART
    return take_before((values + lift).cum_max() - lift, first)


def find_lowest_ahead(values: pl.Expr, first: pl.Expr) -> pl.Expr:
    """Find the lowest of the values (0 to 2^40) of this row and the run's rows after it."""
    lift = first.cum_sum().cast(pl.Int64) * _APART
    return (values + lift).cum_min(reverse=True) - lift
