"""Where a model answers, by the name it is given on the command line.

openai:gpt-4o-mini          an OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, llama.cpp), --base-url
hf:FOLDER or hf:NAME@COMMIT  transformers, in this process
hf-likelihood:FOLDER         the same, by the log-probability of texts that are there; writes nothing
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....schemas.errors import AnnotationError
from ....schemas.support.nearest import nearest
from ..budget import Ledger
from ..prices import Price
from ..requests import Request

Say = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
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
Send = Callable[[Sequence[Request], Ledger, Say], Awaitable[list[Answer | None]]]


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


def _open_ai(name: str, base_url: str | None, prices: Path | None) -> Backend:
    from .openai import open_ai  # httpx takes a while to load

    return open_ai(name, base_url, prices)


def _transformers(name: str, _base_url: str | None, _prices: Path | None) -> Backend:
    from .hf import transformers_backend

    return transformers_backend(name)


def _likelihood(name: str, _base_url: str | None, _prices: Path | None) -> Backend:
    from .hf_likelihood import likelihood_backend

    return likelihood_backend(name)


KINDS: dict[str, Callable[[str, str | None, Path | None], Backend]] = {
    "openai": _open_ai,
    "hf": _transformers,
    "hf-likelihood": _likelihood,
}


def backend(model: str, base_url: str | None = None, prices: Path | None = None) -> Backend:
    """The back-end that `--model` names; `prices` is a table of the user's own.

    Raises AnnotationError for a prefix that is none, with the nearest, and for what cannot be found.
    """
    kind, colon, name = model.partition(":")
    if not colon or not name:
        known = " or ".join(f"{prefix}:{model or 'NAME'}" for prefix in KINDS)
        raise AnnotationError(f"--model {model}: say where it answers: {known}")
    if kind not in KINDS:
        hint = nearest(kind, [*KINDS], "there are")
        raise AnnotationError(f"--model {model}: no back-end '{kind}': {hint}")
    return KINDS[kind](name, base_url, prices)
