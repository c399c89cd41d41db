"""Retry: which failures are tried again, how often, and after how long."""

import asyncio
from types import SimpleNamespace

import pytest

from preceptor.schemas.support import retry as module
from preceptor.schemas.support.retry import retry, retry_async


@pytest.fixture
def slept(monkeypatch):
    found = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=found.append))  # threads of others sleep on
    return found


def failing(*failures):
    left = list(failures)

    def call():
        if left:
            raise left.pop(0)
        return "done"

    return call


def pause_after(error, wait):
    return None if isinstance(error, KeyError) else max(wait, *(int(a) for a in error.args), 0)


def test_what_passes_is_tried_again_after_the_longer_of_two_waits(slept):
    assert retry(failing(OSError(), OSError(7)), (1, 2, 4), pause_after) == "done"
    assert slept == [1, 7]


def test_what_does_not_pass_is_raised_at_once(slept):
    with pytest.raises(KeyError):
        retry(failing(OSError(), KeyError("x")), (1, 2, 4), pause_after)
    assert slept == [1]


def test_the_last_failure_is_raised(slept):
    with pytest.raises(OSError, match="9"):
        retry(failing(OSError(3), OSError(9)), (1,), pause_after)
    assert slept == [3]


def test_an_awaited_call_is_tried_again_as_well(slept):
    rested, call = [], failing(OSError(), OSError())

    async def attempt():
        return call()

    async def rest(seconds):
        rested.append(seconds)

    assert asyncio.run(retry_async(attempt, (1, 2), pause_after, rest)) == "done"
    assert (rested, slept) == ([1, 2], [])
