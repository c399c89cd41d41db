"""A deck of a study comes back from Anki: its reviews are of the store's items and explanations."""

import json
import sqlite3
import zipfile
from contextlib import closing

import pyarrow as pa
import pytest

from preceptor.toolkit.store.connection import open_store, query

START = 1_780_000_000_000  # ms
DAY = 86_400_000


@pytest.fixture
def deck(pushed):
    """The deck that the study exports, as it lies in Anki's folder: a collection."""
    pushed("study", "export", "--study", "w", "--format", "anki", "--out", "w.apkg")
    with zipfile.ZipFile(pushed.folder / "w.apkg") as package:
        (pushed.folder / "mine.anki2").write_bytes(package.read("collection.anki2"))
    return pushed


def review(path, eases):
    """Answer every card of a collection so often, a day apart."""
    with closing(sqlite3.connect(path)) as con:
        cards = [row[0] for row in con.execute("SELECT id FROM cards ORDER BY id")]
        rows = [
            (START + DAY * turn + n, card, -1, ease, 1, 1, 2500, 1500, 1)
            for n, card in enumerate(cards)
            for turn, ease in enumerate(eases)
        ]
        con.executemany("INSERT INTO revlog VALUES (?,?,?,?,?,?,?,?,?)", rows)
        con.commit()
    return len(rows)


def modernise(path):
    """Turn a collection into one of a new Anki: kinds of notes in tables of their own."""
    with closing(sqlite3.connect(path)) as con:
        (text,) = con.execute("SELECT models FROM col").fetchone()
        con.execute(
            "CREATE TABLE fields (ntid INTEGER, ord INTEGER, name TEXT, PRIMARY KEY (ntid, ord)) WITHOUT ROWID"
        )
        for kind, model in json.loads(text).items():
            for field in model["flds"]:
                con.execute("INSERT INTO fields VALUES (?,?,?)", (int(kind), field["ord"], field["name"]))
        con.execute("UPDATE col SET models = ''")
        con.commit()
    packed = path.with_suffix(".colpkg")
    with zipfile.ZipFile(packed, "w") as package:
        package.writestr("collection.anki21b", pa.Codec("zstd").compress(path.read_bytes(), asbytes=True))
    return packed


def read(deck, source):
    with open_store(deck.folder / "preceptor.duckdb", read_only=True) as con:
        return query(
            con,
            """SELECT r.item, r.completion, r.correct, q.ref AS prompt, c.ref AS explanation FROM reviews r
            LEFT JOIN prompts q ON q.key = r.item LEFT JOIN completions c ON c.key = r.completion
            WHERE r.source = ? ORDER BY r.line""",
            [source],
        )


@pytest.mark.parametrize("new", [False, True], ids=["old anki", "new anki"])
def test_reviews_are_of_the_store_s_items_and_outcomes_of_its_explanations(deck, new):
    path = deck.folder / "mine.anki2"
    n = review(path, (1, 3, 3))
    path = modernise(path) if new else path
    said = deck("ingest", "anki", path.name, "--source", "back", "--license", "CC0-1.0", "--learner", "ada")
    assert "4 cards are items that their notes name, 4 of them with the explanation" in " ".join(said.split())
    found = read(deck, "back")
    assert found.height == n == 12
    assert set(found["prompt"]) == {"q0", "q1", "q2", "q3"}
    assert all(row["explanation"].startswith(row["prompt"]) for row in found.iter_rows(named=True))
    (deck.folder / "r.yaml").write_text(
        "name: back\noutcomes:\n"
        "- {reviews: back, about: mine, measure: turns}\n"
        "- {reviews: back, about: mine, measure: success, after_days: 0.9}\n"
    )
    deck("outcomes", "r.yaml")
    with open_store(deck.folder / "preceptor.duckdb", read_only=True) as con:
        outcomes = query(
            con, "SELECT completion, measure, value, censored FROM outcomes ORDER BY measure, completion"
        )
    explained = sorted(found["completion"].unique())
    turns = outcomes.filter(measure="turns")
    assert turns["completion"].to_list() == explained
    assert turns["value"].to_list() == [1.0] * 4
    assert not turns["censored"].any()
    assert outcomes.filter(measure="success")["value"].to_list() == [1.0] * 4
    again = deck("ingest", "anki", path.name, "--source", "back", "--license", "CC0-1.0", "--learner", "ada")
    assert "already" in again


def test_fields_of_other_decks_are_named_with_map(deck):
    path = deck.folder / "mine.anki2"
    with closing(sqlite3.connect(path)) as con:  # somebody else's deck: its guids say nothing
        con.execute("UPDATE notes SET guid = 'x' || id")
        con.commit()
    review(path, (3,))
    deck("ingest", "anki", path.name, "--source", "plain", "--license", "CC0-1.0")
    assert all(item.isdigit() for item in read(deck, "plain")["item"])
    deck("ingest", "anki", path.name, "--source", "named", "--license", "CC0-1.0", "--map", "item=front")
    assert "What does quell mean?" in set(read(deck, "named")["item"])
    deck(
        "ingest", "anki", path.name, "--source", "both", "--license", "CC0-1.0",
        "--map", "item=guid", "--map", "completion=Completion",
    )  # fmt: skip
    both = read(deck, "both")
    assert both["item"].str.starts_with("x").all()
    assert both["explanation"].str.starts_with("q").all()


def test_what_cannot_be_mapped_is_named(deck):
    path = deck.folder / "mine.anki2"
    review(path, (3,))
    ingest = ("ingest", "anki", path.name, "--source", "n", "--license", "CC0-1.0", "--map")
    assert "no note has a field 'Fornt'" in deck(*ingest, "item=Fornt", code=2)
    assert "of Anki's notes only item and completion are read" in deck(*ingest, "learner=Front", code=2)
    (deck.folder / "revlog.csv").write_text("id,cid,usn,ease,ivl,lastIvl,factor,time,type\n")
    assert "holds no notes" in deck(
        "ingest", "anki", "revlog.csv", "--source", "n", "--license", "CC0-1.0", "--map", "item=Front", code=2
    )
    with closing(sqlite3.connect(path)) as con:
        con.execute("ALTER TABLE notes RENAME TO other")
        con.execute("CREATE VIEW notes AS SELECT * FROM other")
        con.commit()
    assert "its table of notes is no table of stored rows" in " ".join(
        deck(*ingest, "item=Front", code=2).split()
    )
