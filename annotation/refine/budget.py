"""Bound what a refinement may take: requests, and USD by what each request could cost at most.

budget = Budget(find_price("gpt-4o-mini"), max_cost=0.50)
budget.reserve(body)      # before each attempt; raises AnnotationError where it would be too much
budget.settle(answer)     # when it is answered; an attempt without an answer stays counted in full
"""

from dataclasses import dataclass, field
from typing import Any

from ...schemas.errors import AnnotationError
from ...schemas.support.numbers import format_count, format_usd
from ..models.backends.message import ChatCompletion
from ..models.prices import Price, bound_cost
from ..models.requests import Request, Sampling

MOST_TOKENS = 8_192  # of an answer, where its cost is bounded
_LATER = "what came is kept; the same command goes on with a larger one"


@dataclass
class Budget:
    """What a run may take, and has taken."""

    price: Price | None = None
    max_cost: float | None = None
    max_requests: int | None = None
    attempts: int = field(default=0)
    spent: float = field(default=0.0)  # USD, with what may have been billed without an answer
    _reserved: float = field(default=0.0)  # USD of the attempt that is under way

    def bound_answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Bound the tokens of the answer that a request asks for, if its cost is bounded."""
        return body if self.max_cost is None else body | {"max_tokens": MOST_TOKENS}

    def reserve(self, body: dict[str, Any]) -> None:
        """Count an attempt to send a request. Raises AnnotationError if it could take more than allowed."""
        if self.max_requests is not None and self.attempts >= self.max_requests:
            sent = format_count(self.attempts, "request")
            raise AnnotationError(f"stopped after {sent}, as --max-requests says; {_LATER}")
        most = self._bound(body)
        if self.max_cost is not None and self.spent + most > self.max_cost:
            raise AnnotationError(
                f"stopped at {format_usd(self.spent)}: the next request could cost {format_usd(most)}, more "
                f"than --max-cost allows; {_LATER}"
            )
        self.attempts += 1
        self.spent += most
        self._reserved = most

    def settle(self, answer: ChatCompletion) -> None:
        """Replace what was reserved last by what the server billed, if it says.

        Raises AnnotationError if that is more than the request could cost: no bound holds there.
        """
        if self.price is None or answer.prompt_tokens is None or answer.billed_tokens is None:
            return
        cost = self.price.compute_cost(answer.prompt_tokens, answer.billed_tokens)
        self.spent += cost - self._reserved
        if self.max_cost is not None and cost > self._reserved * (1 + 1e-9):
            raise AnnotationError(
                f"billed {format_usd(cost)} for a request that could cost no more than "
                f"{format_usd(self._reserved)}; stopped, since --max-cost cannot hold there; what came is "
                "kept"
            )

    def _bound(self, body: dict[str, Any]) -> float:
        if self.price is None:
            return 0.0
        request = Request(tuple(body["messages"]), Sampling(max_tokens=MOST_TOKENS))
        return bound_cost(request, self.price)
