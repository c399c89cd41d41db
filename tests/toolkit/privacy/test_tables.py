"""No table is left out: who is named anywhere can be forgotten, and free text anywhere is scanned."""

from datetime import UTC, datetime

import polars as pl
import pytest

from preceptor.schemas.derive import derive_polars_schema
from preceptor.schemas.tables import SIGNALS, TABLES
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.privacy.recognisers import Wanted
from preceptor.toolkit.privacy.scan import scan
from preceptor.toolkit.store.connection import add_key, insert, query

WHO, OTHER = "5f0c2ab1d94e77a3", "00000000deadbeef"
MAIL = "zofia.nowak@school.org"
ANYTHING = {
    "text": "x",
    "bytes": b"x",
    "int": 1,
    "float": 1.0,
    "bool": True,
    "time": datetime(2026, 5, 4, tzinfo=UTC),
    "texts": ["x"],
    "json": "{}",
    "messages": [{"role": "user", "content": "x"}],
}
AS_CELL = {"text": MAIL, "json": f'{{"note": "{MAIL}"}}', "messages": [{"role": "user", "content": MAIL}]}
NAMING = [(table, column) for table in TABLES.values() for column in table.people]
WRITTEN = [(table, column) for table in TABLES.values() for column in table.free_texts]


def names(pairs):
    return [f"{table.name}.{column.name}" for table, column in pairs]


def row(table, **cells):
    """One row of any table: every stored column filled, but for the key."""
    stored = [column for column in table.stored if column.name != "key"]
    filled = {column.name: [cells.get(column.name, ANYTHING[column.type])] for column in stored}
    schema = {name: kind for name, kind in derive_polars_schema(table).items() if name in filled}
    return pl.DataFrame(filled, schema=schema)


@pytest.mark.parametrize(("table", "column"), NAMING, ids=names(NAMING))
def test_whoever_a_table_names_is_forgotten_there(store, table, column):
    for who in (WHO, OTHER):
        insert(store, table, row(table, path=who[:4], **{column.name: who}))
    done = forget(store, WHO)
    assert done.removed[table.name] == 1
    assert query(store, f'SELECT "{column.name}" FROM {table.name}').rows() == [(OTHER,)]


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_signals_of_a_person_and_about_their_texts_are_forgotten(store, signal):
    annotators = TABLES["annotators"]
    people = {
        who: add_key(row(annotators, pseudonym=who), annotators) if signal.annotator else who
        for who in (WHO, OTHER)
    }
    texts = {who: row(TABLES["completions"], author=who, content=who) for who in (WHO, OTHER)}
    keys = {who: add_key(text, TABLES["completions"])["key"][0] for who, text in texts.items()}
    for text in texts.values():
        insert(store, TABLES["completions"], text)
    for n, (who, about) in enumerate([(WHO, OTHER), (OTHER, WHO), (OTHER, OTHER)]):
        person = people[who]
        if signal.annotator:
            insert(store, annotators, person)
            person = person["key"][0]
        for place in signal.completions:
            cells = dict.fromkeys(signal.completions, keys[OTHER]) | {place: keys[about]}
            cells |= {signal.person: person, "n": n}
            insert(store, signal.table, row(signal.table, path=place, **cells))
    assert forget(store, WHO).removed[signal.name] == 2 * len(signal.completions)
    assert query(store, f"SELECT n FROM {signal.name}")["n"].to_list() == [2] * len(signal.completions)


@pytest.mark.parametrize(("table", "column"), WRITTEN, ids=names(WRITTEN))
def test_free_text_of_every_table_is_scanned(store, table, column):
    insert(store, table, row(table, **{column.name: AS_CELL[column.type]}))
    found = scan(store, Wanted())
    assert found.select("table", "column", "kind").rows() == [(table.name, column.name, "email")]
