"""Where a model answers, by the name it is given on the command line.

openai:gpt-4o-mini          an OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, llama.cpp), --base-url
hf:FOLDER or hf:NAME@COMMIT  transformers, in this process
hf-likelihood:FOLDER         the same, by the log-probability of texts that are there; writes nothing
"""

from collections.abc import Callable
from pathlib import Path

from ....schemas.errors import AnnotationError
from ....schemas.support.nearest import suggest
from .backend import Backend


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


def find_backend(model: str, base_url: str | None = None, prices: Path | None = None) -> Backend:
    """The back-end that `--model` names; `prices` is a table of the user's own.

    Raises AnnotationError for a prefix that is none, with the nearest, and for what cannot be found.
    """
    kind, colon, name = model.partition(":")
    if not colon or not name:
        known = " or ".join(f"{prefix}:{model or 'NAME'}" for prefix in KINDS)
        raise AnnotationError(f"--model {model}: say where it answers: {known}")
    if kind not in KINDS:
        hint = suggest(kind, [*KINDS], "there are")
        raise AnnotationError(f"--model {model}: no back-end '{kind}': {hint}")
    return KINDS[kind](name, base_url, prices)
