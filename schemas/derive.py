"""Derive DDL, Polars schema, features and data dictionary from a table's declaration."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import polars as pl

from .published import declare_published, list_with_meta
from .recipe import CONFIGS
from .tables import TABLES, Column, Table, Type

if TYPE_CHECKING:
    from datasets import Features

_MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

_SQL: dict[Type, str] = {
    "text": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "floats": "FLOAT[]",
    "bool": "BOOLEAN",
    "time": "TIMESTAMPTZ",
    "texts": "VARCHAR[]",
    "json": "JSON",
    "messages": "STRUCT(role VARCHAR, content VARCHAR)[]",
    "bytes": "BLOB",
    "hash32": "UINTEGER",
    "hash64": "UBIGINT",
    "hash128": "UHUGEINT",
}
_POLARS: dict[Type, pl.DataType] = {
    "text": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "floats": pl.List(pl.Float32),
    "bool": pl.Boolean(),
    "time": pl.Datetime("us", "UTC"),
    "texts": pl.List(pl.String),
    "json": pl.String(),
    "messages": _MESSAGES,
    "bytes": pl.Binary(),
    "hash32": pl.UInt32(),
    "hash64": pl.UInt64(),
    "hash128": pl.UInt128(),
}


def derive_ddl(table: Table) -> str:
    """Write CREATE TABLE for DuckDB. Uniqueness of keys is ensured at insertion, not by an index."""
    return f'CREATE TABLE "{table.name}" ({", ".join(map(_column, table.columns))})'


def _column(column: Column) -> str:
    if column.derived:
        rule = f" GENERATED ALWAYS AS ({column.derived}) VIRTUAL"
    else:
        rule = "" if column.nullable else " NOT NULL"
    return f'"{column.name}" {_SQL[column.type]}{rule}'


def derive_sql_types(table: Table) -> dict[str, str]:
    """Map the names of a table's columns, in order, to DuckDB types."""
    return {column.name: _SQL[column.type] for column in table.columns}


def derive_absent_sql(columns: Iterable[Column]) -> str:
    """Write columns of which nothing is known as SQL: null, or 0 where a column is never null.

    For the second half of a UNION, or for pairs without a fit: `NULL::DOUBLE AS "p", 0::BIGINT AS "n_votes"`.
    """
    return ", ".join(
        f'{"NULL" if column.nullable else "0"}::{_SQL[column.type]} AS "{column.name}"' for column in columns
    )


def derive_polars_schema(table: Table) -> pl.Schema:
    """Derive the names and Polars types of the stored columns, in order."""
    return pl.Schema({c.name: _POLARS[c.type] for c in table.stored})


def derive_features(table: Table) -> "Features":
    """Derive the `datasets.Features` of a published table."""
    from datasets import Features, List, Value

    kinds = {
        "text": Value("string"),
        "int": Value("int64"),
        "float": Value("float64"),
        "floats": List(Value("float32")),
        "bool": Value("bool"),
        "time": Value("timestamp[us, tz=UTC]"),
        "texts": List(Value("string")),
        "json": Value("string"),
        "messages": List({"role": Value("string"), "content": Value("string")}),
    }
    return Features({c.name: kinds[c.type] for c in table.columns})


def write_dictionary() -> str:
    """Write the data dictionary as Markdown, one section per table; docs/data.md holds it."""
    tables = [declare_published(name, True) for config in CONFIGS for name in list_with_meta(config)]
    stored = "\n".join(_section(table) for table in TABLES.values())
    return (
        "# Data dictionary\n\nDerived from `schemas/tables`; a test keeps the two equal. A key is "
        "the hash of what was read: a text that `preceptor scan --mask` changes keeps its key.\n\n"
        f"## The store\n\n{stored}\n## A published dataset\n\n"
        + "\n".join(_section(table) for table in tables)
    )


def _section(table: Table) -> str:
    rows = "\n".join(_row(c, c.name in table.identity) for c in table.columns)
    return (
        f"### {table.name}\n\nOne row is {table.meaning}.\n\n"
        f"| column | type | meaning |\n| --- | --- | --- |\n{rows}\n"
    )


def _row(column: Column, identity: bool) -> str:
    kind = column.type + (", may be null" if column.nullable else "")
    kind += ", derived" if column.derived else ""
    unit = f" ({column.unit})" if column.unit else ""
    mark = (" · in the key" if identity else "") + (" · free text" if column.free_text else "")
    return f"| {column.name} | {kind} | {column.meaning}{unit}{mark} |"
