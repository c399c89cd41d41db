"""Nearest names: one slip of the finger is always found, another word never is."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from preceptor.schemas.support.nearest import find_nearest, suggest
from preceptor.training.stages.registry import STAGES

NAMES = [
    "gleu",
    "exact",
    "changed",
    "learning_rate",
    "best-worst",
    "uncertain-band",
    "rubric-dominance",
    "over",
]
words = st.text("abc_", min_size=1, max_size=9)


@st.composite
def slips(draw):
    """A name and the same with one letter added, left out, changed or swapped with the next."""
    name = draw(st.sampled_from(NAMES))
    at = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from(string.ascii_lowercase))
    made = [
        name[:at] + letter + name[at:],
        name[:at] + name[at + 1 :],
        name[:at] + letter + name[at + 1 :],
        name[:at] + name[at + 1 : at + 2] + name[at : at + 1] + name[at + 2 :],
    ]
    return name, draw(st.sampled_from(made))


@given(slips())
def test_one_slip_is_found(slip):
    name, written = slip
    assert find_nearest(written, NAMES) == name


@given(words, st.lists(words, max_size=6))
def test_what_is_suggested_is_near_and_what_is_near_is_suggested(written, known):
    def far(one):
        a, b = (text.replace("_", "") for text in (written, one))
        short, long = sorted((a, b), key=len)
        part = len(short) >= 4 and 2 * len(short) >= len(long)
        if not short or (part and (long.startswith(short) or long.endswith(short))):
            return 0.3 if short else 1
        return OSA.distance(a, b) / len(long)

    near = find_nearest(written, known)
    if near is None:
        assert all(far(one) > 0.3 + 1e-9 for one in known)
    else:
        assert far(near) <= 0.3 + 1e-9


@given(st.sampled_from(NAMES))
def test_capitals_and_separators_do_not_matter(name):
    assert find_nearest(name.upper().replace("-", " ").replace("_", "."), NAMES) == name


@pytest.mark.parametrize("other", ["orpo", "cpo", "grpo", "ppo", "rloo", "xpo", "reward", "", "-", "☃"])
def test_another_stage_is_no_misspelt_one(other):
    assert find_nearest(other, STAGES) is None
    assert suggest(other, STAGES, "stages") == f"stages: {', '.join(STAGES)}"


def test_another_library_s_key_is_no_misspelt_one():
    assert find_nearest("use_unsloth", ["use_rslora", "use_peft", "use_cache"]) is None


def test_nothing_known():
    assert find_nearest("a", []) is None
    assert suggest("a", [], "stages") == "stages: none yet"
