"""Find a model's price in a table of name patterns (prices.yaml), in USD per million tokens.

- {model: ["gpt-4o-mini", "gpt-4o-mini-20*"], in: 0.15, out: 0.60}
"""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...schemas.errors import AnnotationError
from ...schemas.support.numbers import format_usd
from ...schemas.support.settings_files.yaml_values import parse_yaml
from .requests import Request

PRICES = Path(__file__).with_name("prices.yaml")
_MILLION = 1_000_000
_AROUND_MESSAGE = 16  # maximum tokens that a chat template adds to a message
_AROUND_REQUEST = 64  # and to the conversation


@dataclass(frozen=True)
class Price:
    """USD per million tokens sent, and per million received."""

    sent: float
    received: float
    assumed: bool = False
    """True if no table names it: a model on this machine, behind which a paid service may be."""

    def compute_cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Compute the cost of these tokens in USD."""
        return (self.sent * prompt_tokens + self.received * completion_tokens) / _MILLION


FREE = Price(0.0, 0.0)
ASSUMED_FREE = Price(0.0, 0.0, assumed=True)


def find_price(model: str, prices: Path | None = None) -> Price | None:
    """Find the price of a model, in the user's own table first; None if no pattern fits.

    Raises AnnotationError for a table that cannot be read, with its file and entry.
    """
    for path in (prices, PRICES):
        for patterns, price in _table(path) if path else ():
            if any(fnmatchcase(model, pattern) for pattern in patterns):
                return price
    return None


def require_price(name: str, price: Price | None) -> None:
    """Raise AnnotationError if a cost cap has no price to go by, or none that is known.

    A model on this machine may be a proxy to a paid service.
    """
    if price is None or price.assumed:
        on = ", which may be a proxy to a paid service" if price else ""
        raise AnnotationError(
            f"--max-cost: no price is known for {name}{on}; write one into a file and give it as "
            "--prices (models: [{model: NAME, in: USD per million tokens, out: the same}]; 0 if it is free), "
            "or use --max-requests"
        )


def count_most_tokens(request: Request) -> int:
    """Bound the tokens of a request's messages from above: none is shorter than a byte."""
    texts = [message["content"] for message in request.messages]
    texts += [json.dumps(request.schema)] if request.schema else []
    return sum(len(text.encode()) for text in texts) + _AROUND_REQUEST + _AROUND_MESSAGE * len(texts)


def bound_cost(request: Request, price: Price) -> float:
    """Bound the cost of a request from above, in USD."""
    return price.compute_cost(count_most_tokens(request), request.sampling.max_tokens)


def describe_cost(cost: float | None, unsure: float = 0.0) -> str:
    """Describe what a run cost, and what may have been billed besides, in USD; None: there is no price."""
    if cost is None:
        return "no price known"
    more = f", and up to {format_usd(unsure)} more that may have been billed for requests without an answer"
    return format_usd(cost) + (more if unsure else "")


def _table(path: Path) -> list[tuple[list[str], Price]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}; --prices names a YAML file of prices") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not YAML: {error}; save it as UTF-8") from error
    content = parse_yaml(text, path, AnnotationError)[1]
    entries = content.get("models") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise AnnotationError(f"{path}: expected 'models:' and a list under it, as {PRICES.name} has it")
    return [_entry(entry, f"{path}: model {n}") for n, entry in enumerate(entries, 1)]


def _entry(entry: Any, where: str) -> tuple[list[str], Price]:
    wanted = "{model: NAME, in: USD per million tokens, out: the same}"
    if not isinstance(entry, dict) or set(entry) != {"model", "in", "out"}:
        raise AnnotationError(f"{where}: expected {wanted}")
    names = entry["model"] if isinstance(entry["model"], list) else [entry["model"]]
    numbers = [entry["in"], entry["out"]]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n < 1e9 for n in numbers):
        raise AnnotationError(f"{where}: in and out must be numbers from 0; expected {wanted}")
    return [str(name) for name in names], Price(float(entry["in"]), float(entry["out"]))
