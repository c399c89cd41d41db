"""What a long part has found so far, kept in the user's cache: a part that was stopped goes on."""

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from preceptor.schemas.support.files import find_user_cache, open_whole_file
from preceptor.toolkit import fusion
from preceptor.toolkit.cli.options import open_stderr

from .. import fusion as own

T = TypeVar("T")


def each(what: str, seeds: Iterable[int], find: Callable[[int], T], keep: bool = True) -> Iterator[T]:
    """`find` of every seed, or what it found before with the same code.

    `what` says all that the finding depends on beside the seed and the code of fusion and of this bench.
    """
    key = hashlib.sha256(f"{code_digest()} {what}".encode()).hexdigest()[:16]
    folder = find_user_cache() / "bench" / key
    if keep:
        folder.mkdir(parents=True, exist_ok=True)
    for count, seed in enumerate(seeds, 1):
        path = folder / f"{seed}.pickle"
        if keep and path.exists():
            yield pickle.loads(path.read_bytes())
            continue
        found = find(seed)
        if keep:
            with open_whole_file(path) as stream:
                pickle.dump(found, stream)
        yield found
        if count % 10 == 0:
            open_stderr().print(f"{count} found")


def code_digest() -> str:
    """sha256 of the sources that decide what is found."""
    folders = [Path(module.__path__[0]) for module in (fusion, own)]
    sources = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
