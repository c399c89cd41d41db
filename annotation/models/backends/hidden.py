"""Hide secrets in texts that are shown or kept: API keys, and passwords in addresses.

hide("401: sk-a%2Fb is no key", find_spellings(["sk-a/b"]))    # "401: [hidden] is no key"
"""

import base64
import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "[hidden]"
_SHORTEST = 4  # shorter ones are no secrets, and would be found in any text
_SHORTEST_PIECE = 8  # of base64: shorter pieces occur by chance
_PLACEHOLDERS = {"empty", "none", "null", "dummy", "ollama", "lm-studio", "no-key", "sk-no-key-required"}


def find_spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Find the spellings of secrets in messages of a program or a server, longest first.

    As they are, in repr and JSON, percent-encoded, as HTML, and in base64 (also within a longer text, such as
    user:password). Usual placeholders (EMPTY, none, ollama) and texts below four characters are no secrets.
    """
    found: set[str] = set()
    for secret in secrets:
        if len(secret) < _SHORTEST or secret.casefold() in _PLACEHOLDERS:
            continue
        found.update(_spell(secret))
    return tuple(sorted((text for text in found if text), key=lambda text: (-len(text), text)))


def hide(text: str, spellings: Iterable[str]) -> str:
    """Replace each of these spellings in a text, longest first."""
    for spelling in spellings:
        text = text.replace(spelling, HIDDEN)
    return text


def find_passwords(address: str) -> list[str]:
    """Find the secrets within an address: its password, and user:password, as written and decoded."""
    before = address.rpartition("@")[0]
    userinfo = before.partition("//")[2] if "//" in before else before
    user, _, password = userinfo.partition(":")
    given = [password, f"{user}:{password}"] if password else [user]
    return [text for one in given for text in dict.fromkeys((one, unquote(one))) if text]


def _spell(secret: str) -> set[str]:
    data = secret.encode(errors="surrogateescape")
    plain = {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
    plain |= {text.replace("/", "\\/") for text in plain}
    plain |= {secret.replace("'", "\\'"), html.escape(secret), html.escape(secret, quote=False)}
    plain |= {repr(data)[2:-1], secret.encode("unicode_escape", "surrogatepass").decode("ascii")}
    for safe in ("", "/", "/~", "~"):
        for text in (quote(data, safe), quote_plus(data, safe)):
            plain |= {text, re.sub("%..", lambda code: code[0].lower(), text)}
    return plain | _encode(data)


def _encode(data: bytes) -> set[str]:
    """Encode in base64: alone, and those characters that are the same whatever stands around it."""
    whole = base64.b64encode(data).decode()
    found = {whole, whole.rstrip("=")}
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        found.add(text[first:last])
    found |= {text.translate(_URL_SAFE) for text in found}
    return {text for text in found if len(text) >= _SHORTEST_PIECE or text == whole}


_URL_SAFE = str.maketrans("+/", "-_")
