"""Find the commit of a recipe's repository, without running anything that the repository names.

A repository that a stranger hands over may name a monitor, filters, hooks and a remote of its own in
`.git/config`; `git status` would run them.
"""

import hashlib
import os
import subprocess
from pathlib import Path

_OFF = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "protocol.allow=never")
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


def find_commit(folder: Path) -> str | None:
    """Find the commit checked out in a folder, with + if its files are others than the commit's.

    None where there is no repository, or no git. Files are compared as they lie there, unfiltered.
    """
    try:
        commit = _ask_git(folder, "rev-parse", "HEAD").strip()
        committed, names = _list_committed(folder), _list_names(folder)
        same = set(committed) == names and all(
            _hash(folder / name, len(commit)) == digest for name, digest in committed.items()
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return commit + ("" if same else "+")


def _ask_git(folder: Path, *arguments: str) -> str:
    settings = [part for setting in _OFF for part in ("-c", setting)]
    return subprocess.run(  # noqa: S603
        ["git", *settings, "-C", str(folder), *arguments],  # noqa: S607
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | _ENVIRONMENT,
    ).stdout


def _list_committed(folder: Path) -> dict[str, str]:
    """List the files of the commit: path, hash of the content."""
    entries = _ask_git(folder, "ls-tree", "-r", "-z", "HEAD").split("\0")
    split = [entry.partition("\t") for entry in entries if entry]
    return {path: about.split()[2] for about, _, path in split if about.split()[1] == "blob"}


def _list_names(folder: Path) -> set[str]:
    """List the files of the folder that git does not ignore, and those that are gone."""
    names = _ask_git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return {name for name in names if name and not (folder / name).is_dir()}


def _hash(path: Path, digits: int) -> str | None:
    """Hash a file as git does; None for one that is gone."""
    if path.is_symlink():
        content = str(path.readlink()).encode()
    elif path.is_file():
        content = path.read_bytes()
    else:
        return None
    state = hashlib.sha1(usedforsecurity=False) if digits == 40 else hashlib.sha256()
    state.update(b"blob %d\0" % len(content) + content)
    return state.hexdigest()
