"""Bound the requests and cost of a run, with any number of concurrent requests.

The maximum cost of a request is reserved before it is sent, and replaced by its actual cost when it is
answered. A failed attempt counts as a request, too; one that may have been billed without an answer counts as
unsure with the maximum cost, and against the bound. So neither bound is exceeded, unless a server bills more
than its request could cost: then all further requests are stopped.
"""

import asyncio
from dataclasses import dataclass

from ...schemas.support.numbers import format_usd
from .prices import Price, bound_cost
from .requests import Request


@dataclass(frozen=True)
class Limits:
    """Maximum concurrent requests, and maximum attempts and USD of a run."""

    concurrency: int = 8
    max_requests: int | None = None
    max_cost: float | None = None


NO_LIMITS = Limits()


class Ledger:
    """Requests, cost and reservations of a run.

    Each attempt: `reserve`, then `settle`, `count_unsure` or `release`.
    """

    def __init__(self, limits: Limits, price: Price | None) -> None:
        self.limits = limits
        self.price = price
        self.requests = 0
        self.spent = 0.0
        self.unsure = 0.0  # USD of attempts without an answer that may have been billed
        self.reserved = 0.0
        self.excess: str | None = None  # what the first bill above its reservation was
        self.stopped = False
        self._settled = asyncio.Event()

    async def reserve(self, request: Request) -> bool:
        """Reserve an attempt: true if it may be sent; waits while only reservations of others prevent it."""
        most = self._most(request)
        while not self.stopped:
            if self.limits.max_requests is not None and self.requests >= self.limits.max_requests:
                break
            if self.limits.max_cost is None or self.committed + self.reserved + most <= self.limits.max_cost:
                self.requests += 1
                self.reserved += most
                return True
            if self.committed + most > self.limits.max_cost:
                break
            await self._settled.wait()
        self.stop()
        return False

    def settle(
        self, request: Request, prompt_tokens: int | None = None, completion_tokens: int | None = None
    ) -> float | None:
        """Replace an answered request's reservation by its cost, and return that in USD.

        None without a price. The whole reservation if the back-end does not count tokens. Stops all further
        requests if there is a maximum cost and this one cost more than was reserved for it.
        """
        if self.price is None:
            self._free(request, 0.0)
            return None
        unknown = prompt_tokens is None or completion_tokens is None
        sent, received = prompt_tokens or 0, completion_tokens or 0
        cost = self._most(request) if unknown else self.price.compute_cost(sent, received)
        self._free(request, cost)
        most = self._most(request)
        if self.limits.max_cost is not None and cost > most * (1 + 1e-9) and self.excess is None:
            self.excess = (
                f"billed {sent:,} tokens sent and {received:,} received, that is {format_usd(cost)}, for a "
                f"request that could cost no more than {format_usd(most)}; stopped, since --max-cost cannot "
                "hold there. What came is kept; the same command without --max-cost goes on"
            )
            self.stop()
        return cost

    def count_unsure(self, request: Request) -> None:
        """Count the reservation of an attempt without an answer, which may have been billed."""
        self._free(request, 0.0)
        self.unsure += self._most(request)

    @property
    def committed(self) -> float:
        """What was billed and what may have been, in USD."""
        return self.spent + self.unsure

    def release(self, request: Request) -> None:
        """Release the reservation of a refused request, which costs nothing."""
        self._free(request, 0.0)

    def stop(self) -> None:
        """Stop all further requests."""
        self.stopped = True
        self._wake()

    def _most(self, request: Request) -> float:
        return bound_cost(request, self.price) if self.price else 0.0

    def _free(self, request: Request, cost: float) -> None:
        self.reserved = max(0.0, self.reserved - self._most(request))
        self.spent += cost
        self._wake()

    def _wake(self) -> None:
        self._settled.set()
        self._settled = asyncio.Event()
