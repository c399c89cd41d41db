"""A small study, pushed once, and a server of it."""

import pytest
from browsing import open_chromium, open_page
from studying import Learner, prepare, serving


@pytest.fixture
def place(tmp_path, preceptor):
    """A folder with a store, and `preceptor` in it; the command must end well."""
    return prepare(tmp_path, preceptor)


@pytest.fixture
def pushed(place):
    """The same with a study `w` of cards alone, whose votes are asked for each time."""
    place(
        "study", "push", "--study", "w", "--source", "mine", "--consent", "consent.txt", "--class", "class.csv",
        "--code", "frog", "--vote-share", 1, "--rubric", "socratic", "--rate-every", 2, "--license", "CC-BY-4.0",
    )  # fmt: skip
    return place


@pytest.fixture
def served(pushed):
    with serving(pushed.folder) as process:
        yield process


@pytest.fixture
def learner(served):
    return lambda name: Learner(served.url, served.links[name])


@pytest.fixture(scope="module")
def chromium():
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def page(chromium, request):
    """A page of a width, which must ask nobody else and say no error."""
    with open_page(chromium, *request.param) as opened:
        yield opened
