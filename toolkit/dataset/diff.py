"""`preceptor diff A B`: compare the rows of two built datasets.

A pair is the same pair whichever side is chosen, so it can be flipped; a row is reworded where its
texts differ (another instruction, masked names), and moved where its split does. Datasets of different names
have different keys, so their rows are compared by their texts: none is reworded then.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...schemas.tables import Column, Table
from ..privacy.published_keys import KEYS
from ..store.connection import Store, open_files, run
from ..store.quoting import quote_name
from ..store.temporary import make
from .folder import list_shards, read_manifest, select_rows

SHOWN = 5  # keys of each kind that are listed

_PAIR = (
    "least(chosen_completion, rejected_completion) || greatest(chosen_completion, rejected_completion)",
    "chosen_completion",
)
_PAIR_TEXTS = (
    """md5(concat_ws('|', to_json(t.prompt), least(to_json(t.chosen), to_json(t.rejected)),
        greatest(to_json(t.chosen), to_json(t.rejected))))""",
    "md5(to_json(t.chosen))",
)
_NOT_TEXT = ("filename", "file", "file_row_number", "split", "p", "label")

_COLUMNS = (
    Column("id", "text", "the same for the same pair or answer, whichever side is chosen"),
    Column("side", "text", "what may be flipped: the chosen completion, or the label", nullable=True),
    Column("key", "text", "key of the row"),
    Column("split", "text", "train, validation or test"),
    Column("texts", "text", "hash of its texts"),
    Column("p", "float", "P(chosen is better); null where the config has none", nullable=True),
)
_OLD = Table("diff_old", "a row of a config before", _COLUMNS)
_NEW = Table("diff_new", "a row of a config after", _COLUMNS)


@dataclass(frozen=True)
class Changes:
    """Number of rows of one config by kind of change, and a few keys of each kind."""

    config: str
    counts: dict[str, int]  # same, added, removed, flipped, moved, reworded
    keys: dict[str, list[str]]
    largest_p: float | None  # the largest change of a p of a pair that was not flipped


KINDS = ("added", "removed", "flipped", "moved", "reworded")


def diff(a: Path, b: Path) -> tuple[list[Changes], dict[str, list[Any]]]:
    """Compare two built datasets: rows by config, and what else differs.

    The second value is {name of a recipe key, fit, version or source: [before, after]}.
    Raises StoreError if a folder holds no built dataset.
    """
    before, after = read_manifest(a), read_manifest(b)
    configs = list(dict.fromkeys([*before["counts"], *after["counts"]]))
    shards = [file for folder in (a, b) for name in configs for file in list_shards(folder, name)]
    meta = [file for folder in (a, b) for name in configs for file in list_shards(folder, f"{name}_meta")]
    with open_files([*shards, *meta]) as con:
        by_key = before.get(KEYS) == after.get(KEYS)
        found = [_changes(con, a, b, config, by_key) for config in configs]
    return found, _otherwise(before, after)


def describe_changes(changes: list[Changes], otherwise: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the result of `diff` as plain values, for scripts."""
    return {"configs": [asdict(c) for c in changes], "otherwise": otherwise}


def _changes(con: Store, a: Path, b: Path, config: str, by_key: bool) -> Changes:
    for table, folder in ((_OLD, a), (_NEW, b)):
        _load(con, table, folder, config, by_key)
    run(
        con,
        """CREATE OR REPLACE TEMP TABLE changed_rows AS
        SELECT coalesce(n.key, o.key) AS key, n.p - o.p AS p, CASE WHEN o.id IS NULL THEN 'added'
            WHEN n.id IS NULL THEN 'removed' WHEN n.side IS DISTINCT FROM o.side THEN 'flipped'
            WHEN n.split <> o.split THEN 'moved' WHEN n.texts <> o.texts THEN 'reworded'
            ELSE 'same' END AS kind
        FROM diff_old o FULL JOIN diff_new n ON n.id = o.id""",
    )
    counts = dict(run(con, "SELECT kind, count(*) FROM changed_rows GROUP BY 1"))
    keys = {
        kind: [
            key
            for (key,) in run(
                con, "SELECT key FROM changed_rows WHERE kind = ? ORDER BY 1 LIMIT ?", [kind, SHOWN]
            )
        ]
        for kind in KINDS
    }
    ((largest,),) = run(
        con, "SELECT max(abs(p)) FROM changed_rows WHERE kind NOT IN ('flipped', 'added', 'removed')"
    )
    return Changes(config, {kind: counts.get(kind, 0) for kind in ("same", *KINDS)}, keys, largest)


def _load(con: Store, table: Table, folder: Path, config: str, by_key: bool) -> None:
    """Make the table of a config's rows; it is empty if the folder has none."""
    files = list_shards(folder, config)
    if not files:
        make(con, table)
        return
    meta = list_shards(folder, f"{config}_meta") or files
    known = {column for column, *_ in run(con, f"DESCRIBE ({select_rows(meta)})")}
    written = [column for column, *_ in run(con, f"DESCRIBE ({select_rows(files)})")]
    texts = ", ".join(f"to_json({quote_name(column)})" for column in written if column not in _NOT_TEXT)
    ident, side = _PAIR if "chosen_completion" in known else ("m.key", "NULL")
    if not by_key and "prompt" in written and config != "signals":
        ident, side = _PAIR_TEXTS if "chosen" in written else ("t.texts", "NULL")
        # the same texts again are another row
        ident = f"{ident} || row_number() OVER (PARTITION BY {ident} ORDER BY file, file_row_number)"
    if "label" in written:
        side = "t.label"
    make(
        con,
        table,
        f"""SELECT {ident} AS id, {side}::VARCHAR AS side, m.key, m.split, t.texts,
            {"m.p" if "p" in known else "NULL::DOUBLE"} AS p
        FROM ({select_rows(meta)}) m JOIN (
            SELECT *, md5(concat_ws('|', {texts})) AS texts FROM ({select_rows(files)})
        ) t USING (file, file_row_number)""",
    )


def _otherwise(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    """List what differs beside the rows."""

    def named(manifest: dict[str, Any]) -> dict[str, Any]:
        fit = manifest["fit"] or {}
        return {
            **{f"recipe.{name}": value for name, value in manifest["recipe"].items()},
            "fit": fit.get("key"),
            KEYS: manifest.get(KEYS),
            "preceptor": manifest["preceptor"],
            **{f"versions.{name}": value for name, value in manifest.get("versions", {}).items()},
            **{f"source {s['name']}": s["sha256"] for s in manifest["sources"]},
        }

    old, new = named(before), named(after)
    return {
        name: [old.get(name), new.get(name)]
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    }
