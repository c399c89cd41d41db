"""What Ollama is told of a GGUF: its chat template in Go's language, its system prompt, where it stops.

    FROM ./gec.gguf
    TEMPLATE \"\"\"{{ range .Messages }}{{ if eq .Role "user" }}<|im_start|>user
    {{ .Content }}<|im_end|>
    ...
    SYSTEM \"\"\"You are a helpful AI assistant named SmolLM, trained by Hugging Face\"\"\"
    PARAMETER stop "<|im_end|>"

Ollama does not run the Jinja template that a GGUF holds: it compares it with some twenty that it knows, and
sends the bare prompt where none is within a hundred edits (its template/template.go, `Named`). So the
template is written here, from what the Jinja template renders; and only if it renders the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

Messages = list[dict[str, str]]
Render = Callable[[Messages, bool], str]
_USER, _TUTOR, _SYSTEM, _MORE = "Q1question", "A1answer", "S1system", "Q2question"


@dataclass(frozen=True)
class Pieces:
    """A chat template as texts around messages: start, [before system, after], user, answer."""

    start: str
    system: tuple[str, str] | None
    """Around the system prompt, which stands first; None where a template takes none."""
    always: bool
    """Whether the system's frame is written even without a system prompt."""
    default: str
    """The system prompt of conversations that bring none."""
    user: tuple[str, str]
    """Before a question, and after it up to the answer."""
    answered: str
    """After an answer."""


def modelfile(file: str, pieces: Pieces | None, system: str | None, stops: Sequence[str]) -> str:
    """The Modelfile of the GGUF `file`, which lies beside it; without TEMPLATE where `pieces` is None.

    ValueError for texts that a Modelfile cannot hold.
    """
    lines = [f"FROM ./{file}"]
    if pieces:
        lines.append(f'TEMPLATE """{go_template(pieces)}"""')
    said = system if system is not None else pieces.default if pieces else ""
    if said:
        if '"""' in said:
            raise ValueError('a system prompt with """ cannot be written into a Modelfile')
        lines.append(f'SYSTEM """{said}"""')
    lines += ["PARAMETER stop " + _quoted(stop) for stop in stops]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if '"' in text or "\n" in text:
        raise ValueError(f"the end token {text!r} cannot be written into a Modelfile")
    return f'"{text}"'


def go_template(pieces: Pieces) -> str:
    """The pieces in the language of Ollama's TEMPLATE."""
    frame = ""
    if pieces.system:
        frame = pieces.system[0] + "{{ .System }}" + pieces.system[1]
        frame = frame if pieces.always else "{{ if .System }}" + frame + "{{ end }}"
    before, after = pieces.user
    asked = '{{ if eq .Role "user" }}' + before + "{{ .Content }}" + after
    answered = '{{ else if eq .Role "assistant" }}{{ .Content }}' + pieces.answered
    return f"{pieces.start}{frame}{{{{ range .Messages }}}}{asked}{answered}{{{{ end }}}}{{{{ end }}}}"


def find_pieces(render: Render) -> Pieces | None:
    """The pieces that render conversations as `render` does; None for a template that is not so simple."""
    try:
        found = _cut(render)
        same = found and all(_joined(found, talk) == render(talk, True) for talk in _talks(found))
    except Exception:  # templates raise for roles that they do not take, by errors of several kinds
        return None
    texts = [found.start, *(found.system or ()), *found.user, found.answered] if found else []
    plain = not any(sign in text for text in texts for sign in ("{{", "}}", '"""'))
    return found if same and plain else None


def _cut(render: Render) -> Pieces | None:
    asked, answer = _message("user", _USER), _message("assistant", _TUTOR)
    left, after = render([asked], True).split(_USER)
    answered = render([asked, answer], False).partition(_TUTOR)[2]
    between = render([asked, answer, _message("user", _MORE)], True).partition(_TUTOR)[2].partition(_MORE)[0]
    before = between.removeprefix(answered)
    if not between.startswith(answered) or not left.endswith(before):
        return None
    start = left[: len(left) - len(before)]
    try:
        opening, _, rest = render([_message("system", _SYSTEM), asked], True).partition(_SYSTEM)
    except Exception:  # it says that it takes no system prompt
        return Pieces(start, None, False, "", (before, after), answered)
    closing = rest.partition(_USER)[0]
    if not closing.endswith(before):
        return None
    framed = _framed(start, opening, closing[: len(closing) - len(before)])
    return replace(framed, user=(before, after), answered=answered) if framed else None


def _framed(start: str, opening: str, closing: str) -> Pieces | None:
    """What stands before the first question, of the start without and the texts around a system prompt."""
    room = len(start) - len(opening) - len(closing)
    if room >= 0 and opening + closing and start.startswith(opening) and start.endswith(closing):
        return Pieces("", (opening, closing), True, start[len(opening) :][:room], ("", ""), "")
    if not opening.startswith(start):
        return None
    return Pieces(start, (opening.removeprefix(start), closing), False, "", ("", ""), "")


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _talks(pieces: Pieces) -> Iterator[Messages]:
    """Conversations of one to three questions, with and without a system prompt."""
    turns = [
        _message("user", "What is 3 x 4?"),
        _message("assistant", "12.\nWhy?"),
        _message("user", "Why?"),
        _message("assistant", "Yes."),
        _message("user", "And?"),
    ]
    for length in (1, 3, 5):
        yield turns[:length]
        if pieces.system:
            yield [_message("system", "Teach in\nfew words."), *turns[:length]]


def _joined(pieces: Pieces, talk: Messages) -> str:
    """What Ollama makes of a conversation by `go_template`."""
    system = "\n\n".join(m["content"] for m in talk if m["role"] == "system") or pieces.default
    text = pieces.start
    if pieces.system and (system or pieces.always):
        text += pieces.system[0] + system + pieces.system[1]
    for message in talk:
        if message["role"] == "user":
            text += pieces.user[0] + message["content"] + pieces.user[1]
        elif message["role"] == "assistant":
            text += message["content"] + pieces.answered
    return text
