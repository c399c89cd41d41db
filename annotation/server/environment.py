"""Make the virtual environment of Argilla's server, once, in a cache folder, from versions.txt.

CACHE/argilla-3f2a9c01b7de/bin/python …, whole once its file READY is there. Its pins (click < 8.2,
pydantic 2.9) clash with Preceptor's own, so it is a virtual environment beside Preceptor's.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ...schemas.errors import AnnotationError

PROGRAM = Path(__file__).parent / "embedded"
VERSIONS = PROGRAM / "versions.txt"
READY = "READY"
EMPTY = "argilla.db"  # beside READY: an empty database of Argilla, to start a new home from
NEEDS_BYTES = 1_200_000_000
DAMAGED = 81  # exit status of embedded/up.py: packages are missing from the environment

EXACTLY = ("--no-deps", "--only-binary", ":all:")
"""pip installs the versions of versions.txt and no other package, and runs no code of a source package."""

Say = Callable[[str], object]


def make_environment(cache: Path, say: Say = lambda _: None) -> Path:
    """Make the environment under `cache` unless it is complete; return its folder.

    Of two processes, one waits for the other. Raises AnnotationError if it cannot be made: no network, no
    space, no permission.
    """
    folder = cache / f"argilla-{_digest()}"
    if _whole(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f"{folder.name}.lock"), say):
            if not _whole(folder):
                _make(folder, say)
    except OSError as error:
        raise AnnotationError(
            f"{error.filename or folder}: {error.strerror or error}: Argilla's server needs an environment "
            "there; free or allow it, or set XDG_CACHE_HOME to another folder"
        ) from error
    return folder


def find_python(environment: Path) -> Path:
    """Find the environment's Python."""
    return environment / "bin" / "python"


def spoil(environment: Path) -> None:
    """Mark the environment as damaged, so that the next start makes it anew."""
    (environment / READY).unlink(missing_ok=True)


# What a program needs of the environment to run at all; keys and tokens of the user's are not among it.
_PLAIN = (
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_",
    "LD_LIBRARY_PATH",
    "DYLD_",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
)
# What pip needs beside it to reach its package index.
_OF_PIP = (
    "PIP_",
    "SSL_CERT_",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "XDG_",
    "HTTP_",
    "HTTPS_",
    "ALL_PROXY",
    "NO_PROXY",
)


def clean_variables(given: Mapping[str, str] = os.environ, *, for_pip: bool = False) -> dict[str, str]:
    """Select the environment variables that the server gets, or the pip that installs it."""
    wanted = (*_PLAIN, *_OF_PIP) if for_pip else _PLAIN
    return {name: value for name, value in given.items() if name.upper().startswith(wanted)}


def _digest() -> str:
    """Digest of versions, Python and schema: if it changes, a new environment is made."""
    parts = [VERSIONS.read_text(), sys.version, sys.base_prefix, sys.platform]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _whole(folder: Path) -> bool:
    return (folder / READY).exists() and find_python(folder).exists() and (folder / EMPTY).exists()


@contextlib.contextmanager
def _alone(path: Path, say: Say) -> Iterator[None]:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is making the environment of Argilla's server; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, say: Say) -> None:
    if folder.exists():
        say(f"{folder}: half made or damaged; making it anew")
        shutil.rmtree(folder)
    free = shutil.disk_usage(folder.parent).free
    if free < NEEDS_BYTES:
        raise AnnotationError(
            f"{folder.parent}: {free / 1e9:.1f} GB free; the environment of Argilla's server takes "
            f"{NEEDS_BYTES / 1e9:.1f} GB while it is made; free some, or set XDG_CACHE_HOME to another folder"
        )
    start = time.monotonic()
    say(
        f"making the environment of Argilla's server in {folder} (once; about 150 MB to download, 0.6 GB on "
        "disk, one to five minutes)"
    )
    log = folder.with_name(f"{folder.name}.log")
    with log.open("wb") as stream:
        for step, command in _commands(folder):
            done = subprocess.run(  # noqa: S603
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                check=False,
                env=clean_variables(for_pip=True),
            )
            if done.returncode:
                words = read_last_lines(log)
                raise AnnotationError(
                    f"cannot {step} in {folder}:\n{words}\n(all of it: {log}) Mend what it says "
                    "(pip must reach its package index), then start again; or point --api-url of the other "
                    "annotate commands at an Argilla that runs elsewhere"
                )
    (folder / READY).write_text(f"made in {time.monotonic() - start:.0f} s\n")
    say(f"made in {time.monotonic() - start:.0f} s")


def _commands(folder: Path) -> list[tuple[str, list[str]]]:
    """Steps of making the environment: description and command of each."""
    python = str(find_python(folder))
    pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    return [
        ("make a virtual environment", [sys.executable, "-m", "venv", str(folder)]),
        ("install what the server needs", [*pip, *EXACTLY, "--requirement", str(VERSIONS)]),
        ("make an empty database", [python, "-P", str(PROGRAM), "--home", str(folder), "--empty"]),
    ]


def read_last_lines(log: Path, count: int = 8) -> str:
    """Read the last lines of a log that are not empty, each indented."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"  ({log}: {error.strerror})"
    told = [line.rstrip() for line in lines if line.strip()]
    return "\n".join(f"  {line[:300]}" for line in told[-count:]) or "  (nothing was logged)"
