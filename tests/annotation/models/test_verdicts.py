"""What a judge may answer: on the rubric's scale or refused, whatever text comes; texts within fences."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.annotation.models.fence import make_fence
from preceptor.annotation.models.judge.answers import find_json, make_answer_schema, make_checker
from preceptor.annotation.models.judge.verdicts import reach_verdicts
from preceptor.annotation.rubrics.rubric import parse_rubric, read_rubric

PAIRS = read_rubric("pairwise-preference")
SOCRATIC = read_rubric("socratic")
ZERO = """name: zero
title: How many errors?
kind: rating
criteria:
  - {name: errors, wording: "Errors?", levels: ["0", "1", "2"], higher_is_better: false}
  - {name: kind, wording: "Is it kind?", levels: ["no", "yes"]}
---
Count them.
"""
RATED = parse_rubric(ZERO)


def test_schema_names_every_value_and_no_bounds():
    pairs = make_answer_schema(PAIRS)
    assert pairs["required"] == ["reason", "preference"]
    assert pairs["properties"]["preference"]["enum"] == ["first", "second", "tie"]
    rated = make_answer_schema(RATED, reason=False)["properties"]
    assert rated == {
        "errors": {"type": "string", "enum": ["0", "1", "2"]},
        "kind": {"type": "integer", "enum": [1, 2]},
    }


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ('{"errors": "0", "kind": 2}', 1),
        ('Let me think: {"errors": 2, "kind": 1}? No.\n```json\n{"errors": 1, "kind": "Yes."}\n```\nDone', 2),
        ('<think>{"a": {"b": 1}}</think>{"reason": "{not this}", "errors": 2.0, "kind": true}', 3),
    ],
)
def test_the_last_object_is_read_and_wordings_are_values(text, errors):
    found = make_checker(RATED)(text)
    assert found["errors"] == errors
    assert found["kind"] == 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Both are fine.", "no JSON object"),
        ('{"errors": 3, "kind": 1}', 'errors is 3, expected "0", "1" or "2"'),
        ('{"errors": 1, "kind": 16}', "kind is 16, expected 1 or 2"),
        ('{"errors": 1, "kind": 1.5}', "kind is 1.5"),
        ('{"errors": 1, "kind": null}', "kind is null"),
        ('{"errors": [1], "kind": 1}', "errors is a list"),
        ('{"errors": 1}', "no value for kind"),
        ('{"erors": 1, "kind": 1}', "'erors' was not asked for: did you mean 'errors'?"),
        ('{"errors": 1, "errors": 2, "kind": 1}', "'errors' is there twice"),
        ('{"errors": NaN, "kind": 1}', "NaN is no JSON"),
    ],
)
def test_what_does_not_fit_is_named(text, fault):
    with pytest.raises(ValueError, match=fault.replace("?", r"\?")):
        make_checker(RATED)(text)


NAMES = st.sampled_from(["errors", "kind", "reason", "preference", "x"])
VALUES = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.sampled_from(["yes", "0", "2", 1, 2, "first", "tie"]),
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3).map(json.dumps)
TEXTS = st.lists(st.one_of(st.text(max_size=20), OBJECTS, st.sampled_from(["{", "}", '{"a":', "```"]))).map(
    "".join
)


@settings(max_examples=60)
@given(TEXTS)
def test_whatever_comes_is_on_the_scale_or_refused(text):
    for rubric, allowed in (
        (RATED, {"errors": {1, 2, 3}, "kind": {1, 2}}),
        (PAIRS, {"preference": {"first", "second", "tie"}}),
    ):
        try:
            found = make_checker(rubric)(text)
        except ValueError:
            continue
        assert isinstance(found.pop("reason", ""), str)
        assert found.keys() == allowed.keys()
        assert all(value in allowed[name] and not isinstance(value, bool) for name, value in found.items())


def test_deep_nesting_is_refused():
    with pytest.raises(ValueError, match="no JSON object"):
        find_json('{"a":' * 5000)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=30), max_size=4))
def test_no_text_holds_the_mark(texts):
    mark = make_fence(texts).mark
    assert make_fence(texts).mark == mark
    again = make_fence([*texts, mark, mark.upper()])
    assert again.mark.casefold() not in " ".join([*texts, mark, mark.upper()]).casefold()


def said(one, two=None, a="A", b="B"):
    answers = {(a, b): {"preference": one}}
    return answers | ({(b, a): {"preference": two}} if two else {})


@pytest.mark.parametrize(
    ("one", "two", "given", "place"),
    [
        ("first", "second", "a", "consistent"),
        ("second", "first", "b", "consistent"),
        ("tie", "tie", "tie", "consistent"),
        ("first", "first", "tie", "first twice"),
        ("second", "second", "tie", "second twice"),
        ("tie", "second", "tie", "tie once"),
    ],
)
def test_both_orders_make_the_vote(one, two, given, place):
    asked = [{"key": "q", "completion_a": "A", "completion_b": "B"}]
    found = reach_verdicts(PAIRS, asked, said(one, two), both=True)
    assert json.loads(found.given[0]["given"]) == {"preference": given}
    assert {name for name, n in found.positions.items() if n} == {place}
    assert found.disagree == (place != "consistent")


def test_without_a_tie_there_is_no_vote_and_half_a_pair_is_missing():
    no_tie = parse_rubric("name: n\ntitle: Which?\nkind: pairwise\ntie: false\n---\nLook.\n")
    asked = [
        {"key": "q", "completion_a": "A", "completion_b": "B"},
        {"key": "r", "completion_a": "A", "completion_b": "C"},
    ]
    found = reach_verdicts(no_tie, asked, said("first", "first") | said("first", b="C"), both=True)
    assert (found.given, found.disagree, found.no_vote, found.missing) == ([], 1, 1, 1)
