"""`preceptor scan`: find and mask personal data in the free text of the store.

    sentences  5f0c…  text  phone  from 44 to 60  score 0.4

DuckDB selects from every column that people wrote (`free_text` in schemas/tables) the distinct texts that
may contain personal data; `make_finder` reads those. Masking replaces the findings, text by text, in one
transaction. Keys do not change, so that signals still name their completions and a repeated input is
recognised.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ...schemas.errors import PrivacyError
from ...schemas.tables import OF_A_SOURCE, Column, Table, select_signals
from ..store.connection import Store, query, read_frames, run, transaction
from ..store.folders import locate_folder, shorten_path
from ..store.where import check_names, match_sources
from .orphans import remove_orphans
from .recognisers import LIKELY, Finding, Wanted, make_finder, mask

_FOUND = {"old": pl.String, "kind": pl.String, "start": pl.Int64, "end": pl.Int64, "score": pl.Float64}
_MASKS = {"old": pl.String, "new": pl.String}
_AROUND = 30  # characters shown on either side of a finding
# A string in a JSON text, with a colon if it is a name; or a number.
_JSON_LEAF = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|-?\d[-+.\deE]*')


@dataclass(frozen=True)
class Masked:
    """Rows changed by table, prompts and exercises removed that were made of them, and builds with them."""

    changed: dict[str, int]
    unmade: int
    exercises: int
    builds: list[str]


def scan(con: Store, wanted: Wanted, sources: Sequence[str] = ()) -> pl.DataFrame:
    """Find personal data, one row per finding.

    Columns: source, table, key, column, place (message or field of a JSON column), kind, start and end (in
    characters of the place), score, and old (the text).

    Raises PrivacyError for an unknown source.
    """
    have = query(con, "SELECT name FROM sources ORDER BY 1")["name"]
    check_names("--source", sources, have, "source", "in the store", PrivacyError)
    find = make_finder(wanted)
    given = {"sources": list(sources)}
    found = [(text, *one) for text in _texts(con, wanted, given) for one in find(text)]
    con.register("found", pl.DataFrame(found, schema=_FOUND, orient="row").to_arrow())
    try:
        return query(
            con,
            f"""SELECT source, "table", key, "column", place, kind, start, "end", score, "old"
            FROM ({_parts("")}) JOIN found ON "text" = "old" ORDER BY ALL""",
            given,
        )
    finally:
        con.unregister("found")


def mask_found(con: Store, found: pl.DataFrame, wanted: Wanted, sources: Sequence[str] = ()) -> Masked:
    """Mask the findings of `scan`, all or nothing; `store.write_anew` then removes the old bytes.

    `group` is masked in every source, so that prompts about one problem stay one group. Prompts that
    a build made of masked sentences are removed if they were not judged: the next build makes them anew,
    with other keys.
    """
    find = make_finder(wanted)
    old = found["old"].unique(maintain_order=True)
    masks = pl.DataFrame({"old": old, "new": [mask(text, find) for text in old]}, schema=_MASKS)
    given = {"sources": list(sources)}
    with transaction(con):
        con.register("masks", masks.to_arrow())
        for table, column in _columns():
            cells = found.filter((pl.col("table") == table.name) & (pl.col("column") == column.name))
            if len(cells):
                _mask_column(con, table, column, cells["key"].unique(), masks, given)
        unmade = _unmake(con, found)
        if len(found):  # what a model made of the texts before; `fuse --text` makes it anew
            run(con, "DELETE FROM text_states")
        sources_of = {"sources": found["source"].unique().to_list()}
        ((exercises,),) = run(con, _UNMAKE_EXERCISES, sources_of)
        con.unregister("masks")
    rows = found.group_by("table").agg(pl.col("key").n_unique()).sort("table").rows()
    return Masked(dict(rows), unmade, int(exercises), _builds(con, found["source"].unique().to_list()))


def cut_excerpt(text: str, found: Sequence[Finding], shown: Finding) -> str:
    """Cut out the text around a finding, on one line; findings show as first letter and length."""
    start, end = max(0, shown.start - _AROUND), shown.end + _AROUND
    pieces, done = ["…" if start else ""], start
    for one in found:
        if one.end > start and one.start < end:
            pieces += [text[done : one.start], f"{text[one.start]}…[{one.end - one.start}]"]
            done = one.end
    pieces += [text[done:end], "…" if end < len(text) else ""]
    return " ".join("".join(pieces).split())


def _columns() -> list[tuple[Table, Column]]:
    return [(table, column) for table in OF_A_SOURCE for column in table.free_texts]


def _texts(con: Store, wanted: Wanted, given: dict[str, list[str]]) -> list[str]:
    """The distinct texts of the store that may contain personal data."""
    narrow = not (wanted.names or wanted.student_number)  # by patterns alone, which SQL can match
    return find_likely_texts(con, _parts(_likely_sql(wanted) if narrow else ""), wanted, given)


def find_likely_texts(
    con: Store, rows: str, wanted: Wanted, given: dict[str, list[str]] | None = None
) -> list[str]:
    """Find the distinct texts (column "text" of a SELECT) that may contain any of the wanted kinds."""
    import regex

    narrow = not (wanted.names or wanted.student_number)
    likely = _likely_sql(wanted)
    number = regex.compile(wanted.student_number).search if wanted.student_number else None
    named = pl.col("text").str.contains_any(list(wanted.names)) if wanted.names else pl.lit(False)
    seen = f'SELECT DISTINCT "text", {likely} AS likely FROM ({rows})' + (" WHERE likely" if narrow else "")
    texts: list[str] = []
    for frame in read_frames(con, seen, given):
        worth = frame.with_columns(likely=pl.col("likely") | named)
        if number:
            by_number = [known or number(one) is not None for one, known in worth.rows()]
            worth = worth.with_columns(likely=pl.Series(by_number, dtype=pl.Boolean))
        texts += worth.filter("likely")["text"].to_list()
    return texts


def _likely_sql(wanted: Wanted) -> str:
    """SQL condition: "text" has the pattern that one of the wanted kinds requires."""
    each = [
        "(" + " AND ".join(f"""regexp_matches("text", '{pattern}')""" for pattern in patterns) + ")"
        for kind, patterns in LIKELY.items()
        if kind in wanted.kinds
    ]
    return f"({' OR '.join(each)})" if each else "false"


def _parts(likely: str) -> str:
    """SELECT source, table, key, column, place, text of every free text of $sources, where `likely` holds."""
    return "\nUNION ALL ".join(_parts_of(table, column, likely) for table, column in _columns())


def _parts_of(table: Table, column: Column, likely: str) -> str:
    cells = f'SELECT source, key, "{column.name}" AS cell FROM "{table.name}" WHERE '
    cells += f"{match_sources()} AND cell IS NOT NULL"
    if column.type == "messages":
        place, text = "'[' || i || ']'", "cell[i + 1].content"
        cells = f"SELECT *, unnest(range(len(cell))) AS i FROM ({cells})"
    elif column.type == "json":
        place, text = "leaf.fullkey", "leaf.atom->>'$'"
        if likely:  # on the whole JSON text, before it is split; escapes in it may hide anything
            seen = f"""(SELECT *, cell::VARCHAR AS "text" FROM ({cells}))"""
            cells = f"""SELECT source, key, cell FROM {seen} WHERE {likely} OR contains("text", '\\')"""
        cells = f"SELECT * FROM ({cells}) AS c, json_tree(c.cell) AS leaf WHERE leaf.atom IS NOT NULL"
    else:
        place, text = "''", "cell"
    parts = (
        f"""SELECT source, '{table.name}' AS "table", key, '{column.name}' AS "column", {place} AS place, """
        f"""{text} AS "text" FROM ({cells}) AS leaf"""
    )
    return f'SELECT * FROM ({parts}) WHERE {likely or """"text" IS NOT NULL"""}'


def _mask_column(
    con: Store,
    table: Table,
    column: Column,
    keys: pl.Series,
    masks: pl.DataFrame,
    given: dict[str, list[str]],
) -> None:
    """Write the masked texts into a column; `keys` are those of the rows that have findings."""
    name, cell = f'"{table.name}"', f'"{column.name}"'
    if column.type == "text":
        everywhere = column.name == "group"
        only = "" if everywhere else f"AND {match_sources()}"
        run(
            con,
            f'UPDATE {name} SET {cell} = masks."new" FROM masks WHERE {name}.{cell} = masks."old" {only}',
            {} if everywhere else given,
        )
        return
    con.register("wanted", pl.DataFrame({"key": keys}).to_arrow())
    cells = f"SELECT key, {cell} AS cell FROM {name} WHERE key IN (FROM wanted)"
    if column.type == "messages":
        cells = f"""SELECT key, list({{'role': m.role, 'content': coalesce("new", m.content)}} ORDER BY i)
            AS cell FROM (SELECT key, unnest(cell) AS m, unnest(range(len(cell))) AS i FROM ({cells}))
            LEFT JOIN masks ON m.content = "old" GROUP BY key"""
    else:
        con.register("cells", _masked_json(query(con, cells), dict(masks.rows())).to_arrow())
        cells = "SELECT key, cell FROM cells"
    run(con, f"UPDATE {name} SET {cell} = c.cell FROM ({cells}) AS c WHERE {name}.key = c.key")
    con.unregister("wanted")


# Their answers and wrong options are words of the texts as they were.
_UNMAKE_EXERCISES = """DELETE FROM exercises WHERE recipe IN
    (SELECT recipe FROM exercises WHERE list_has_any($sources::VARCHAR[], sources))"""


def _unmake(con: Store, found: pl.DataFrame) -> int:
    """Remove prompts that builds made of changed sentences, unless they were judged."""
    con.register("touched", found.select("key").unique().to_arrow())
    run(
        con,
        f"""CREATE OR REPLACE TEMP TABLE unmade AS
        SELECT p.key FROM prompts p JOIN sentences s ON s.key = p.ref AND s.source = p.source
        WHERE (s.key IN (FROM touched) OR p.key IN (FROM touched)
            OR s.key IN (SELECT sentence FROM edits WHERE key IN (FROM touched)))
        AND p.key NOT IN (SELECT prompt FROM completions WHERE key IN (
            {select_signals()} UNION ALL SELECT completion FROM effectiveness))""",
    )
    con.unregister("touched")
    run(con, "DELETE FROM completions WHERE prompt IN (FROM unmade)")
    ((prompts,),) = run(con, "DELETE FROM prompts WHERE key IN (FROM unmade)")
    if prompts:
        remove_orphans(con)
    return int(prompts)


def _masked_json(cells: pl.DataFrame, masks: dict[str, str]) -> pl.DataFrame:
    """Mask strings and numbers of JSON texts, and change no other character."""

    def masked(leaf: re.Match[str]) -> str:
        whole, string, colon = leaf[0], leaf[1], leaf[2]
        if colon:
            return whole
        new = masks.get(json.loads(string) if string else whole)
        return whole if new is None else json.dumps(new, ensure_ascii=False)

    texts = [_JSON_LEAF.sub(masked, text) for text in cells["cell"].cast(pl.String)]
    return cells.select("key", pl.Series("cell", texts, dtype=pl.String))


def _builds(con: Store, sources: list[str]) -> list[str]:
    """Folders of builds made from any of the sources."""
    made = query(con, "SELECT out, recipe FROM builds ORDER BY built_at, key").rows()
    named = [(out, json.loads(recipe)["sources"]) for out, recipe in made]
    shown = ((shorten_path(locate_folder(con, out)), used) for out, used in named)
    return list(dict.fromkeys(out for out, used in shown if not used or set(used) & set(sources)))
