"""What of a text reaches the screen: no control characters, and no passwords and keys of this command.

clean_text("401 from http://me:secret@host/v1")  ->  "401 from http://[hidden]@host/v1"
"""

import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache

from ...annotation.models.backends.hidden import find_passwords, find_spellings, hide
from ...schemas.support.text import escape_controls

_ADDRESSES = re.compile(r"(_PROXY|_ENDPOINT|_URL|_INDEX)$", re.IGNORECASE)
_KEYS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "OPENAI_API_KEY",
    "PRECEPTOR_API_KEY",
    "PRECEPTOR_ARGILLA_API_KEY",
)
_SHORT = 8  # a shorter password is hidden within its address alone: it may be a word of any text
_HIDDEN = "[hidden]"


def clean_text(text: str, keep: str = "\n\t") -> str:
    """Hide passwords of addresses and keys that this command was given, and escape control characters."""
    return escape_controls(hide_given(text), keep)


def hide_given(text: str) -> str:
    """Hide passwords and keys that the environment or the command line gave."""
    if "@" not in text and len(text) < _SHORT:
        return text
    within, spellings = _spell(tuple(_list_addresses()), tuple(_list_keys()))
    for userinfo in within:
        text = text.replace(f"{userinfo}@", f"{_HIDDEN}@")
    return hide(text, spellings)


def _list_addresses() -> Iterator[str]:
    """List the addresses with a user or password in the environment and on the command line."""
    for name, value in os.environ.items():
        if "@" in value and _ADDRESSES.search(name):
            yield from value.split()
    for argument in sys.argv[1:]:
        if "@" in argument and "//" in argument:
            yield argument


def _list_keys() -> Iterator[str]:
    for name in _KEYS:
        if value := os.environ.get(name, "").strip():
            yield value
    for option, value in zip(sys.argv, sys.argv[1:], strict=False):
        if option == "--api-key":
            yield value
    yield from (word.partition("=")[2] for word in sys.argv if word.startswith("--api-key="))


@lru_cache(maxsize=16)
def _spell(addresses: tuple[str, ...], keys: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Spell what is hidden before an @, longest first, and what is hidden anywhere."""
    within: set[str] = set()
    anywhere = [key for key in keys if len(key) >= _SHORT]
    for address in addresses:
        found = find_passwords(address)
        within.update(found)
        userinfo = address.rpartition("@")[0].rpartition("//")[2]
        within.add(userinfo)
        anywhere += [text for text in found if len(text) >= _SHORT]
    return tuple(sorted(within - {""}, key=len, reverse=True)), find_spellings(anywhere)
