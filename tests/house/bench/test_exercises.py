"""What `make bench-exercises` reads from a model's replies, and how it counts."""

import pytest

from preceptor.tests.bench.exercises import Share, accepts, find_interval, read_words

SHOWN = "She ____ to school every day ."


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("goes", "goes"),
        ('\n "Goes" \nBecause of the subject.', "goes"),
        ("The corrected sentence is:\nShe is going to school every day .", "is going"),
        ("She walks to school", "walks"),
        ("", ""),
        ("   \n", ""),
    ],
)
def test_the_words_for_the_gap_are_found(reply, words):
    assert read_words(reply, SHOWN) == words


def test_a_gap_at_an_end_is_read_from_the_first_line():
    assert read_words("He\nis here .", "____ is here .") == "he"


def test_an_answer_is_accepted_whatever_case_and_final_point():
    assert accepts(["goes", "is going"], "is going")
    assert accepts(["Goes"], "goes.")
    assert accepts(["day."], "day")
    assert not accepts(["goes"], "go")
    assert not accepts(["goes"], "")


def test_an_interval_holds_its_share():
    low, high = find_interval(30, 60)
    assert (round(low, 3), round(high, 3)) == (0.396, 0.604)
    assert find_interval(0, 10)[0] == 0
    assert find_interval(10, 10)[1] == pytest.approx(1)
    assert Share(0, 0).describe() == "-"
    assert Share(30, 60).describe() == "0.500 (0.396 to 0.604), n 60"
