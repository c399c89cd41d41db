"""Read the message in the body of a chat completion, and whether it ended by itself.

{"choices": [{"message": {"content": "<think>A or B?</think>{…}"}, "finish_reason": "stop"}]}
    -> content "{…}", said {"finish": "stop", "reasoning": "A or B?"}
{"choices": [{"message": {"content": "Try the fo"}, "finish_reason": "content_filter"}]}
    -> content "Try the fo", unfinished "content_filter", fault "the server's content filter ended it"
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ....schemas.support.json_text.values import parse_json
from .endings import CUT, ERROR, REFUSAL

CURABLE = {408, 409, 425, 429}
"""Codes of failures that pass, besides all from 500."""
_TEXT_PARTS = {"text", "output_text"}
_REASONING_PARTS = {"thinking", "reasoning", "reasoning_content"}


@dataclass(frozen=True)
class ChatCompletion:
    """A chat completion: content if any, token counts of the server, and its description of itself.

    `text` is the whole body. `fault` says why there is no content, or why it is not the model's answer.
    """

    text: str
    content: str | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens: int = 0
    said: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None
    busy: bool = False
    """True if the fault is an error that a pause may cure, such as a rate limit."""

    @property
    def billed_tokens(self) -> int | None:
        """Tokens received, with those that only the total counts, such as hidden reasoning."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return max(self.completion_tokens, self.tokens - self.prompt_tokens)


def read_message(text: str, hide: Callable[[str], str] = lambda text: text) -> ChatCompletion:
    """Read the message in a body; its content is None if the body has none.

    `hide` removes secrets from each text of it.
    """
    try:
        body = parse_json(text, finite=False)
    except (ValueError, RecursionError):
        streamed = text.lstrip().startswith("data:")
        start = hide(_shorten(text))
        more = _STREAMED if streamed else f", but: {start}" if start else ""
        return ChatCompletion(text, None, fault=_NO_MESSAGE + more)
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content, reasoning = _read_content(message["content"])
        usage = body.get("usage") or {}
        sent, received = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        total = _count(usage.get("total_tokens")) or (sent or 0) + (received or 0)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        said_so = _read_error(body) or (str(error) if isinstance(error, _PartError) else _NO_MESSAGE)
        return ChatCompletion(text, None, fault=hide(said_so), busy=_is_busy(body))
    said = {
        "model": body.get("model"),
        "fingerprint": body.get("system_fingerprint"),
        "finish": choice.get("finish_reason"),
        "reasoning": reasoning or message.get("reasoning_content") or message.get("reasoning"),
    }
    known = {name: hide(value) for name, value in said.items() if isinstance(value, str) and value}
    fault = _read_error(body) or _read_error(choice)
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        content, fault = content or refusal, f"the model refused: {' '.join(refusal.split())[:300]}"
        known["unfinished"] = REFUSAL
    elif fault:
        known["unfinished"] = ERROR
    elif content is None and known.get("finish") in CUT:
        content = ""  # all of it was reasoning
    if content is None:
        fault = fault or _NO_MESSAGE
    text_of = content if content is None else hide(content)
    busy = _is_busy(body) or _is_busy(choice)
    return ChatCompletion(text, text_of, sent, received, total, known, fault and hide(fault), busy)


_NO_MESSAGE = "no message in the answer"
_STREAMED = ": the server streams its answers; set it to send each as a whole"


def _shorten(text: str) -> str:
    """The start of a body that is no JSON, such as a proxy's page, as one line."""
    return " ".join(text[:1000].split())[:200]


class _PartError(ValueError):
    """A part of a message that is neither text nor reasoning."""


def _read_content(content: object) -> tuple[str | None, str]:
    """Read a message's content: its text, None if there is none, and reasoning given as parts of it."""
    if content is None or isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise _PartError(_NO_MESSAGE)
    texts, reasoning = [], []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        if kind in _TEXT_PARTS:
            texts.append(part if isinstance(part, str) else part["text"])
        elif kind in _REASONING_PARTS:
            inner = part.get("thinking", part.get("text", part.get(kind)))
            reasoning.append(_read_content(inner)[0] or "")
        elif kind == "refusal":
            raise _PartError(f"the model refused: {str(part.get('refusal'))[:300]}")
        else:
            raise _PartError(f"{_NO_MESSAGE}: a part of it is of type {str(kind)[:40]}, not text")
    return ("".join(texts) if texts else None), "\n".join(reasoning)


def _read_error(body: object) -> str | None:
    """Read the server's words in an error that came with status 200; None if there is no error."""
    error = body.get("error") if isinstance(body, dict) else None
    if not error:
        return None
    message = error.get("message", error) if isinstance(error, dict) else error
    code = f" {error['code']}" if isinstance(error, dict) and error.get("code") else ""
    said = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    return f"the server answered with error{code}: {' '.join(said.split())[:300]}"


def _is_busy(body: object) -> bool:
    """True if a body's error has the code of a passing failure."""
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return isinstance(code, int) and (code in CURABLE or code >= 500)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(min(value, 1e15)) if value >= 0 else None
