"""Take sources out of the store again, with all their rows.

drop_sources(con, ["week-1"])
# Dropped(rows={"prompts": 12, "completions": 24, "votes": 40}, fits=("5f0c2ab1",), builds=("dist/a",))
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...schemas.errors import StoreError
from ...schemas.tables import OF_A_SOURCE, SIGNALS
from ..store.connection import Store, query, remove_source, run, transaction
from ..store.folders import locate_folder, shorten_path
from ..store.where import check_names
from .orphans import remove_orphans

# Rows of a source that are about texts of another one: (table, column, table of the texts).
_ABOUT = (
    ("completions", "prompt", "prompts"),
    ("questions", "prompt", "prompts"),
    *((s.name, column, "completions") for s in SIGNALS for column in s.completions),
)


@dataclass(frozen=True)
class Dropped:
    """What left the store with its sources, and what was made of it and stays."""

    rows: dict[str, int]
    """Rows by table; tables without any are left out."""
    fits: tuple[str, ...]
    """First digits of the fits that used the sources' signals."""
    builds: tuple[str, ...]
    """Folders of the datasets that stand and were built from those fits or these sources."""


def drop_sources(con: Store, names: Sequence[str], dry_run: bool = False) -> Dropped:
    """Remove sources with all their rows, all or nothing; with `dry_run` only count them.

    Raises StoreError for a name that no source has, and for sources whose texts are what the rows of
    another source are about, which must be named too.
    """
    have = query(con, "SELECT name FROM sources ORDER BY 1")["name"]
    check_names("SOURCE", names, have, "source")
    _check_alone(con, names)
    wanted = {"names": list(names)}
    rows = {}
    for table in OF_A_SOURCE:
        column = "sources" if "sources" in table.names else "[source]"  # of all texts of an exercise
        ((n,),) = run(
            con,
            f'SELECT count(*) FROM "{table.name}" WHERE list_has_any({column}, $names::VARCHAR[])',
            wanted,
        )
        if n:
            rows[table.name] = int(n)
    found = Dropped(rows, *_find_made(con, names))
    if not dry_run:
        with transaction(con):
            for name in names:
                remove_source(con, name)
            remove_orphans(con)
    return found


def _check_alone(con: Store, names: Sequence[str]) -> None:
    """Raise StoreError if rows of other sources are about texts of these."""
    others = " UNION ALL ".join(
        f"""SELECT DISTINCT o.source, '{table}' AS what, o.key FROM "{table}" o JOIN "{texts}" t
        ON t.key = o."{column}" WHERE list_contains($names::VARCHAR[], t.source)
        AND NOT list_contains($names::VARCHAR[], o.source)"""
        for table, column, texts in _ABOUT
    )
    found = query(
        con,
        f"SELECT source, what, count(DISTINCT key) AS n FROM ({others}) GROUP BY ALL ORDER BY ALL",
        {"names": list(names)},
    )
    if found.is_empty():
        return
    said = ", ".join(f"{n:,} {what} of '{source}'" for source, what, n in found.rows())
    more = " ".join(dict.fromkeys([*names, *found["source"].to_list()]))
    raise StoreError(
        f"{', '.join(names)}: {said} are about these texts and would be about nothing; drop them too: "
        f"preceptor drop {more}"
    )


def _find_made(con: Store, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find the fits of these sources' signals, and the datasets that stand and were built from them."""
    fits = query(
        con,
        """SELECT key FROM fits WHERE len((config->'$.sources')::VARCHAR[]) = 0
        OR list_has_any((config->'$.sources')::VARCHAR[], $names::VARCHAR[]) ORDER BY fitted_at DESC, key""",
        {"names": list(names)},
    )["key"]
    builds = query(
        con,
        """SELECT DISTINCT out FROM builds WHERE replaced_at IS NULL AND (list_contains($fits::VARCHAR[], fit)
        OR len(coalesce((recipe->'$.sources')::VARCHAR[], [])) = 0
        OR list_has_any((recipe->'$.sources')::VARCHAR[], $names::VARCHAR[])) ORDER BY 1""",
        {"fits": fits.to_list(), "names": list(names)},
    )["out"]
    return (
        tuple(key[:8] for key in fits),
        tuple(shorten_path(locate_folder(con, out)) for out in builds),
    )
