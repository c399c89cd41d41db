"""Declarations, what is derived from them, and keys."""

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.derive import derive_ddl, derive_features, derive_polars_schema, write_dictionary
from preceptor.schemas.keys import LENGTH, hash_key, hash_key_sql
from preceptor.schemas.published import declare_published, list_with_meta
from preceptor.schemas.recipe import CONFIGS
from preceptor.schemas.tables import OF_A_SOURCE, TABLES

fields = st.lists(st.one_of(st.none(), st.text(), st.integers(-(2**62), 2**62)), min_size=1, max_size=4)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_every_table_is_created_as_declared(table):
    with duckdb.connect() as con:
        con.execute(derive_ddl(table)).fetchall()
        rows = con.execute(
            f"SELECT column_name, is_nullable FROM information_schema.columns "
            f"WHERE table_name = '{table.name}' ORDER BY ordinal_position"
        ).fetchall()
        assert [name for name, _ in rows] == table.names
        optional = {c.name for c in table.columns if c.nullable or c.derived}
        assert {n for n, null in rows if null == "YES"} == optional
        names = ", ".join(f'"{c.name}"' for c in table.stored)
        stored = con.sql(f'SELECT {names} FROM "{table.name}"').pl().schema
    times = {c.name for c in table.columns if c.type == "time"}
    declared = derive_polars_schema(table)
    assert {n: t for n, t in stored.items() if n not in times} == {
        n: t for n, t in declared.items() if n not in times
    }
    assert all(stored[name].is_temporal() for name in times)


def test_identity_columns_exist_and_tables_of_a_source_name_it():
    for table in TABLES.values():
        assert set(table.identity) <= set(table.names)
        assert table.names[0] == "key"
    assert all("source" in table.names for table in OF_A_SOURCE)


@given(fields)
def test_key_is_the_same_in_python_and_duckdb(row):
    columns = [f"c{i}" for i in range(len(row))]
    frame = pl.DataFrame(
        {
            c: pl.Series([v], dtype=pl.Int64 if isinstance(v, int) else pl.String)
            for c, v in zip(columns, row, strict=True)
        }
    )
    with duckdb.connect() as con:
        con.register("frame", frame.to_arrow())
        ((from_sql,),) = con.execute(f"SELECT {hash_key_sql(columns)} FROM frame").fetchall()
    assert from_sql == hash_key(row)
    assert len(from_sql) == LENGTH


@given(fields, fields)
def test_different_fields_have_different_keys(one, other):
    as_text = [[None if v is None else str(v) for v in row] for row in (one, other)]
    assert (hash_key(one) == hash_key(other)) == (as_text[0] == as_text[1])


def test_features_of_published_tables_match_their_polars_schema():
    tables = [
        declare_published(n, chat) for c in CONFIGS for n in list_with_meta(c) for chat in (True, False)
    ]
    for table in tables:
        arrow = pl.DataFrame(schema=derive_polars_schema(table)).to_arrow()
        assert list(derive_features(table)) == arrow.column_names == table.names


def test_dictionary_names_every_column():
    text = write_dictionary()
    for table in TABLES.values():
        assert f"### {table.name}\n" in text
        assert all(f"| {column.name} | {column.type}" in text for column in table.columns)
