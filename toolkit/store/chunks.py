"""Tables too wide to join and sort at once: narrow rows in order first, then texts, a chunk at a time."""

from .connection import Store, run

ROWS = 1_000_000  # joined at once


def split_rows(con: Store, table: str, size: int) -> range:
    """Return the rowids where each chunk of a table's rows begins.

    They do not begin at 0: in an open transaction rowids of new rows begin at 2^60 or so.
    """
    ((first, last),) = run(con, f'SELECT coalesce(min(rowid), 0), coalesce(max(rowid), -1) FROM "{table}"')
    return range(int(first), int(last) + 1, size)


def join_in_chunks(con: Store, made: str, narrow: str, select: str) -> None:
    """Make the temp table `made` of the rows of `narrow`, in their order, as `select` widens them.

    `select` reads them as `chunk`, and gives each of them at most one row with its column `place`.
    """

    def widened(rows: str) -> str:
        return f"""WITH chunk AS (SELECT *, rowid AS place FROM "{narrow}" WHERE {rows}), wide AS ({select})
            SELECT * EXCLUDE (place) FROM wide ORDER BY place"""

    # Declared, for DuckDB 2.0.0 loses what is inserted in order into a table made AS of no rows.
    columns = ", ".join(f'"{name}" {type}' for name, type, *_ in run(con, f"DESCRIBE {widened('false')}"))
    run(con, f'CREATE OR REPLACE TEMP TABLE "{made}" ({columns})')
    for first in split_rows(con, narrow, ROWS):
        run(con, f'INSERT INTO "{made}" {widened(f"rowid >= {first} AND rowid < {first + ROWS}")}')
