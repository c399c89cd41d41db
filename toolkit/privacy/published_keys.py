"""Keys in published datasets: keyed hashes, other ones in each dataset.

    completion 5f0c… in the dataset gec       -> 91ab…, in every version of it
    completion 5f0c… in the dataset feedback  -> 07e2…
    the learner 5f0c2ab1d94e77a3 in gec       -> c41d…

So two datasets of one store cannot be joined, neither by their rows nor by people: only who has the key file
of the pseudonyms can compute one from the other. What is hashed is the mark of a key, not the key, since the
store keeps the marks of what was forgotten: it is still recognised in a dataset of any name.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any

import polars as pl

from ...schemas.errors import StoreError
from ...schemas.keys import LENGTH
from ..store.connection import Store, query, run
from .pseudonyms import find_key_file, read_key, take_key, write_mark_sql

KEYS = "keys"
"""Entry of a manifest by which the key of its keys is recognised; a dataset without one has the store's."""
KEYED = ("key", "group", "prompt", "completion", "other", "chosen_completion", "rejected_completion", "fit")
"""Columns of published tables that are keyed hashes, beside those with people."""
_SHOWN = re.compile(r"\b[0-9a-f]{16}\b")  # the first digits of a key in a gate's verdict


def make_dataset_key(key: bytes, name: str) -> str:
    """Make the key of the keys in the dataset of that name, from that of the pseudonyms."""
    return hmac.digest(key, f"dataset:{name}".encode(), "sha256").hex()


def set_dataset_key(con: Store, name: str) -> str:
    """Let `write_published_sql` make keys of the dataset of that name; return what a manifest says of them.

    Raises StoreError if the key file is not that of the store.
    """
    made = make_dataset_key(take_key(con, find_key_file()), name)
    run(con, "SET VARIABLE dataset_key = ?", [made])
    return _digest(made)


def write_published_sql(column: str, key: str = "getvariable('dataset_key')") -> str:
    """Write the SQL expression of a key as the dataset has it; null stays null."""
    return write_published_mark_sql(write_mark_sql(column), key)


def write_published_mark_sql(mark: str, key: str = "getvariable('dataset_key')") -> str:
    """Write the SQL expression of a key as the dataset has it, from its mark."""
    return f"left(sha256({key} || ':' || {mark}), {LENGTH})"


def find_dataset_key(manifest: dict[str, Any]) -> str | None:
    """Find the key of a dataset's keys; None where they are the store's own.

    Raises StoreError if there is no key file, or the dataset was built with another.
    """
    said = manifest.get(KEYS)
    if said is None:
        return None
    path = find_key_file()
    made = make_dataset_key(read_key(path), str(manifest["recipe"].get("name", "")))
    if _digest(made) != said:
        raise StoreError(
            f"{path}: is another key than the one that the keys of this dataset were made with; point "
            "PRECEPTOR_KEY at that one"
        )
    return made


def _digest(key: str) -> str:
    """Compute a digest that identifies the key without revealing it."""
    return hashlib.sha256(f"keys:{key}".encode()).hexdigest()[:LENGTH]


def find_stored_keys(con: Store, published: Iterable[str | None], key: str, select: str) -> dict[str, str]:
    """Find the keys of a SELECT that a dataset has as `published`: {the dataset's: the store's}."""
    rows = query(
        con,
        f"""SELECT published, key FROM (SELECT key, {write_published_sql("key", "$dataset_key")} AS published
        FROM ({select})) WHERE list_contains($published::VARCHAR[], published)""",
        {"dataset_key": key, "published": [one for one in published if one]},
    )
    return dict(rows.rows())


def publish_verdict(con: Store, verdict: str) -> str:
    """Replace first digits of keys in a gate's verdict by those that the dataset has for rows of `kept`."""
    shown = sorted(set(_SHOWN.findall(verdict)))
    if not shown:
        return verdict
    found = query(
        con,
        f"""SELECT DISTINCT left(key, 16) AS shown, left({write_published_sql("key")}, 16) AS published
        FROM (SELECT key FROM kept UNION SELECT chosen_completion FROM kept
            UNION SELECT rejected_completion FROM kept)
        WHERE list_contains($shown::VARCHAR[], left(key, 16))""",
        {"shown": shown},
    )
    known = dict(found.rows())
    return _SHOWN.sub(lambda digits: known.get(digits[0], "a row that was dropped"), verdict)


def publish_marks(con: Store, marks: pl.DataFrame, key: str | None) -> pl.DataFrame:
    """Add to marks of forgotten people (kind, row) the column `published`: what a dataset has for each."""
    if key is None:
        return marks.with_columns(published=pl.lit(None, pl.String))
    con.register("marks", marks.to_arrow())
    try:
        published = write_published_mark_sql('"row"', "$key")
        return query(con, f'SELECT kind, "row", {published} AS published FROM marks', {"key": key})
    finally:
        con.unregister("marks")
