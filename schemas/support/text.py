"""Texts as tables and figures show them."""

import json
import re
from typing import Any

SURE = 0.9  # findings with a higher probability are reported

# Control characters: line breaks, the bell, terminal colours, changes of writing direction.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


def clean(text: str, length: int) -> str:
    """Shorten a text to one line of at most `length` characters, cut between words, without control
    characters.
    """
    line = " ".join(_UNSEEN.sub(" ", text).split())
    if len(line) <= length:
        return line
    head, _, _ = line[:length].rpartition(" ")
    return (head if len(head) > length // 2 else line[: length - 1]).rstrip(" ,;:.") + "…"


# Characters that a terminal obeys instead of showing them, and those that turn the direction of writing.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def escape_controls(text: str, keep: str = "\n\t") -> str:
    """Escape control characters (ESC as backslash, x1b), so that a screen shows them and obeys none.

    Those in `keep` stay. Every text of others that reaches the screen goes through here.
    """
    return _OBEYED.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


_MARKDOWN = re.compile(r"([\\`*<>|#&]|\](?=[(\[:])|^\[|(?<!\w)_|_(?!\w)|^[-+~=](?=\W|$))")


def escape_markdown(text: str, length: int = 2000) -> str:
    """Escape a text for a line or cell of Markdown: it is shown, and is no table, link, image or HTML."""
    return _MARKDOWN.sub(r"\\\1", clean(text, length))


def dump_json(value: Any) -> str:
    """Write a value as JSON for the screen: the same value, with control characters escaped."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return _OBEYED.sub(lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def show_sql(text: str, name: str) -> str:
    """Write a SQL expression for a text, or for its name if the text is not published."""
    return f"if({text} = '', coalesce({name}, '?') || ' (text not published)', {text})"
