"""Ids that are a source's own numbers are apart in two sources; names and a platform's ids are one person."""

import json

import polars as pl
import pytest

from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.ingest.people import find_numbered
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.store.connection import query


@pytest.mark.parametrize(
    ("id", "own"),
    [
        *(
            (id, True)
            for id in ("3", "0042", " 7 ", "annotator-3", "Annotator 12", "rater_B", "A2", "b", "user17")
        ),
        *(
            (id, False)
            for id in ("anna", "17385", "anna2", "A2X9QKZ3", "annotator-anna", "zofia@school.org", "ann")
        ),
    ],
)
def test_which_ids_are_numbers_of_a_source(id, own):
    assert find_numbered(pl.Series([id, None]), pl.Series(["p", None])) == (
        frozenset("p") if own else frozenset()
    )


@pytest.fixture
def judged(store, tmp_path):
    """Two sources of texts, and votes about each by anna and by each source's own number 3."""
    for name in ("one", "two"):
        texts = tmp_path / f"{name}.jsonl"
        texts.write_text(
            json.dumps(
                {
                    "id": name,
                    "task": "tutor",
                    "prompt": f"Why, {name}?",
                    "completions": [{"id": f"{name}-{c}", "content": c * 3} for c in "ab"],
                }
            )
        )
        votes = tmp_path / f"{name}.csv"
        votes.write_text(
            "completion_a,completion_b,choice,annotator\n"
            + "".join(f"{name}-a,{name}-b,a,{who}\n" for who in ("anna", "3", "3", "anna"))
        )
        read_into(store, "prompts", texts, name=name)
        read_into(store, "votes", votes, name=f"{name}-votes", about=name)
    return store


def read_into(store, format, path, name, replacing=False, **about):
    return ingest_files(store, format, [path], name, license="CC0-1.0", replacing=replacing, **about)


def test_a_name_is_one_annotator_and_a_number_one_of_each_source(judged, named):
    people = query(judged, "SELECT pseudonym, within FROM annotators ORDER BY ALL").rows()
    assert people == sorted([(named("anna"), None), (named("3"), "one"), (named("3"), "two")])
    fitted = read_signals(judged, [])["annotators"]["pseudonym"].to_list()
    assert sorted(fitted) == sorted([named("anna"), f"{named('3')} in one", f"{named('3')} in two"])
    assert forget(judged, named("3")).removed == {"annotators": 2, "votes": 4}


def test_annotators_leave_with_their_last_source_unless_they_are_excluded(judged, tmp_path):
    judged.execute("UPDATE annotators SET excluded_at = now() WHERE within = 'two'")
    nobody = tmp_path / "nobody.csv"
    nobody.write_text("completion_a,completion_b,choice\none-a,one-b,a\n")
    read_into(judged, "votes", nobody, "one-votes", replacing=True, about="one")
    assert query(judged, "SELECT within FROM annotators ORDER BY ALL NULLS LAST").rows() == [
        ("two",),
        (None,),
    ]
    nobody.write_text("completion_a,completion_b,choice\ntwo-a,two-b,a\n")
    read_into(judged, "votes", nobody, "two-votes", replacing=True, about="two")
    assert query(judged, "SELECT within FROM annotators").rows() == [("two",)]
