"""A back-end: a way to ask one model, and what it answers."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..budget import Ledger
from ..prices import Price
from ..requests import Request
from .text_scores import ScoreTexts

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
    """A way to ask one model, and what it can do."""

    name: str
    """As records call it, with a digest or revision: hf:gec@3c0f5a3b9e1d."""
    session: Callable[[], AbstractAsyncContextManager[Send]]
    """Opens what asking needs (connections, weights) and gives the function that sends."""
    price: Price | None = None
    together: int = 1
    """Requests that one call of the function takes."""
    parallel: bool = True
    """Whether several calls may run at a time."""
    writes: bool = True
    """Whether it answers in words, as its kind says (registry); else only requests of its own making."""
    scores: ScoreTexts | None = None
    """Scores texts under the model; None where it cannot. Weights are read at the first call."""
    free: Callable[[], None] = lambda: None
    """Frees what asking has loaded, such as weights."""
    folder: Path | None = None
    """Of the weights, where they lie on this machine."""
