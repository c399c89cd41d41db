"""Read and write the accounts of a home's server: accounts.json, readable by its owner alone.

{"url": "http://127.0.0.1:6900", "workspace": "preceptor",
 "accounts": {"owner": {"role": "owner", "password": "k7mf-…", "api_key": "…"}, "ada": {…}}}
"""

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...schemas.errors import AnnotationError
from ...schemas.support.files import write_text
from ...schemas.support.json_text.values import parse_json

HOME = Path("annotation-home")
FILE = "accounts.json"
OWNER = "owner"
WORKSPACE = "preceptor"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # no two look alike on paper


@dataclass(frozen=True)
class Account:
    """A user who can log in: role `owner` or `annotator`."""

    role: str
    password: str = field(repr=False)
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class Accounts:
    """All accounts of a home by name, its server's address, and their workspace."""

    url: str
    workspace: str
    accounts: dict[str, Account]


def read_accounts(home: Path) -> Accounts:
    """Read the accounts of a home; AnnotationError if it has none or they cannot be read."""
    path = home / FILE
    try:
        found = parse_json(path.read_text())
        accounts = {name: Account(**account) for name, account in found["accounts"].items()}
        return Accounts(found["url"], found["workspace"], accounts)
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: no such file; 'preceptor annotate serve' makes one") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AnnotationError(
            f"{path}: not accounts as 'preceptor annotate serve' writes them ({error}); bring it back from a "
            "copy, or move it away: the next start then gives everybody a new password"
        ) from error


def check_annotator_names(names: Iterable[str]) -> list[str]:
    """Return the names, each once; AnnotationError if one cannot be an annotator's."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name == OWNER:
            raise AnnotationError(f"annotator {name!r}: is the owner's name; choose another")
        if not NAME.fullmatch(name):
            raise AnnotationError(
                f"annotator {name!r}: cannot be a name; use letters, digits and . _ @ + - (64 at most)"
            )
    return wanted


def settle_accounts(home: Path, url: str, annotators: Iterable[str]) -> Accounts:
    """Give the owner and each annotator an account in accounts.json; existing ones are kept."""
    names = check_annotator_names(annotators)
    path = home / FILE
    kept = read_accounts(home) if path.exists() else Accounts(url, WORKSPACE, {})
    accounts = dict(kept.accounts)
    for name in (OWNER, *names):
        if name not in accounts:
            role = OWNER if name == OWNER else "annotator"
            accounts[name] = Account(role, _password(), secrets.token_urlsafe(48))
    settled = Accounts(url, kept.workspace, accounts)
    if settled != kept:
        write_text(path, json.dumps(asdict(settled), indent=1) + "\n", mode=0o600)
    return settled


def _password() -> str:
    """Make a random password, easy to read out and to type: four groups of four, 79 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))
