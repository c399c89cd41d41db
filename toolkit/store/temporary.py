"""Temporary tables between the steps of a computation, checked against their declarations.

    make(con, CANDIDATES, "SELECT prompt, … FROM preferences WHERE fit = $fit", {"fit": fit})

So a step that reads `candidates` finds its declared columns, whichever step made the table.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from ...schemas.derive import derive_sql_types
from ...schemas.tables import Table
from .connection import Store, run, run_over


def make(con: Store, table: Table, select: str = "", parameters: Sequence[Any] | dict[str, Any] = ()) -> None:
    """Create or replace the temporary table of a SELECT's rows, in its order; without one it is empty.

    Columns are matched by name, in any order. To insert rows later, make the table empty first: DuckDB 2.0.0
    loses what is inserted in order into a table made AS SELECT of no rows.
    Raises TypeError, with names of table and column, where the SELECT does not have the declared columns.
    """
    if not select:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in derive_sql_types(table).items())
        run(con, f'CREATE OR REPLACE TEMP TABLE "{table.name}" ({columns})')
        return
    run(con, f'CREATE OR REPLACE TEMP TABLE "{table.name}" AS {select}', parameters)
    check_columns(con, table, f'FROM "{table.name}"')


def make_from_frame(con: Store, table: Table, frame: pl.DataFrame) -> None:
    """Create or replace the temporary table of a frame's rows; other columns of the frame are left out.

    Raises TypeError as `make` does.
    """
    make(con, table)
    add_frames(con, table, [frame.select(table.names)])


def add_frames(con: Store, table: Table, frames: Sequence[pl.DataFrame]) -> None:
    """Append rows to a temporary table that was made empty; columns are matched by name."""
    if frames:
        run_over(con, pl.concat(frames), f'INSERT INTO "{table.name}" BY NAME FROM incoming')


def drop(con: Store, *tables: Table) -> None:
    """Drop temporary tables."""
    for table in tables:
        run(con, f'DROP TABLE temp."{table.name}"')


def check_columns(con: Store, table: Table, select: str) -> None:
    """Check names and types of a SELECT's columns against a declaration.

    Raises TypeError, with names of table and column, where they differ: a mistake in the program.
    """
    nothing = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in derive_sql_types(table).items())
    declared = {name: kind for name, kind, *_ in run(con, f"DESCRIBE SELECT {nothing}")}
    found = {name: kind for name, kind, *_ in run(con, f"DESCRIBE {select}")}
    wrong = [f"column {name} is missing" for name in declared if name not in found]
    wrong += [f"column {name} is not declared" for name in found if name not in declared]
    wrong += [
        f"column {name} is {found[name]}, but {kind} is declared"
        for name, kind in declared.items()
        if name in found and found[name] != kind
    ]
    if wrong:
        raise TypeError(f"temporary table {table.name}: {'; '.join(wrong)}")
