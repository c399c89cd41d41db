"""Read the prompts that a refinement is tried on, with answers if there are any, from JSON Lines.

{"prompt": "How do I add fractions?", "completion": "Find a common denominator first."}

`prompt` may be a list of messages. `completion` (or `without`) is an answer written without knowing the
dimensions, `with` one written for them; the model writes missing answers.
"""

from dataclasses import dataclass
from pathlib import Path

from ...schemas.errors import AnnotationError
from ...schemas.support.json_text.values import parse_json
from ...schemas.support.nearest import suggest
from ..forms.forms import join_turns


@dataclass(frozen=True)
class Output:
    """A prompt and its existing answers."""

    prompt: str
    plain: str | None
    informed: str | None


def read_outputs(path: Path, n: int) -> list[Output]:
    """Read the first `n` lines of a file.

    Raises AnnotationError, which names the file, the line and what is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise AnnotationError(
            f"{path}: {error.strerror}; name a file of prompts, one JSON object a line"
        ) from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not UTF-8; save it as UTF-8") from error
    found = [_output(line, f"{path}:{at}") for at, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise AnnotationError(
            f'{path}: no prompts; expected lines such as {{"prompt": "…", "completion": "…"}}'
        )
    return found[:n]


def _output(line: str, where: str) -> Output:
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise AnnotationError(f"{where}: not JSON: {error}; expected one object a line") from error
    if not isinstance(entry, dict):
        raise AnnotationError(f'{where}: expected an object such as {{"prompt": "…", "completion": "…"}}')
    if "prompt" not in entry:
        raise AnnotationError(f"{where}: no 'prompt': {suggest('prompt', [*entry], 'it has')}")
    plain = _answer(entry, "completion", where) or _answer(entry, "without", where)
    return Output(_prompt(entry["prompt"], where), plain, _answer(entry, "with", where))


def _prompt(prompt: object, where: str) -> str:
    try:
        text = join_turns(prompt) if isinstance(prompt, list) else prompt
    except (KeyError, TypeError, IndexError):
        text = None
    if not isinstance(text, str) or not text.strip():
        raise AnnotationError(f"{where}: 'prompt' must be text or a list of messages with role and content")
    return text


def _answer(entry: dict[str, object], name: str, where: str) -> str | None:
    value = entry.get(name)
    if value is not None and not isinstance(value, str):
        raise AnnotationError(f"{where}: '{name}' must be text")
    return value or None
