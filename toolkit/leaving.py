"""What must not leave this machine in a text file: its paths, and secrets.

preceptor.json  "deepspeed": "/home/me/zero3.json"   -> a path of this machine: /home/me/zero3.json
README.md       HF_TOKEN=hf_abcdef…                  -> a token of Hugging Face (it is not shown)
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEXT = (".json", ".jinja", ".txt", ".md", ".svg", ".Modelfile")
_VOCABULARIES = {
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
}  # hold all kinds of pieces
_SECRETS = {
    "a token of Hugging Face": r"\bhf_[A-Za-z0-9]{30,}",
    "a key of an API": r"\bsk-[A-Za-z0-9_-]{20,}",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "a key of AWS": r"\bAKIA[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
# From the root, the home folder or a drive, two parts at least; not the end of an address or relative path.
_PATH = re.compile(
    r"(?<![\w./~>)\]}-])"
    r"(?:(?:file://)?~?/[\w.+@-]+(?:/[\w.+@-]+)+|[A-Za-z]:[\\/][\w.+@-]+(?:[\\/][\w.+@ -]+)+)"
)
_HARMLESS = re.compile(r"/(?:dev/null|usr/bin/env)\b")


def find_private(path: Path) -> Iterator[str]:
    """What a file holds of this machine, one line each; nothing for files that are no text."""
    if path.suffix not in TEXT and not path.name.startswith(("LICENSE", "NOTICE")):
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        text = _strings(text)
    for what, pattern in _SECRETS.items():
        if re.search(pattern, text):
            yield what
    if path.name in _VOCABULARIES:
        return
    home = str(Path.home())
    found = [match[0] for match in _PATH.finditer(text) if not _HARMLESS.match(match[0])]
    found += [home] if len(home) > 1 and re.search(re.escape(home) + r"(?!\w)", text) else []
    for one in sorted(set(found))[:3]:
        yield f"a path of this machine: {one[:80]}"


def placeless(value: Any) -> Any:
    """A JSON value whose paths of this machine are cut to their last part: "/home/me/dist/gec" -> "gec"."""
    if isinstance(value, str):
        return _PATH.sub(lambda match: re.split(r"[\\/]", match[0])[-1], value)
    if isinstance(value, list):
        return [placeless(one) for one in value]
    if isinstance(value, dict):
        return {name: placeless(one) for name, one in value.items()}
    return value


def _strings(text: str) -> str:
    """Names and strings of a JSON text as they are meant, without its escapes; the text if it is no JSON."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list | dict):
            for one in value:
                walk(one)
            if isinstance(value, dict):
                walk(list(value.values()))

    try:
        walk(json.loads(text))
    except ValueError:
        return text
    return "\n".join(found)
