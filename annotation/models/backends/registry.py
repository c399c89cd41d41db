"""Find the back-end of a model by its name on the command line.

openai:gpt-4o-mini          an OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, llama.cpp), --base-url
hf:FOLDER or hf:NAME@COMMIT  transformers, in this process
hf-likelihood:FOLDER         the same, scores given texts by log-probability; writes nothing
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from ....schemas.errors import AnnotationError
from ....schemas.support.nearest import suggest
from .backend import Backend

# A prefix and its file here, which is loaded when it is asked for. Its function `open_backend` takes what
# follows the prefix, the base URL and a table of prices; WRITES is true if its models answer in words.
KINDS = {
    "openai": "openai",
    "hf": "hf",
    "hf-likelihood": "hf_likelihood",
}


def find_backend(model: str, base_url: str | None = None, prices: Path | None = None) -> Backend:
    """Open the back-end that `--model` names; `prices` is the user's own table.

    Raises AnnotationError for an unknown prefix, with the nearest known one, and for a missing model.
    """
    file, name = _find_file(model)
    opened: Backend = file.open_backend(name, base_url, prices)
    return opened


def writes_answers(model: str) -> bool:
    """Return True if the model that `--model` names writes answers in words; loads nothing.

    Raises AnnotationError for an unknown prefix, with the nearest known one.
    """
    file, _ = _find_file(model)
    return bool(file.WRITES)


def _find_file(model: str) -> tuple[ModuleType, str]:
    kind, colon, name = model.partition(":")
    if not colon or not name:
        known = " or ".join(f"{prefix}:{model or 'NAME'}" for prefix in KINDS)
        raise AnnotationError(f"--model {model}: say where it answers: {known}")
    if kind not in KINDS:
        hint = suggest(kind, [*KINDS], "there are")
        raise AnnotationError(f"--model {model}: no back-end '{kind}': {hint}")
    return import_module(f".{KINDS[kind]}", __package__), name
