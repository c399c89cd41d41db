"""Paths of this machine and secrets in text files, which must not leave it.

preceptor.json  "deepspeed": "/home/me/zero3.json"   -> a path of this machine: /home/me/zero3.json
README.md       HF_TOKEN=hf_abcdef…                  -> a token of Hugging Face (it is not shown)
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...schemas.support.json_text.values import parse_json

TEXT = (".json", ".jinja", ".txt", ".md", ".svg", ".Modelfile")
_VOCABULARIES = {
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
}  # vocabularies contain pieces that look like anything
_SECRETS = {
    "a token of Hugging Face": r"hf_[A-Za-z0-9]{30,}",
    "a key of an API": r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,}|AIza[0-9A-Za-z_-]{35}",
    "a token of GitHub": r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}",
    "a token of GitLab": r"glpat-[\w-]{20,}",
    "a token of Slack": r"xox[abeprs]-[\w-]{10,}",
    "a key of AWS": r"(?<![A-Z0-9])AKIA[0-9A-Z]{16}(?![A-Z0-9])",
    "a signed token": r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"://[^\s/:@{}<>$]+:[^\s/@{}<>$]+@",
    # Of services whose keys look like anything: WANDB_API_KEY: 0f3a…
    "a key or password": r"(?i)(?:api_?key|access_?key|secret|passw(?:or)?d|(?:auth|hub|access)_?token)\w*"
    r"[\"']?[ \t]*[:=][ \t]*[\"']?(?=[^\s\"']*\d)[\w+/=.-]{16,}",
}
_PART = r"[\w.+@-]+"
_ROOTS = (
    "home|Users|root|mnt|media|Volumes|private|srv|scratch|gpfs|lustre|nfs|data|work|workspace|opt|tmp"
    "|var|usr|etc"
)
# From the root, a home folder or a drive, two parts at least; not the end of an address or relative path. In
# the middle of a text, as after a bracket or 在, only below the usual roots.
_PATH = re.compile(
    rf"(?<![\w./~)\]}}-])(?:(?:file://)?(?:~[\w.-]*)?/{_PART}(?:/{_PART})+"
    rf"|[A-Za-z]:[\\/]+{_PART}(?:[\\/]+[\w.+@ -]+)+)"
    rf"|(?<![A-Za-z0-9_./~])/(?:{_ROOTS})/{_PART}(?:/{_PART})*"
)
_HARMLESS = re.compile(r"/(?:dev/null|usr/bin/env|mnt/data)")  # the last is in the template of gpt-oss


def find_private(path: Path) -> Iterator[str]:
    """Find paths of this machine and secrets in a file, one line each; none in files that are not text."""
    if path.suffix not in TEXT and not path.name.startswith(("LICENSE", "NOTICE")):
        return
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")  # which UTF-16 is full of
    if path.suffix == ".json":
        text = _strings(text)
    for what, pattern in _SECRETS.items():
        if re.search(pattern, text):
            yield what
    if path.name in _VOCABULARIES:
        return
    home = str(Path.home())
    found = [match[0] for match in _PATH.finditer(text) if not _HARMLESS.fullmatch(match[0])]
    found += [home] if len(home) > 1 and re.search(re.escape(home) + r"(?!\w)", text) else []
    for one in sorted(set(found))[:3]:
        yield f"a path of this machine: {one[:80]}"


def cut_paths(value: Any) -> Any:
    """Cut the paths of this machine in a JSON value to their last part: "/home/me/dist/gec" -> "gec"."""
    if isinstance(value, str):
        return _PATH.sub(lambda match: re.split(r"[\\/]", match[0])[-1], value)
    if isinstance(value, list):
        return [cut_paths(one) for one in value]
    if isinstance(value, dict):
        return {name: cut_paths(one) for name, one in value.items()}
    return value


def _strings(text: str) -> str:
    """Names and strings of a JSON text as they are meant, without its escapes; the text if it is no JSON."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, tuple):  # a name and its value
            name, of = value
            found.append(f"{name}: {of}" if isinstance(of, str) else name)
            walk([] if isinstance(of, str) else of)

    try:
        walk(parse_json(text, finite=False, pairs=list))  # keeps both values of a repeated name
    except ValueError:
        return text
    return "\n".join(found)
