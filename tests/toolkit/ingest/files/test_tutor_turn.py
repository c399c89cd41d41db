"""A tutor's structured turn read in SQL: valid, misspelt, incomplete and broken JSON."""

import json

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.toolkit.ingest.files.tutor_turn import check_json_sql, convert_literal_sql, read_state_sql


def states(*texts):
    """What read_state_sql makes of each text."""
    with duckdb.connect() as con:
        con.execute("CREATE TABLE given AS SELECT unnest(?::VARCHAR[]) AS t", [list(texts)])
        return [row[0] for row in con.sql(f"SELECT {read_state_sql('t')} FROM given").fetchall()]


BIOLOGY = {
    "Evaluation of Student Response": "a",
    "Action Based on Evaluation": "1",
    "Subproblem State": "x",
    "Subproblem": "What is a cell?",
    "Tutorbot": "Not yet: look again.",
}
PHYSICS = {
    "Thoughts of Tutorbot": "hm",
    "Evaluation of Student Response": "b",
    "Action Based on Evaluation": "3",
    "Step Number": "2",
    "Step State": "r",
    "Tutorbot Response": "Right.",
}


def test_a_published_turn_is_valid_complete_and_as_it_was():
    biology, physics = states(json.dumps(BIOLOGY), json.dumps(PHYSICS, indent=2))
    assert (biology["valid"], biology["complete"], biology["repaired"]) == (True, True, False)
    assert (biology["variant"], biology["evaluation"], biology["action"], biology["state"]) == (
        "biology",
        "a",
        "1",
        "x",
    )
    assert (biology["part"], biology["response"]) == ("What is a cell?", "Not yet: look again.")
    assert biology["turn"] == json.dumps(BIOLOGY, separators=(",", ":"))
    assert (physics["valid"], physics["complete"], physics["repaired"]) == (True, True, False)
    assert (physics["variant"], physics["thoughts"], physics["state"], physics["part"]) == (
        "physics",
        "hm",
        "r",
        "2",
    )
    assert list(json.loads(physics["turn"])) == list(PHYSICS)[1:]


def renamed(turn, old, new):
    return json.dumps({new if key == old else key: value for key, value in turn.items()})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Action Based on Evaluation", "Action Based on the Evaluation"),
        ("Action Based on Evaluation", "action based on evaluation"),
        ("Evaluation of Student Response", "Evaluation_of_the_Student_Response "),
        ("Subproblem State", "Sub-problem State"),
        ("Tutorbot", "tutorbot"),
    ],
)
def test_a_misspelt_key_is_known_and_said(old, new):
    (found,) = states(renamed(BIOLOGY, old, new))
    assert (found["valid"], found["complete"], found["repaired"]) == (True, True, True)
    assert found["turn"] == json.dumps(BIOLOGY, separators=(",", ":"))


@pytest.mark.parametrize(
    ("part", "written", "code"),
    [
        ("Evaluation of Student Response", "g) N/A", "g"),
        ("Evaluation of Student Response", "N/A", "g"),
        ("Evaluation of Student Response", "na", "g"),
        ("Evaluation of Student Response", "B", "b"),
        ("Evaluation of Student Response", "b) Evaluating Correct Responses", "b"),
        ("Evaluation of Student Response", "b. Evaluating Correct Responses", "b"),
        ("Evaluation of Student Response", "(b)", "b"),
        ("Evaluation of Student Response", "a,b", "a,b"),
        ("Evaluation of Student Response", "a) and b)", "a,b"),
        ("Evaluation of Student Response", "a) One thing, c) another", "a,c"),
        ("Evaluation of Student Response", ["a", "f"], "a,f"),
        ("Evaluation of Student Response", "a good response", None),
        ("Evaluation of Student Response", "h", None),
        ("Evaluation of Student Response", "", None),
        ("Evaluation of Student Response", None, None),
        ("Action Based on Evaluation", 12, "12"),
        ("Action Based on Evaluation", "12)", "12"),
        ("Action Based on Evaluation", "13", None),
        ("Action Based on Evaluation", "0", None),
        ("Action Based on Evaluation", "3) Confirm. Check 1, 2", "3"),
        ("Action Based on Evaluation", "1 & 4", "1,4"),
        ("Action Based on Evaluation", "10/11", "10,11"),
        ("Action Based on Evaluation", "N/A", "12"),
        ("Subproblem State", "N/A", "w"),
        ("Subproblem State", "y) Subproblem finished", "y"),
        ("Subproblem State", "q", None),
    ],
)
def test_codes(part, written, code):
    (found,) = states(json.dumps(BIOLOGY | {part: written}))
    names = {
        "Evaluation of Student Response": "evaluation",
        "Action Based on Evaluation": "action",
        "Subproblem State": "state",
    }
    assert found["valid"]
    assert found[names[part]] == code
    assert found["repaired"] or written == code or not written
    kept = json.loads(found["turn"]).get(part)
    assert kept == code or code is None
    if code is None and written:
        assert kept == written  # nothing is invented


@pytest.mark.parametrize("key", BIOLOGY)
def test_an_incomplete_turn_is_valid_but_not_complete(key):
    less = {k: v for k, v in BIOLOGY.items() if k != key}
    for found in states(
        json.dumps(less), json.dumps(BIOLOGY | {key: " "}), json.dumps(BIOLOGY | {key: None})
    ):
        assert (found["valid"], found["complete"]) == (True, False)
        assert (found["turn"] is None) == (key == "Tutorbot")
    assert not states(json.dumps(less))[0]["repaired"]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "I think it is a",
        "[1]",
        "3",
        '"a"',
        "null",
        "{",
        json.dumps(BIOLOGY)[:-1],
        json.dumps(BIOLOGY)[:-1] + ",}",
        str(BIOLOGY),
        "```json\n" + json.dumps(BIOLOGY) + "\n```",
        json.dumps(BIOLOGY | {"n": float("nan")}),
        json.dumps(BIOLOGY) + json.dumps(BIOLOGY),
    ],
)
def test_broken_json_is_not_valid(text):
    (found,) = states(text)
    assert (found["valid"], found["complete"], found["repaired"]) == (False, False, False)
    assert {found[name] for name in ("evaluation", "action", "state", "response", "turn")} == {None}


def test_an_extra_key_counts_as_repaired():
    (found,) = states(json.dumps(BIOLOGY | {"Mood": "good"}))
    assert (found["valid"], found["complete"], found["repaired"]) == (True, True, True)
    assert "Mood" not in found["turn"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=6) | st.just("x, ]NaN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
turns = st.fixed_dictionaries({}, optional={key: values | st.sampled_from("abgwx1") for key in BIOLOGY})


@pytest.fixture(scope="module")
def scratch_con():
    with duckdb.connect() as con:
        yield con


@settings(max_examples=100)
@given(
    text=st.one_of(turns, values).map(json.dumps),
    cut=st.integers(0, 40),
    piece=st.sampled_from(["", ",", "]", "}", '"', "\\", "NaN", "-Infinity", "\x00", "'", "0"]),
)
def test_strict_json_is_what_the_json_module_takes(scratch_con, text, cut, piece):
    text = text[:cut] + piece + text[cut:]

    def refuse(constant):
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
        expected = True
    except ValueError:
        expected = False
    strict, found = scratch_con.execute(
        f"SELECT {check_json_sql('t')}, {read_state_sql('t')} FROM (SELECT ?::VARCHAR AS t)", [text]
    ).fetchone()
    if r"\ud" not in text:  # half a surrogate pair is text to Python, not to others
        assert strict == expected
    assert found["valid"] == (strict and isinstance(json.loads(text), dict))
    assert not (found["complete"] and found["turn"] is None)


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.text(max_size=5), st.text("ab'\"\\\n\té{}:, ", max_size=12) | st.booleans() | st.none()
    )
)
def test_python_dictionaries_are_read_as_json(scratch_con, turn):
    (text,) = scratch_con.execute(
        f"SELECT {convert_literal_sql('t')} FROM (SELECT ?::VARCHAR AS t)", [repr(turn)]
    ).fetchone()
    try:
        assert json.loads(text) == turn
    except ValueError:
        assert r"\U" in text or r"\x" in repr(repr(turn))
