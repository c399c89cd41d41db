"""Bound what a refinement may take, one request after another, by the ledger that bounds every run.

budget = Budget(Limits(max_cost=0.50), find_price("gpt-4o-mini"))
await budget.reserve(body)      # before each attempt; raises AnnotationError where it would be too much
budget.settle(answer)           # when it is answered; an attempt without an answer stays counted in full
"""

from typing import Any

from ...schemas.errors import AnnotationError
from ...schemas.support.numbers import format_count, format_usd
from ..models.backends.message import ChatCompletion
from ..models.budget import NO_LIMITS, Ledger, Limits
from ..models.prices import Price
from ..models.requests import Request, Sampling

MOST_TOKENS = 8_192  # of an answer, where its cost is bounded
_LATER = "what came is kept; the same command goes on with a larger one"


class Budget:
    """What a run may take, and has taken; `under_way` is the attempt that has no answer yet."""

    def __init__(self, limits: Limits = NO_LIMITS, price: Price | None = None) -> None:
        self.ledger = Ledger(limits, price)
        self.under_way: Request | None = None

    def bound_answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Bound the tokens of the answer that a request asks for, if its cost is bounded."""
        return body if self.ledger.limits.max_cost is None else body | {"max_tokens": MOST_TOKENS}

    async def reserve(self, body: dict[str, Any]) -> None:
        """Count an attempt to send a request. Raises AnnotationError if it could take more than allowed."""
        if self.under_way is not None:
            self.ledger.count_unsure(self.under_way)
            self.under_way = None
        request = Request(tuple(body["messages"]), Sampling(max_tokens=MOST_TOKENS))
        if await self.ledger.reserve(request):
            self.under_way = request
            return
        if self.ledger.requests == self.ledger.limits.max_requests:
            sent = format_count(self.ledger.requests, "request")
            raise AnnotationError(f"stopped after {sent}, as --max-requests says; {_LATER}")
        raise AnnotationError(
            f"stopped at {format_usd(self.ledger.committed)}: the next request could cost more than "
            f"--max-cost allows; {_LATER}"
        )

    def settle(self, answer: ChatCompletion) -> None:
        """Replace what was reserved last by what the server billed, if it says.

        Raises AnnotationError if that is more than the request could cost: no bound holds there.
        """
        if self.under_way is None:
            return
        self.ledger.settle(self.under_way, answer.prompt_tokens, answer.billed_tokens)
        self.under_way = None
        if self.ledger.excess:
            raise AnnotationError(self.ledger.excess)
