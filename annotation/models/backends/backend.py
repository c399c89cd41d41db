"""A back-end: a way to ask one model, and what it answers."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from ..budget import Ledger
from ..prices import Price
from ..requests import Request

Say = Callable[[str], None]


@dataclass(frozen=True)
class ModelAnswer:
    """What a back-end sent back to one request; `fault` says why it cannot be read or was refused.

    `text` is the model's message as it stands, or else what came instead. `refused`: the back-end did not
    take the request (too long for it, say); sending it again does not help.
    """

    text: str
    fault: str | None = None
    refused: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    said: dict[str, Any] = field(default_factory=dict)


# Sends requests and returns their answers in the same order; None: a limit was reached before it. Every
# attempt is reserved in the ledger before it is made, and settled or released after it. AnnotationError where
# the back-end stays away.
Send = Callable[[Sequence[Request], Ledger, Say], Awaitable[list[ModelAnswer | None]]]


@dataclass(frozen=True)
class Backend:
    """A way to ask one model.

    `name` is what the record calls it. `session` opens what asking needs (connections, weights) and gives
    the function that sends. `together`: requests that one call of it takes; `parallel`: whether several
    calls may run at a time.
    """

    name: str
    session: Callable[[], AbstractAsyncContextManager[Send]]
    price: Price | None = None
    together: int = 1
    parallel: bool = True
