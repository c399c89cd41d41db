"""Retry of transient failures: a busy server, a connection that broke off.

retry(fetch, (1.0, 2.0, 4.0), pause_after)      # four attempts at most

The caller decides which failures are transient and how long to wait: `pause_after(error, wait)` gets the
failure and the planned seconds before the next attempt. It returns the seconds to wait (more if a server asks
for more in Retry-After), or None if another attempt cannot help. It may also print a note.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
PauseAfter = Callable[[Exception, float], float | None]


def retry(call: Callable[[], T], waits: Sequence[float], pause_after: PauseAfter) -> T:
    """Retry a call after transient failures, `len(waits)` times at most.

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
    """Retry an awaited call as `retry` does; `rest` waits between two attempts."""
    for wait in waits:
        try:
            return await call()
        except Exception as error:
            if (pause := pause_after(error, wait)) is None:
                raise
        await rest(pause)
    return await call()
