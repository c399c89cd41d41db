"""Lists of words: how they are read, the flashcards made of them, and how frequent the words of a key are."""

import importlib.util
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import GateError
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.preferences.lexicon import read_lexicon
from preceptor.toolkit.practice.exercises import from_completions
from preceptor.toolkit.practice.exercises.build import build_exercises
from preceptor.toolkit.practice.exercises.recipe import Exercises
from preceptor.toolkit.privacy.drop import drop_sources
from preceptor.toolkit.store.connection import open_store, run

LIST = """term,gloss,frequency,language
proxy,a stand-in,5,
Proxy,who acts for another,,
spill the beans,give away a secret,0.4,
maja,house,120,et
the,,,
,nothing,1,
often,much,often,
less,not so much,-1,
proxy,a stand-in,7,
"""


@pytest.fixture
def place(tmp_path, preceptor):
    (tmp_path / "words.csv").write_text(LIST)
    card = {
        "id": "c",
        "task": "mnemonic",
        "prompt": "Proxy",
        "completions": [{"id": "a", "content": "Pro X."}],
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(card))
    (tmp_path / "e.m2").write_text("S Maja on suure .\nA 2 3|||R:ADJ:FORM|||suur|||REQUIRED|||-NONE-|||0\n\n")
    for command in (
        ("lexicon", "words.csv", "--source", "words", "--license", "CC-BY-4.0"),
        ("prompts", "p.jsonl", "--source", "cards", "--license", "MIT"),
        ("m2", "e.m2", "--source", "et", "--language", "et", "--license", "MIT"),
    ):
        done = preceptor("ingest", *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if command[0] == "lexicon":
            assert "words: 5 rows taken, 4 rejected (5 terms)" in done.stdout
            for said in ("'term' is missing", "'frequency' is no number", "already on line 2"):
                assert said in done.stderr + done.stdout
    return tmp_path


def build(place, **recipe):
    with open_store(place / "preceptor.duckdb") as con:
        done = build_exercises(con, Exercises(name="x", **recipe))
        columns = "shown, answers, band, license, sources"
        rows = run(
            con,
            f"""SELECT {columns} FROM exercises x JOIN (SELECT name, license FROM sources) s ON s.name = x.source
            ORDER BY shown""",
        )
    return done, {row[0]: row[1:] for row in rows}


def test_terms_become_flashcards_with_all_their_meanings(place):
    _, rows = build(place, sources=["words", "cards"], exercises=["flashcard"])
    assert set(rows) == {"Proxy", "maja", "spill the beans"}
    assert rows["Proxy"][0] == ["a stand-in", "who acts for another"]
    assert rows["Proxy"][3] == ["cards", "words"]
    assert rows["maja"][:2] == (["house"], 5)


def test_a_lexicon_that_the_recipe_does_not_name_is_not_used(place):
    _, rows = build(place, sources=["cards"], exercises=["flashcard"])
    assert rows["Proxy"][0] == []


def test_exercises_leave_with_a_source_that_is_replaced(place, preceptor):
    build(place, sources=["words", "cards"], exercises=["flashcard"])
    (place / "words.csv").write_text("term,gloss\nmaja,house\n")
    done = preceptor("ingest", "lexicon", "words.csv", "--source", "words", "--replace", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "3 exercises with texts of the earlier words removed; build them again" in " ".join(
        (done.stdout + done.stderr).split()
    )
    with open_store(place / "preceptor.duckdb") as con:
        assert run(con, "SELECT count(*) FROM exercises") == [(0,)]


def test_exercises_with_texts_of_a_dropped_source_are_counted_and_leave(place):
    build(place, sources=["words", "cards"], exercises=["flashcard"])
    with open_store(place / "preceptor.duckdb") as con:
        found = drop_sources(con, ["words"])
        assert found.rows == {"lexicon": 5, "exercises": 3, "rejects": 4}
        assert run(con, "SELECT count(*) FROM exercises") == [(0,)]


def test_bands_come_from_a_lexicon_where_the_package_has_no_list(place):
    done, rows = build(place, sources=["et"], exercises=["cloze"])
    assert rows["Maja on ____ ."][1] is None
    assert done.no_band.languages == ("et",)
    assert "ingest a lexicon" in done.no_band.describe()
    with open_store(place / "preceptor.duckdb") as con:
        run(con, "UPDATE lexicon SET term = 'SUUR' WHERE term = 'maja'")
    done, rows = build(place, sources=["et", "words"], exercises=["cloze"])
    assert rows["Maja on ____ ."][1] == 5
    assert done.no_band.describe() == ""
    assert done.unused == ()


def test_without_the_extra_bands_are_empty_and_that_is_said(place, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "preceptor.toolkit.practice.exercises.words.find_spec",
        lambda name: None if name == "wordfreq" else find(name),
    )
    done, rows = build(place, sources=["cards"], exercises=["flashcard"])
    assert rows["Proxy"][1] is None
    assert "preceptor[words]" in done.no_band.describe()


def test_an_answer_that_no_lexicon_has_stops_the_build(place, monkeypatch):
    select = from_completions._SELECTS["flashcard"]
    monkeypatch.setitem(
        from_completions._SELECTS, "flashcard", select.replace("t.glosses AS answers", "['x'] AS answers")
    )
    with open_store(place / "preceptor.duckdb") as con, pytest.raises(GateError, match="no meaning of maja"):
        build_exercises(con, Exercises(name="x", sources=["words"], exercises=["flashcard"]))


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["term", "gloss", "frequency", "language"]), st.text() | st.floats() | st.none()
        ),
        max_size=6,
    )
)
def test_every_line_is_taken_or_rejected(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("l") / "l.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    batches = list(read_lexicon(Input(path, "l.jsonl"), Context(source="l", language="en")))
    taken = sum(batch.taken for batch in batches)
    assert taken + sum(batch.rejects.height for batch in batches) == len(rows)
    terms = [row for batch in batches for row in batch.tables["lexicon"].to_dicts()]
    assert len(terms) == taken
    assert all(row["term"].strip() == row["term"] != "" for row in terms)
    assert all(row["frequency"] is None or 0 <= row["frequency"] <= 1e6 for row in terms)
