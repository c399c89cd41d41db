"""One DuckDB file per project: open, transaction, insert, query.

The only module that knows DuckDB connections. An unfinished transaction does not change the
file, also after SIGKILL: DuckDB's write-ahead log has all of it or none.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ...schemas.derive import derive_ddl, derive_polars_schema
from ...schemas.errors import StoreError
from ...schemas.keys import hash_key_sql
from ...schemas.support.files import hold_partial_folder, keep_files_private
from ...schemas.support.numbers import format_count
from ...schemas.support.text import escape_controls
from ...schemas.tables import OF_A_SOURCE, SCHEMA_VERSION, TABLES, Table
from .failures import check_store_file, name_failures
from .places import clear_places, use_store
from .quoting import quote_text
from .steps import can_step, step_up

Store = duckdb.DuckDBPyConnection
_log = logging.getLogger(__name__)
LITTLE = "SET memory_limit = '512MB'"
# SQL opens no file, database or extension of its own accord, whatever name a stranger's file brings into it.
_CLOSED: dict[str, Any] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@contextmanager
def open_store(path: Path, *, create: bool = False, read_only: bool = False) -> Iterator[Store]:
    """Open the project's store; with `create`, make an empty one where there is none.

    Raises StoreError if the file is missing, is no store, belongs to another version, or is locked by
    another process.
    """
    if not path.exists() and not create:
        raise StoreError(
            f"{path}: there is no store here; ingest something first "
            "(preceptor ingest --help), or point --store at an existing one"
        )
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder; make it first, or change --store")
    check_store_file(path)
    for done in clear_places(path):
        _log.warning("note: %s", escape_controls(done))
    with use_store(path), name_failures(path):
        con = _connect(path, read_only)
        try:
            if not read_only:  # no other process has it open
                _remove_spilled(path)
                with suppress(OSError):  # DuckDB would make it for everybody to read
                    path.with_name(f"{path.name}.tmp").mkdir(mode=0o700)
            yield con
        finally:
            with keep_files_private():
                con.close()
            if not read_only:
                with suppress(OSError):
                    path.with_name(f"{path.name}.tmp").rmdir()


def _connect(path: Path, read_only: bool) -> Store:
    """Connect to a store of this version, or of an earlier one, which is brought up to it."""
    with name_failures(path, opening=True):
        with keep_files_private():
            con = duckdb.connect(str(path), read_only=read_only, config=_CLOSED)
        try:
            run(con, "SET TimeZone = 'UTC'")
            _check_version(con, path, create=not read_only)
        except _EarlierVersionError:
            con.close()
            _connect(path, read_only=False).close()
            return _connect(path, read_only=True)
        except BaseException:
            with keep_files_private():
                con.close()
            raise
    return con


def _remove_spilled(path: Path) -> None:
    """Remove the rows that a killed process had moved from memory to the disk."""
    for spilled in path.with_name(f"{path.name}.tmp").glob("duckdb_temp_*"):
        with suppress(OSError):
            spilled.unlink()


def _check_version(con: Store, path: Path, create: bool) -> None:
    """Make the tables in an empty file; refuse a file with other content."""
    present = {row[0] for row in run(con, "SELECT table_name FROM duckdb_tables()")}
    if not present and create:
        with transaction(con):
            for make in _make_tables().values():
                run(con, make)
            run(con, "INSERT INTO preceptor VALUES (?, NULL)", [SCHEMA_VERSION])
        return
    if not present:
        raise StoreError(f"{path}: is empty; ingest something first (preceptor ingest --help)")
    if "preceptor" not in present:
        raise StoreError(f"{path}: a DuckDB file, but not a Preceptor store; point --store elsewhere")
    found = [row[0] for row in run(con, "SELECT schema_version FROM preceptor")]
    if found == [SCHEMA_VERSION]:
        return
    if len(found) == 1 and isinstance(found[0], int) and can_step(found[0]):
        if not create:
            raise _EarlierVersionError
        with transaction(con):
            step_up(con, found[0])
        _log.warning(
            "note: %s: brought from schema version %d to %d; earlier Preceptors cannot open it any more",
            escape_controls(str(path)),
            found[0],
            SCHEMA_VERSION,
        )
        return
    raise StoreError(
        f"{path}: made by a Preceptor with schema version {', '.join(map(str, found))}, this one has "
        f"{SCHEMA_VERSION}; use that version, or ingest again into a new --store"
    )


class _EarlierVersionError(Exception):
    """The store is to be opened for writing first, so that its tables can be changed."""


@contextmanager
def transaction(con: Store) -> Iterator[None]:
    """Commit all of the block's writes, or none of them."""
    con.begin()
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # a commit that failed has rolled back, and says why
            con.rollback()
        raise
    with keep_files_private():
        con.commit()


def insert(con: Store, table: Table, frame: pl.DataFrame) -> int:
    """Insert rows and return the number of rows added.

    `frame` may lack nullable columns (null) and `key` (made from the identity columns; a given key must
    come from `add_key`). Of rows with equal keys, in the frame or the table, the first is kept. Rows of a
    table with places are appended unchecked, since no place is read twice.

    Raises StoreError if the rows violate a constraint of the table.
    """
    if frame.is_empty():
        return 0
    schema = derive_polars_schema(table)
    keyless = "key" in schema and "key" not in frame.columns
    rows = frame.select(pl.col(n).cast(t) for n, t in schema.items() if n in frame.columns)
    if keyless:
        absent = [name for name in table.identity if name not in rows.columns]
        rows = add_key(rows.with_columns(pl.lit(None, schema[name]).alias(name) for name in absent), table)
    only_new = ""
    if not table.placed:
        rows = rows.unique("key", keep="first", maintain_order=True)
        only_new = f'WHERE "key" NOT IN (SELECT "key" FROM "{table.name}")'
    columns = ", ".join(f'"{n}"' for n in rows.columns)
    into = f'INSERT INTO "{table.name}" ({columns}) SELECT {columns} FROM incoming {only_new}'
    try:
        ((added,),) = run_over(con, rows, into)
    except duckdb.ConstraintException as error:
        raise StoreError(f"{table.name}: {error}; this is a defect of the reader") from error
    return int(added)


def insert_select(con: Store, table: Table, select: str, parameters: dict[str, Any]) -> int:
    """Insert the rows of a SELECT into a table with places, inside the database.

    The SELECT has every stored column but the key. Returns the number of rows added.
    """
    columns = ", ".join(f'"{column.name}"' for column in table.stored if column.name != "key")
    ((added,),) = run(
        con,
        f'INSERT INTO "{table.name}" ("key", {columns}) '
        f"SELECT {hash_key_sql(table.identity)}, {columns} FROM ({select})",
        parameters,
    )
    return int(added)


def add_key(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Add a first column `key` to `frame`, from the table's identity columns."""
    with open_scratch() as con:
        con.register("rows", frame.select(table.identity).to_arrow())
        keys = query(con, f'SELECT {hash_key_sql(table.identity)} AS "key" FROM rows')
    return frame.select(keys["key"], pl.all())


@contextmanager
def open_scratch() -> Iterator[Store]:
    """Open an empty database in memory, for SQL over frames that `register` gives it."""
    with _memory().cursor() as con:
        yield con


@contextmanager
def open_files(paths: Sequence[str | Path]) -> Iterator[Store]:
    """Open an empty database in memory that can read these files of a stranger's, and no others."""
    con = duckdb.connect()
    try:
        close_but(con, paths)
        yield con
    finally:
        con.close()


def close_but(con: Store, paths: Sequence[str | Path]) -> None:
    """Let SQL open these files alone; they can only be named before the rest is closed."""
    run(con, f"SET allowed_paths = [{', '.join(quote_text(str(path)) for path in paths)}]")
    for name, value in _CLOSED.items():
        run(con, f"SET {name} = {value}")


@contextmanager
def limit_memory(con: Store) -> Iterator[None]:
    """Cap DuckDB's memory so that ingest does not grow with the input."""
    run(con, LITTLE)
    try:
        yield
        with keep_files_private():
            run(con, "CHECKPOINT")  # now, within the memory limit, not when the store is closed
    finally:
        with suppress(duckdb.Error):  # after a failure, which says why
            run(con, "RESET memory_limit")


@cache
def _memory() -> Store:
    """Return the process's one database in memory; its cursors open ten times faster than another one."""
    return duckdb.connect(config=_CLOSED)


def copy_store(path: Path, copy: Path) -> None:
    """Copy a store as it is, while no other process can write into it. Raises StoreError."""
    check_store_file(path)
    with name_failures(path, opening=True), duckdb.connect(str(path), read_only=True, config=_CLOSED):
        for end in filter(lambda end: path.with_name(path.name + end).is_file(), ("", ".wal")):
            with keep_files_private():
                shutil.copyfile(path.with_name(path.name + end), copy.with_name(copy.name + end))


def write_anew(path: Path) -> None:
    """Write the store into a new file that takes the old one's place.

    DuckDB leaves the bytes of deleted rows in freed blocks; the new file does not have them. If the process
    is killed, the store is the old file or the new one.
    """
    with hold_partial_folder(path) as folder, name_failures(path), keep_files_private():
        partial = folder / path.name
        with duckdb.connect(str(partial)) as con:
            close_but(con, [path, f"{path}.wal"])
            shutil.copymode(path, partial)
            run(con, LITTLE)
            run(con, f"ATTACH {quote_text(str(path))} AS old (READ_ONLY)")
            for name, make in _make_tables().items():
                run(con, make)
                columns = ", ".join(f'"{c.name}"' for c in TABLES[name].stored) if name in TABLES else "*"
                into = f"({columns})" if name in TABLES else ""
                run(con, f'INSERT INTO "{name}" {into} SELECT {columns} FROM old."{name}"')
            run(con, "CHECKPOINT")
            # Still attached, so that no other process can write into the old file in between.
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)


def _make_tables() -> dict[str, str]:
    """List the statements that make each table, the store's own version first."""
    return {"preceptor": "CREATE TABLE preceptor (schema_version INTEGER NOT NULL, key_digest VARCHAR)"} | {
        table.name: derive_ddl(table) for table in TABLES.values()
    }


def remove_source(con: Store, name: str) -> list[str]:
    """Remove a source and all its rows; return a note if exercises with its texts were removed too."""
    ((exercises,),) = run(con, "DELETE FROM exercises WHERE list_contains(sources, ?)", [name])
    for table in OF_A_SOURCE:
        run(con, f'DELETE FROM "{table.name}" WHERE source = ?', [name])
    run(con, "DELETE FROM sources WHERE name = ?", [name])
    made = format_count(exercises, "exercise")
    return [f"{made} with texts of the earlier {name} removed; build them again"] if exercises else []


def count(con: Store, table: Table) -> int:
    """Count the rows of a table."""
    ((rows,),) = run(con, f'SELECT count(*) FROM "{table.name}"')
    return int(rows)


def query(con: Store, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pl.DataFrame:
    """Run a SELECT and return its result as a frame."""
    result: pl.DataFrame = con.sql(sql, params=parameters or None).pl()
    return result


def read_frames(con: Store, sql: str, parameters: dict[str, Any] | None = None) -> Iterator[pl.DataFrame]:
    """Run a SELECT and yield its result in frames of 100,000 rows."""
    for batch in con.sql(sql, params=parameters or None).to_arrow_reader(100_000):
        yield pl.DataFrame(batch)


def run(con: Store, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement; return its rows, if any."""
    rows: list[tuple[Any, ...]] = con.execute(sql, parameters).fetchall()
    return rows


def run_over(con: Store, frame: pl.DataFrame, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement over the table `incoming`, which is the frame.

    A frame that is registered would stay in memory until the transaction ends.
    """
    try:
        result = con.from_arrow(frame.to_arrow()).query("incoming", sql)
    except duckdb.TransactionException as error:
        if isinstance(error.__context__, duckdb.Error):  # it tells of the aborted transaction, this one why
            raise error.__context__ from None
        raise
    return result.fetchall() if result else []


def parse_json_rows(lines: pl.DataFrame, shape: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read one JSON object per line into columns of the given DuckDB types.

    `lines` has line, raw, damaged. Returns (rows with line, raw and the columns; rejects with
    line, raw, reason). A field of another type is null, and the row's
    `mistyped` describes the wrong types (null if there are none).
    """
    columns = "".join(
        f"""json_transform("raw"->'$.{name}', '"{kind}"') AS "{name}", """ for name, kind in shape.items()
    )
    columns += f"coalesce({', '.join(('NULL::VARCHAR', *_mistyped(shape)))}) AS mistyped"
    with open_scratch() as con:
        con.register("lines", lines.to_arrow())
        run(
            con,
            """CREATE TEMP TABLE checked AS SELECT *, CASE WHEN damaged THEN 'not valid UTF-8'
            WHEN NOT json_valid("raw") THEN 'not valid JSON'
            WHEN json_type("raw") <> 'OBJECT' THEN 'expected a JSON object' END AS reason FROM lines""",
        )
        good = query(
            con, f'SELECT "line", "raw", {columns} FROM checked WHERE reason IS NULL ORDER BY "line"'
        )
        bad = query(con, 'SELECT "line", "raw", reason FROM checked WHERE reason IS NOT NULL ORDER BY "line"')
    return good, bad


def _mistyped(shape: dict[str, str]) -> Iterator[str]:
    """SQL expressions, one per place in the shape, that describe a wrong JSON type, or null.

    json_transform would make 2 of 1.5 and text of an object.
    """
    for name, kind in shape.items():
        path = name
        for _ in range(kind.count("[]")):
            yield _expect(path, ("ARRAY",), "a list")
            path += "[*]"
        if kind.startswith("STRUCT"):
            yield _expect(path, ("OBJECT",), "an object")
        for field, scalar in re.findall(r"(?:(\w+) )?\b(VARCHAR|BIGINT)\b", kind):
            leaf = f"{path}.{field}" if field else path
            if scalar == "VARCHAR":
                yield _expect(leaf, ("VARCHAR", "BIGINT", "UBIGINT", "DOUBLE"), "text")
            else:
                yield _expect(leaf, ("BIGINT", "UBIGINT"), "a whole number")


def _expect(path: str, types: tuple[str, ...], words: str) -> str:
    found = f"""json_type("raw", '$.{path}')"""
    found = found if "[*]" in path else f"[{found}]"
    wrong = f"list_filter({found}, lambda t: t NOT IN {(*types, 'NULL')})"
    return f"if(len({wrong}) > 0, '''{path}'' is not {words}', NULL)"


def drop_nulls(objects: pl.Series) -> pl.Series:
    """Drop the null fields of JSON objects; null for an object that has no others."""
    with open_scratch() as con:
        con.register("objects", pl.DataFrame({"o": objects}, schema={"o": pl.String}).to_arrow())
        kept = query(con, "SELECT nullif(json_merge_patch('{}', o)::VARCHAR, '{}') AS o FROM objects")
    return kept["o"].alias(objects.name)
