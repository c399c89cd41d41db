"""Share callbacks and limits between the askings of one evaluation: several models, then a judge.

callbacks = Callbacks(say=print)
left = subtract_spent(Limits(max_requests=100), [spent])        # what is left of 100 requests
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from ...annotation.models.asking import Spent, Watch
from ...annotation.models.backends.backend import Backend, Say
from ...annotation.models.budget import Limits


def watch_nothing(_backend: Backend) -> AbstractContextManager[Watch]:
    """Make a watch that does nothing."""
    return nullcontext(lambda *_: None)


@dataclass(frozen=True)
class Callbacks:
    """Functions that an evaluation calls while it runs; they do nothing by default."""

    say: Say = lambda _: None
    """Called with a notice: a metric is left out, a server is busy."""
    watching: Callable[[Backend], AbstractContextManager[Watch]] = watch_nothing
    """Called before a model is asked; makes the watch that follows the asking."""
    begin: Callable[[str, int, int], None] = lambda *_: None
    """Called before a model is asked for answers: its name, the number of requests, and of prompts in all."""
    end: Callable[[Spent], None] = lambda _: None
    """Called after a model was asked for answers, with what that took."""


SILENT = Callbacks()


def subtract_spent(limits: Limits, spent: Sequence[Spent]) -> Limits:
    """Compute the limits that are left after earlier askings."""
    requests, cost = limits.max_requests, limits.max_cost
    billed = sum((one.cost or 0.0) + one.unsure for one in spent)
    return replace(
        limits,
        max_requests=None if requests is None else max(0, requests - sum(one.requests for one in spent)),
        max_cost=None if cost is None else max(0.0, cost - billed),
    )
