"""Make wide tables in chunks: order narrow rows first, then join their texts, chunk by chunk."""

from ...schemas.tables import Table
from .connection import Store, run
from .temporary import check_columns, make

ROWS = 1_000_000  # joined at once


def split_rows(con: Store, table: str, size: int) -> range:
    """Return the rowids where each chunk of a table's rows begins.

    They do not begin at 0: in an open transaction rowids of new rows begin at 2^60 or so.
    """
    ((first, last),) = run(con, f'SELECT coalesce(min(rowid), 0), coalesce(max(rowid), -1) FROM "{table}"')
    return range(int(first), int(last) + 1, size)


def join_in_chunks(con: Store, made: Table, narrow: str, select: str) -> None:
    """Make the temporary table `made` of the rows of `narrow`, in their order, widened by `select`.

    `select` reads the rows as `chunk`, and returns at most one row for each, with its column `place`.
    Raises TypeError, with names of table and column, where it does not return the declared columns.
    """

    def widen(rows: str) -> str:
        return f"""WITH chunk AS (SELECT *, rowid AS place FROM "{narrow}" WHERE {rows}), wide AS ({select})
            SELECT * EXCLUDE (place) FROM wide ORDER BY place"""

    check_columns(con, made, widen("false"))
    make(con, made)
    for first in split_rows(con, narrow, ROWS):
        run(con, f'INSERT INTO "{made.name}" BY NAME {widen(f"rowid >= {first} AND rowid < {first + ROWS}")}')
