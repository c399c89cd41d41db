"""Word requests by templates: Jinja files in a sandbox, never code.

    --- system ---
    You write mnemonics.
    --- user ---
    A mnemonic for this word, in {{ language }}: {{ prompt }}

Lines such as these make a conversation; `--- messages ---` is replaced by the prompt's own turns. A
template without any such line is one user message. Texts of learners are values of variables, which are never
parsed as template or searched for such lines.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ...schemas.errors import AnnotationError, EndlessTemplateError
from ...schemas.support.chat_template import run_bounded
from ...schemas.support.nearest import suggest
from .requests import Message

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".jinja"
ROLES = ("system", "user", "assistant")
DIALOGUE = "messages"  # the variable, and the line that its turns replace
_LINE = re.compile(r"^---[ \t]*(\w+)[ \t]*---[ \t]*\r?$", re.M)
_UNKNOWN = re.compile(r"'([^']+)' is undefined$")


@dataclass(frozen=True)
class Template:
    """A template's text, origin and digest; `whole`: true if it makes a conversation."""

    name: str
    text: str = field(repr=False)
    digest: str
    whole: bool


def list_templates() -> list[str]:
    """List the templates that come with Preceptor."""
    return sorted(path.name.removesuffix(SUFFIX) for path in TEMPLATES.glob(f"*{SUFFIX}"))


def read_template(name_or_path: str | Path) -> Template:
    """Read a template by its file, or by the name of one that comes with Preceptor.

    Raises AnnotationError, with the line, if it is missing or invalid.
    """
    path = Path(name_or_path)
    if not path.is_file() and str(name_or_path) in list_templates():
        path = TEMPLATES / f"{name_or_path}{SUFFIX}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = suggest(str(name_or_path), list_templates(), "there are")
        raise AnnotationError(
            f"{path}: {error.strerror}; name a Jinja file, or a template: {hint}"
        ) from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not UTF-8; save it as UTF-8") from error
    return parse_template(text, str(name_or_path))


def parse_template(text: str, name: str = "template") -> Template:
    """Parse a template and check it without values; raises AnnotationError with the line."""
    for line in _LINE.finditer(text):
        if line[1] not in (*ROLES, DIALOGUE):
            at = text.count("\n", 0, line.start()) + 1
            raise AnnotationError(
                f"{name}:{at}: '--- {line[1]} ---': {suggest(line[1], (*ROLES, DIALOGUE), 'a message is of')}"
            )
    made = Template(name, text, hashlib.sha256(text.encode()).hexdigest()[:20], bool(_LINE.search(text)))
    try:
        _sandbox().from_string(text)
    except TemplateSyntaxError as error:
        raise AnnotationError(f"{name}:{error.lineno}: {error.message}") from error
    return made


def render(template: Template, **variables: Any) -> tuple[Message, ...]:
    """Render a template to messages; blank ones are left out.

    Raises AnnotationError for an unknown variable, with the nearest known one, and if the last message is not
    the user's.
    """
    between = secrets.token_hex(16)  # random, so that no text can contain it and begin a message
    marked = _LINE.sub(lambda line: f"{between}{line[1]} ", template.text)
    try:
        text = run_bounded(lambda: _sandbox().from_string(marked).render(variables))
    except EndlessTemplateError as error:
        raise AnnotationError(f"{template.name}: {error}") from error
    except UndefinedError as error:
        raise AnnotationError(f"{template.name}: {_undefined(error, [*variables])}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise AnnotationError(f"{template.name}: {type(error).__name__}: {error}") from error
    first, *parts = text.split(between)
    if not template.whole:
        parts = [f"user {text}"]
    elif first.strip():
        raise AnnotationError(f"{template.name}: text before the first '--- … ---' line belongs to nobody")
    messages = tuple(message for part in parts for message in _messages(template, part, variables))
    if not messages or messages[-1]["role"] != "user":
        last = f"the {messages[-1]['role']}'s" if messages else "none"
        raise AnnotationError(f"{template.name}: the last message must be the user's, and it is {last}")
    return messages


def _messages(template: Template, part: str, variables: dict[str, Any]) -> list[Message]:
    """The message of a part, the prompt's turns, or none if it is blank."""
    role, _, content = part.partition(" ")
    if role != DIALOGUE:
        return [{"role": role, "content": content.strip("\r\n")}] if content.strip() else []
    if content.strip():
        raise AnnotationError(f"{template.name}: text below '--- {DIALOGUE} ---' belongs to nobody")
    if DIALOGUE not in variables:
        raise AnnotationError(f"{template.name}: there are no {DIALOGUE} here; known: {', '.join(variables)}")
    return list(variables[DIALOGUE])


def _undefined(error: UndefinedError, known: list[str]) -> str:
    found = _UNKNOWN.search(error.message or "")
    listed = f"known: {', '.join(known)}"
    hint = suggest(found[1], known, "known") if found else listed
    return f"{error.message}; {hint}{'' if hint == listed else f' ({listed})'}"


def _sandbox() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        autoescape=select_autoescape(default_for_string=False),  # these are no HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
