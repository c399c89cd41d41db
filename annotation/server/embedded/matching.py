"""Match records' texts with a query: a subset of Elasticsearch's simple_query_string, AND by default.

`cell -wall`  `"the cell" | membrane`  `photo* (leaf | root)`: words in any case; `-` not, `|` or,
quotes a phrase, `*` any ending, brackets. Operators apply from left to right, as in Elasticsearch.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

WORD = re.compile(r"\w+")
PIECE = re.compile(r'"([^"]*)"?|([()|+])|((?<!\S)-|(?<=[(|+\s-])-)|([^\s()|"]+)')

Match = Callable[[list[list[str]]], bool]  # of the words of each text of a record


def match_text(fields: str | None, field: str | None, query: str) -> int:
    """Match the JSON text `fields` (name to value), or one field of it, with `query`: 1 or 0.

    A value is text, a chat (list of role and content; roles are not searched) or, as a custom field, any
    JSON. Pictures within are left out.
    """
    found = json.loads(fields or "{}") or {}
    values = [found.get(field)] if field else list(found.values())
    texts = [_words(text) for value in values for text in _texts(value)]
    return int(_parsed(query)(texts))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not value.startswith("data:image/"):
            yield value
    elif isinstance(value, dict):
        chat = set(value) == {"role", "content"}
        for key, inner in value.items():
            if not (chat and key == "role"):
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _words(text: str) -> list[str]:
    return WORD.findall(unicodedata.normalize("NFC", text).casefold())


@lru_cache(maxsize=64)
def _parsed(query: str) -> Match:
    pieces = [match.groups() for match in PIECE.finditer(query)]
    match, _ = _any_of(pieces, 0)
    return match or (lambda _: False)


def _any_of(pieces: list[tuple[Any, ...]], at: int) -> tuple[Match | None, int]:
    """Condition of the pieces from `at` to the closing bracket (None: no condition), and its end."""
    so_far: Match | None = None
    either = negated = False
    while at < len(pieces):
        phrase, operator, minus, word = pieces[at]
        at += 1
        if operator == ")":
            break
        if operator == "|":
            either = True
            continue
        if operator == "+":
            continue
        if minus:
            negated = not negated
            continue
        if operator == "(":
            term, at = _any_of(pieces, at)
        else:
            term = _term(phrase or word or "", ending=bool(word) and word.endswith("*"))
        if term is not None:
            so_far = _joined(so_far, _not(term) if negated else term, either)
        either = negated = False
    return so_far, at


def _term(text: str, ending: bool) -> Match | None:
    wanted = _words(text)
    if not wanted:
        return None
    *first, last = wanted
    size = len(wanted)

    def holds(texts: list[list[str]]) -> bool:
        for words in texts:
            for start in range(len(words) - size + 1):
                at_end = words[start + size - 1]
                if (at_end.startswith(last) if ending else at_end == last) and (
                    words[start : start + size - 1] == first
                ):
                    return True
        return False

    return holds


def _not(term: Match) -> Match:
    return lambda texts: not term(texts)


def _joined(left: Match | None, right: Match, either: bool) -> Match:
    if left is None:
        return right
    if either:
        return lambda texts: left(texts) or right(texts)
    return lambda texts: left(texts) and right(texts)
