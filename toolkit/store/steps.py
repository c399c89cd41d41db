"""Bring a store of an earlier schema version up to this one's: all steps, or none.

    8 -> 9   votes know their ranking, annotators what is known of them and whether they are left out

A table whose columns have changed is made again by its declaration, with the rows that it had; a step says
only what else is to be done. Stores of versions without a step are refused.
"""

from collections.abc import Callable

import duckdb

from ...schemas.derive import derive_ddl
from ...schemas.tables import SCHEMA_VERSION, TABLES

Step = Callable[[duckdb.DuckDBPyConnection], None]


def can_step(found: int) -> bool:
    """Say whether a store of version `found` can be brought up to SCHEMA_VERSION."""
    return all(version in STEPS for version in range(found, SCHEMA_VERSION)) and found < SCHEMA_VERSION


def step_up(con: duckdb.DuckDBPyConnection, found: int) -> None:
    """Change the tables of a store of version `found` into today's, inside the caller's transaction."""
    for version in range(found, SCHEMA_VERSION):
        STEPS[version](con)
    for name in TABLES:
        _make_again(con, name)
    con.execute("UPDATE preceptor SET schema_version = ?", [SCHEMA_VERSION])


def _make_again(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make a table as it is declared, with the rows of the one that is there."""
    table = TABLES[name]
    columns = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index"
    there = [row[0] for row in con.execute(columns, [name]).fetchall()]
    if there == table.names:
        return
    if not there:
        con.execute(derive_ddl(table))
        return
    con.execute(f'ALTER TABLE "{name}" RENAME TO "{name} of before"')
    con.execute(derive_ddl(table))
    kept = ", ".join(f'"{column.name}"' for column in table.stored if column.name in there)
    con.execute(f'INSERT INTO "{name}" ({kept}) SELECT {kept} FROM "{name} of before"')
    con.execute(f'DROP TABLE "{name} of before"')


def _from_8(con: duckdb.DuckDBPyConnection) -> None:
    """Nothing beside the new columns."""


STEPS: dict[int, Step] = {8: _from_8}
