"""Bring a store of an earlier schema version up to this one's: all steps, or none.

    8 -> 9   votes know their ranking, annotators what is known of them and whether they are left out;
             a person is one annotator, whatever sources they judged
    9 -> 10  tables of practice: what learners have mastered, and studies; old rows stay as they are

A table whose columns have changed is made again by its declaration, with the rows that it had; a step says
only what else is to be done. Stores of versions without a step are refused.
"""

from collections.abc import Callable

import duckdb

from ...schemas.derive import derive_ddl
from ...schemas.keys import hash_key_sql
from ...schemas.tables import ANNOTATORS, ANSWERS, CHAIN_ENDS, SCHEMA_VERSION, TABLES

Step = Callable[[duckdb.DuckDBPyConnection], None]


_COLUMNS = (
    "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND NOT internal ORDER BY column_index"
)


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
    there = [row[0] for row in con.execute(_COLUMNS, [name]).fetchall()]
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


_MERGED = f"""CREATE TEMP TABLE merged AS
SELECT key AS old, {hash_key_sql(ANNOTATORS.identity)} AS new, kind, pseudonym
FROM (SELECT *, NULL::VARCHAR AS within FROM annotators)"""
# Of several kinds the one that says most; crowd is also what nobody said.
_ONE_ROW_EACH = """CREATE TABLE one_each AS SELECT new AS key, pseudonym,
    arg_min(kind, coalesce(list_position(['model', 'expert', 'student', 'crowd'], kind), 9)) AS kind
FROM merged GROUP BY ALL"""


def _from_8(con: duckdb.DuckDBPyConnection) -> None:
    """Make one annotator of each pseudonym: a campaign over two sources had made a row for each.

    The ids are not known, so that numbers of two sources' own are one annotator, as fits took them, until
    these sources are ingested again. Answers are keyed by their annotator; nothing refers to these keys.
    """
    con.execute(_MERGED)
    for table in ("votes", "ratings", "answers"):
        con.execute(f"UPDATE {table} SET annotator = new FROM merged WHERE annotator = old")
    con.execute(
        f"UPDATE answers SET key = {hash_key_sql(ANSWERS.identity)} "
        "WHERE annotator IN (SELECT new FROM merged)"
    )
    con.execute("UPDATE chain_ends SET member = new FROM merged WHERE member = old")
    con.execute(f"UPDATE chain_ends SET key = {hash_key_sql(CHAIN_ENDS.identity)}")
    con.execute("DELETE FROM chain_ends WHERE rowid NOT IN (SELECT min(rowid) FROM chain_ends GROUP BY key)")
    con.execute(_ONE_ROW_EACH)
    con.execute("DROP TABLE annotators")
    con.execute("ALTER TABLE one_each RENAME TO annotators")
    con.execute("DROP TABLE merged")


def _from_9(con: duckdb.DuckDBPyConnection) -> None:
    """Change no rows: what is new are tables and columns."""


STEPS: dict[int, Step] = {8: _from_8, 9: _from_9}
