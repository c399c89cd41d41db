"""What a study asks: in which languages, and on which sources it stands."""

import pytest

from preceptor.schemas.errors import StoreError
from preceptor.toolkit.practice.study.journal.database import locate_journal, open_journal
from preceptor.toolkit.practice.study.plan.content import read_content
from preceptor.toolkit.store.connection import open_store, run

PUSH = ("study", "push", "--study", "w", "--consent", "consent.txt", "--class", "class.csv")


def test_an_item_stands_on_every_source_of_its_texts(place):
    """A wrong option may come from another source, and an explanation from a third one."""
    with open_store(place.folder / "preceptor.duckdb") as con:
        run(con, "UPDATE exercises SET sources = ['other', 's'] WHERE kind = 'choice'")
        run(con, "UPDATE completions SET source = 'models' WHERE author = 'tuned'")
        items = read_content(con, ["g"], ["mine"]).items
    found = dict(items.select("kind", "sources").rows())
    assert found == {
        "choice": ["other", "s"],
        "cloze": ["s"],
        "spot": ["s"],
        "rewrite": ["s"],
        "flashcard": ["mine", "models"],
    }


def list_languages(place):
    with open_journal(locate_journal(place.folder / "study-home", "w")) as con:
        rows = con.execute("SELECT DISTINCT language FROM items WHERE NOT withdrawn ORDER BY 1")
        return [row[0] for row in rows]


def test_items_are_in_every_language_unless_one_is_asked_for(place):
    """What learners speak at home (class.csv) chooses nothing."""
    with open_store(place.folder / "preceptor.duckdb") as con:
        run(con, "UPDATE exercises SET language = 'de' WHERE kind = 'choice'")
        run(con, "UPDATE exercises SET language = 'et' WHERE kind = 'spot'")
        (((choices, spots),)) = run(
            con, "SELECT count(*) FILTER (kind = 'choice'), count(*) FILTER (kind = 'spot') FROM exercises"
        )
    assert "left out" not in place(*PUSH, "--exercises", "g")
    assert list_languages(place) == ["de", "en", "et"]
    said = place(*PUSH, "--exercises", "g", "--language", "en")
    assert f"left out by --language: {choices} in de, {spots} in et" in said
    assert f"{choices + spots} withdrawn" in said
    assert list_languages(place) == ["en"]
    assert "left out by --language" in place("study", "push", "--study", "w")  # as before
    assert list_languages(place) == ["en"]
    assert "language of that name" in place(*PUSH, "--exercises", "g", "--language", "sw", code=2)


def test_a_language_that_no_item_has_is_named(place):
    with (
        open_store(place.folder / "preceptor.duckdb") as con,
        pytest.raises(StoreError, match="--language sw"),
    ):
        read_content(con, ["g"], [], (), ["sw"])
