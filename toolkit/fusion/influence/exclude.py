"""Leave annotators out of fits, and take them in again; their rows stay.

exclude_annotators(con, ["zofia", "91ab0c2ab1d94e77"])      # an id, a pseudonym, or a model's name
include_annotators(con, ["zofia"])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from ....schemas.errors import AnnotationError
from ....schemas.support.nearest import suggest
from ....schemas.tables import SIGNALS
from ...privacy.pseudonyms import find_key_file, make_pseudonym, read_store_key
from ...store.connection import Store, query, run, transaction

LEAST = 6  # digits by which a pseudonym may be named


@dataclass(frozen=True)
class Excluded:
    """What was changed: annotators by pseudonym, and who was as asked already."""

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    signals: int  # votes and ratings of those changed


def exclude_annotators(con: Store, names: Sequence[str], within: str | None = None) -> Excluded:
    """Leave annotators out of later fits, all or none of `names`.

    A name is an id as the input files have it, a pseudonym or its first digits, or a model's name; with
    `within` only the annotators whom that source numbers. Raises AnnotationError for an unknown name.
    """
    return _mark(con, names, within, datetime.now(UTC))


def include_annotators(con: Store, names: Sequence[str], within: str | None = None) -> Excluded:
    """Take annotators into later fits again; see `exclude_annotators`."""
    return _mark(con, names, within, None)


def find_annotators(con: Store, names: Sequence[str], within: str | None = None) -> pl.DataFrame:
    """Find annotators by name: key, pseudonym, within, excluded_at. Raises AnnotationError as above."""
    known = query(con, "SELECT key, pseudonym, within, excluded_at FROM annotators ORDER BY pseudonym, key")
    if within is not None:
        known = known.filter(within=within)
    return pl.concat([_find(con, known, name, within) for name in names]).unique("key", maintain_order=True)


def _mark(con: Store, names: Sequence[str], within: str | None, at: datetime | None) -> Excluded:
    found = find_annotators(con, names, within)
    other = pl.col("excluded_at").is_null() if at else pl.col("excluded_at").is_not_null()
    changed = found.filter(other)
    keys = changed["key"].to_list()
    with transaction(con):
        run(con, "UPDATE annotators SET excluded_at = ? WHERE key IN (SELECT unnest(?))", [at, keys])
    counts = " UNION ALL ".join(
        f"SELECT count(*) AS n FROM {s.name} WHERE list_contains($keys::VARCHAR[], {s.annotator})"
        for s in SIGNALS
        if s.annotator
    )
    ((signals,),) = run(con, f"SELECT sum(n)::BIGINT FROM ({counts})", {"keys": keys})
    return Excluded(tuple(changed["pseudonym"]), tuple(found.filter(~other)["pseudonym"]), int(signals))


def _find(con: Store, known: pl.DataFrame, name: str, within: str | None) -> pl.DataFrame:
    """Find the annotators of a name. Raises AnnotationError if there is none, or several by first digits."""
    found = known.filter(pl.col("pseudonym") == name)
    if found.is_empty() and len(name) >= LEAST:
        begun = known.filter(pl.col("pseudonym").str.starts_with(name))
        if begun["pseudonym"].n_unique() > 1:
            raise AnnotationError(f"{name}: several annotators have names that begin so; give more of it")
        found = begun
    ((digest,),) = run(con, "SELECT key_digest FROM preceptor")
    if found.is_empty() and digest is not None:
        pseudonym = make_pseudonym(name, read_store_key(con, find_key_file()))
        found = known.filter(pl.col("pseudonym") == pseudonym)
    if found.is_empty():
        where = f" whom source '{within}' numbers" if within is not None else ""
        hint = suggest(name, known["pseudonym"].unique().sort(), "there are", " ")
        raise AnnotationError(
            f"{name}: no annotator{where} has this id or name; {hint} "
            "(preceptor pseudonym ID prints the name of an id)"
        )
    return found
