"""Describe a back-end, a way to ask one model, and its answers."""

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
    """A back-end's answer to one request; `fault` says why it cannot be read or was refused.

    `text` is the model's message unchanged, or whatever came instead. `refused`: the back-end did not
    take the request (too long for it, say); a retry does not help.
    """

    text: str
    fault: str | None = None
    refused: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    said: dict[str, Any] = field(default_factory=dict)


# Sends requests and returns their answers in the same order; None: a limit was reached before it. Every
# attempt is reserved in the ledger before it is made, and settled or released after it. Raises
# AnnotationError if the back-end does not answer.
Send = Callable[[Sequence[Request], Ledger, Say], Awaitable[list[ModelAnswer | None]]]


@dataclass(frozen=True)
class Backend:
    """A way to ask one model, and what it can do."""

    name: str
    """Name in records, with a digest or revision: hf:gec@3c0f5a3b9e1d."""
    session: Callable[[], AbstractAsyncContextManager[Send]]
    """Opens connections or loads weights, and yields the function that sends."""
    price: Price | None = None
    together: int = 1
    """Maximum requests in one call of the function."""
    parallel: bool = True
    """True if several calls may run at a time."""
    writes: bool = True
    """Whether it answers in words, as its kind says (registry); else only requests of its own making."""
    scores: ScoreTexts | None = None
    """Scores texts under the model; None if it cannot. Loads weights at the first call."""
    free: Callable[[], None] = lambda: None
    """Frees loaded weights."""
    folder: Path | None = None
    """Path of the weights on this machine, if any."""
