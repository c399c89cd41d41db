"""Final numbers of worked answers."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import EvaluationError
from preceptor.schemas.support.numbers import find_final_number
from preceptor.toolkit.evaluation.metrics.registry import METRICS
from preceptor.toolkit.evaluation.metrics.statistics import Item, estimate


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 * 4 = 12\n#### 12", "12"),
        ("#### 12\nIs there anything else in the next 5 minutes?", "12"),
        ("#### Step 2\nSo it comes to 40 cents.", "40"),
        ("Answer: 5 + 3 = 8\nCheck: 8 - 5 = 3", "8"),
        ("The **answer**: $1,234.50.", "1234.5"),
        ("He has 3, 4 and 5 apples, so 12.", "12"),
        ("about 1,234,567 people", "1234567"),
        ("1,2,3", "3"),
        ("it is -$5", "-5"),
        ("it is $-5.", "-5"),
        ("8-5", "5"),
        ("a share of 50%", "50"),
        ("a share of .5", "0.5"),
        ("is...5", "5"),
        ("_42_ or **43**", "43"),
        ("half, 1/2", "0.5"),
        ("1/0", None),
        ("x2 and b12", None),
        ("none", None),
        ("", None),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_the_final_number_is_found(text, number):
    assert find_final_number(text) == (None if number is None else Decimal(number))


@given(
    st.decimals(-(10**9), 10**9, places=2, allow_nan=False),
    st.sampled_from(["{:,}", "{}", "${:,}", "**{}**", "{:,}%", "({})"]),
    st.text(
        st.characters(blacklist_categories=["Nd", "Nl", "No", "Cs"], blacklist_characters="/"), max_size=30
    ),
)
def test_a_number_is_read_however_it_is_written(number, form, before):
    assert find_final_number(f"{before}\n#### {form.format(number)}") == number
    assert find_final_number(f"12 {before} = {form.format(abs(number))}.") == abs(number)


@given(st.text())
def test_any_text_has_a_number_or_none(text):
    found = find_final_number(text)
    assert found is None or found.is_finite()


def test_answers_are_right_by_their_numbers_alone():
    items = [
        Item(str(n), str(n), (), "", ref)
        for n, ref in enumerate([("So 4.\nAnswer: 4",), ("#### 1,000",), ("two",)])
    ]
    made = METRICS["right"].measure(items, ["It is 4.00 dollars", "I do not know", "2"])
    found = {name: estimate(s, ["a", "b", "c"], 0).value for name, s in made.items()}
    assert found == {"right": 0.5, "no_number": pytest.approx(1 / 3)}
    METRICS["right"].check(items)
    with pytest.raises(EvaluationError, match="none of the references gives a number"):
        METRICS["right"].check(items[2:])


def test_a_model_that_loops_is_read_in_no_time():
    began = time.process_time()
    assert find_final_number("1" + ",111" * 25_000 + "1") == 1111
    assert find_final_number("#### " * 30_000) is None
    assert time.process_time() - began < 3  # a minute, where each comma looks at all that follow
