"""Render an Ollama Modelfile: chat template in Go's language, system prompt and stop tokens of a GGUF.

    FROM ./gec.gguf
    TEMPLATE \"\"\"{{ range .Messages }}{{ if eq .Role "user" }}<|im_start|>user
    {{ .Content }}<|im_end|>
    ...
    SYSTEM \"\"\"You are a helpful AI assistant named SmolLM, trained by Hugging Face\"\"\"
    PARAMETER stop "<|im_end|>"

Ollama does not run a GGUF's Jinja template: it compares it with some twenty that it knows, and sends the bare
prompt if none is within a hundred edits (its template/template.go, `Named`). So the Go template is derived
here from what the Jinja template renders, and only used if it renders the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

Messages = list[dict[str, str]]
Render = Callable[[Messages, bool], str]
_USER, _TUTOR, _SYSTEM, _MORE = "Q1question", "A1answer", "S1system", "Q2question"


@dataclass(frozen=True)
class TemplatePieces:
    """A chat template as texts around messages: start, [before system, after], user, answer."""

    start: str
    system: tuple[str, str] | None
    """Texts around the system prompt, which comes first; None if a template takes none."""
    always: bool
    """True if those texts are written even without a system prompt."""
    default: str
    """The system prompt of conversations without one."""
    user: tuple[str, str]
    """Before a question, and after it up to the answer."""
    answered: str
    """After an answer."""


def render_modelfile(
    file: str, pieces: TemplatePieces | None, system: str | None, stops: Sequence[str]
) -> str:
    """Render the Modelfile of the GGUF `file` in the same folder; without TEMPLATE if `pieces` is None.

    `system` replaces the template's default system prompt; `stops` are the tokens that end an answer.
    ValueError for texts that a Modelfile cannot hold.
    """
    lines = [f"FROM ./{file}"]
    if pieces:
        lines.append(f'TEMPLATE """{render_go_template(pieces)}"""')
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


def render_go_template(pieces: TemplatePieces) -> str:
    """Render the pieces in the language of Ollama's TEMPLATE."""
    frame = ""
    if pieces.system:
        frame = pieces.system[0] + "{{ .System }}" + pieces.system[1]
        frame = frame if pieces.always else "{{ if .System }}" + frame + "{{ end }}"
    before, after = pieces.user
    asked = '{{ if eq .Role "user" }}' + before + "{{ .Content }}" + after
    answered = '{{ else if eq .Role "assistant" }}{{ .Content }}' + pieces.answered
    return f"{pieces.start}{frame}{{{{ range .Messages }}}}{asked}{answered}{{{{ end }}}}{{{{ end }}}}"


def find_pieces(render: Render) -> TemplatePieces | None:
    """Find the pieces that render conversations as `render` does; None for a more complex template."""
    try:
        found = _cut(render)
        same = found and all(_joined(found, talk) == render(talk, True) for talk in _talks(found))
    except Exception:  # templates raise for roles that they do not take, by errors of several kinds
        return None
    texts = [found.start, *(found.system or ()), *found.user, found.answered] if found else []
    plain = not any(sign in text for text in texts for sign in ("{{", "}}", '"""'))
    return found if same and plain else None


def _cut(render: Render) -> TemplatePieces | None:
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
    except Exception:  # the template takes no system prompt
        return TemplatePieces(start, None, False, "", (before, after), answered)
    closing = rest.partition(_USER)[0]
    if not closing.endswith(before):
        return None
    framed = _framed(start, opening, closing[: len(closing) - len(before)])
    return replace(framed, user=(before, after), answered=answered) if framed else None


def _framed(start: str, opening: str, closing: str) -> TemplatePieces | None:
    """Split the text before the first question into the start and the texts around a system prompt."""
    room = len(start) - len(opening) - len(closing)
    if room >= 0 and opening + closing and start.startswith(opening) and start.endswith(closing):
        return TemplatePieces("", (opening, closing), True, start[len(opening) :][:room], ("", ""), "")
    if not opening.startswith(start):
        return None
    return TemplatePieces(start, (opening.removeprefix(start), closing), False, "", ("", ""), "")


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _talks(pieces: TemplatePieces) -> Iterator[Messages]:
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


def _joined(pieces: TemplatePieces, talk: Messages) -> str:
    """Render a conversation as Ollama does by `render_go_template`."""
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
