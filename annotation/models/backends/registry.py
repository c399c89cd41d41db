"""Find the back-end of a model by its name on the command line.

openai:gpt-4o-mini          an OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, llama.cpp), --base-url
hf:FOLDER or hf:NAME@COMMIT  transformers, in this process
hf-likelihood:FOLDER         the same, scores given texts by log-probability; writes nothing
"""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ....schemas.errors import AnnotationError
from ....schemas.support.nearest import suggest

if TYPE_CHECKING:
    from .backend import Backend


@dataclass(frozen=True)
class BackendKind:
    """A kind of back-end: where it is, how a user writes it and what its models can do."""

    file: str
    """Its file here, loaded when the kind is asked for. Its function `open_backend` takes what follows the
    prefix, the base URL, a table of prices and whether code of the model may run."""
    spelling: str
    """How `--model` names a model of it, for the help."""
    writes: bool = True
    """True if its models answer in words."""
    scores: bool = False
    """True if its models score texts that are there."""


# One file and one line here for each, by prefix.
KINDS = {
    "openai": BackendKind("openai", "openai:NAME at --base-url"),
    "hf": BackendKind("hf", "hf:FOLDER or hf:NAME@REVISION in this process", scores=True),
    "hf-likelihood": BackendKind("hf_likelihood", "hf-likelihood:FOLDER", writes=False, scores=True),
}
WRITING = tuple(f"{prefix}:" for prefix, kind in KINDS.items() if kind.writes)
"""Prefixes of models that answer in words, for messages."""
SCORING = tuple(f"{prefix}:" for prefix, kind in KINDS.items() if kind.writes and kind.scores)
"""Prefixes of models that answer in words and score texts, for messages."""


def describe_models() -> str:
    """Describe how models that answer in words are named, in one sentence."""
    return ", or ".join(kind.spelling for kind in KINDS.values() if kind.writes) + "."


def find_backend(
    model: str, base_url: str | None = None, prices: Path | None = None, *, trusting_code: bool = False
) -> "Backend":
    """Open the back-end that `--model` names; `prices` is a table of the user's own.

    With `trusting_code`, code in the folder of a model may run in this process.

    Raises AnnotationError for an unknown prefix, with the nearest known one, and for a missing model.
    """
    kind, name = _find_kind(model)
    opened: Backend = import_module(f".{kind.file}", __package__).open_backend(
        name, base_url, prices, trusting_code
    )
    return replace(opened, writes=kind.writes)


def writes_answers(model: str) -> bool:
    """Return True if the model that `--model` names writes answers in words; loads nothing.

    Raises AnnotationError for an unknown prefix, with the nearest known one.
    """
    kind, _ = _find_kind(model)
    return kind.writes


def _find_kind(model: str) -> tuple[BackendKind, str]:
    kind, colon, name = model.partition(":")
    if not colon or not name:
        known = " or ".join(f"{prefix}:{model or 'NAME'}" for prefix in KINDS)
        raise AnnotationError(f"--model {model}: say where it answers: {known}")
    if kind not in KINDS:
        hint = suggest(kind, [*KINDS], "there are")
        raise AnnotationError(f"--model {model}: no back-end '{kind}': {hint}")
    return KINDS[kind], name
