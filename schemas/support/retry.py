"""Retry of failures that pass: a busy server, a connection that broke off.

retry(fetch, (1.0, 2.0, 4.0), pause_after)      # four attempts at most

The caller says which failures pass and how long to wait: `pause_after(error, wait)` gets the failure and the
seconds planned before the next attempt, and returns the seconds to wait (more where a server asks for more in
Retry-After), or None where another attempt cannot help. It is also the place to print a note.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
PauseAfter = Callable[[Exception, float], float | None]


def retry(call: Callable[[], T], waits: Sequence[float], pause_after: PauseAfter) -> T:
    """Call, and call again after failures that pass: `len(waits)` times at most.

    Raises what the last attempt raised, and at once a failure for which `pause_after` returns None.
    """
    for wait in waits:
        try:
            return call()
        except Exception as error:
            if (pause := pause_after(error, wait)) is None:
                raise
        time.sleep(pause)
    return call()


async def retry_async(
    call: Callable[[], Awaitable[T]],
    waits: Sequence[float],
    pause_after: PauseAfter,
    rest: Callable[[float], Awaitable[None]],
) -> T:
    """Do as `retry` does with a call that is awaited; `rest` waits between two attempts."""
    for wait in waits:
        try:
            return await call()
        except Exception as error:
            if (pause := pause_after(error, wait)) is None:
                raise
        await rest(pause)
    return await call()
