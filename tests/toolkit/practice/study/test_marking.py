"""Answers are marked tolerantly, but never so that the error that is exercised passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.toolkit.practice.study.journal.marking import mark_answer

TEXT = st.text("abcё е.,'’ЕЁA-–", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("said", "accepted", "wrong", "verdict"),
    [
        ("goes", ["goes"], [], "right"),
        ("  Goes. ", ["goes"], [], "near"),
        ("елка", ["ёлка"], [], "near"),
        ("He goes to school.", ["He goes to school ."], ["He go to school ."], "right"),
        ("he goes to school", ["He goes to school ."], ["He go to school ."], "near"),
        ("it’s", ["it's"], ["its"], "right"),
        ("its", ["it's"], ["its"], "wrong"),
        ("Well I know", ["Well, I know"], ["Well I know"], "wrong"),  # the comma is what is exercised
        ("Well , I know", ["Well, I know"], ["Well I know"], "right"),
        ("monday", ["Monday"], ["monday"], "wrong"),  # the capital is
        ("все", ["всё"], ["все"], "wrong"),  # the letter is
        ("", ["..."], [], "wrong"),
        ("walks", ["goes", "walks"], ["go"], "right"),
    ],
)
def test_how_an_answer_is_marked(said, accepted, wrong, verdict):
    assert mark_answer(said, accepted, wrong) == verdict


@given(TEXT, st.lists(TEXT, max_size=3))
def test_an_accepted_answer_is_always_right_and_a_wrong_one_always_wrong(key, wrong):
    assert mark_answer(key, [key], wrong) == "right"
    for one in wrong:
        if one != key:
            assert mark_answer(one, [key], wrong) == "wrong"
