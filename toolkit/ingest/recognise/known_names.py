"""Find what a table names of the store: completions in its cells, prompts in the names of its columns."""

from dataclasses import dataclass

import polars as pl

from ...store.connection import Store, query, run_over
from ..files.fields import PLACE
from .sample import Sample

_SHARE = 0.6  # of a column's cells that are ids, at least


@dataclass(frozen=True)
class KnownNames:
    """What a sample names of a store."""

    completions: tuple[str, ...] = ()  # columns whose cells are ids of completions
    prompts: tuple[str, ...] = ()  # columns whose cells are ids of prompts
    about: str = ""  # the source that has them
    sources: tuple[str, ...] = ()  # sources with completions
    wide: str = ""  # a pattern of columns that end in a prompt: Which is better: {prompt}


def find_known_names(con: Store | None, sample: Sample) -> KnownNames:
    """Find what a table names of the store; nothing without a store."""
    if con is None or sample.rows.is_empty():
        return KnownNames()
    cells = (
        sample.rows.unpivot(variable_name="name", value_name="cell")
        .drop_nulls("cell")
        .filter(pl.col("cell").str.len_bytes() <= 200)
        .group_by("name", "cell")
        .len("n")
    )
    sources = query(con, "SELECT DISTINCT source FROM completions WHERE ref IS NOT NULL ORDER BY 1")["source"]
    columns, about = dict[str, tuple[str, ...]](), ""
    for table in ("completions", "prompts"):
        found = run_over(
            con,
            cells,
            f"""WITH hits AS (
                SELECT i.name, t.source, sum(i.n) AS hit FROM incoming i
                JOIN (SELECT DISTINCT source, ref FROM {table} WHERE ref IS NOT NULL) t ON t.ref = i.cell
                GROUP BY 1, 2
            ), sums AS (SELECT name, sum(n) AS cells FROM incoming GROUP BY 1)
            SELECT name, arg_max(source, hit) FROM hits JOIN sums USING (name)
            GROUP BY name HAVING max(hit) >= {_SHARE} * min(cells)""",
        )
        here = dict(found)
        columns[table] = tuple(name for name in sample.columns if name in here)
        about = about or next((here[name] for name in columns[table]), "")
    return KnownNames(
        columns["completions"],
        columns["prompts"],
        about,
        tuple(sources.to_list()),
        _find_pattern(con, sample),
    )


def _find_pattern(con: Store, sample: Sample) -> str:
    """A pattern of columns that end in a prompt's id or words; "" unless two do, after the same beginning."""
    names = pl.DataFrame({"name": list(sample.columns)})
    found = run_over(
        con,
        names,
        """SELECT DISTINCT i.name, rtrim(left(i.name, length(i.name) - length(p.said))) AS head
        FROM incoming i
        JOIN (
            SELECT ref AS said FROM prompts WHERE ref IS NOT NULL
            UNION SELECT messages[-1].content FROM prompts WHERE length(messages[-1].content) < 200
        ) p ON length(p.said) BETWEEN 1 AND length(i.name) - 1 AND ends_with(lower(i.name), lower(p.said))
        """,
    )
    heads: dict[str, set[str]] = {}
    for name, head in found:
        heads.setdefault(head, set()).add(name)
    head = max(heads, key=lambda one: len(heads[one]), default="")
    if not head or len(heads[head]) < 2 or PLACE.search(head):
        return ""
    return (
        f"{head} {{prompt}}"
        if any(name.startswith(f"{head} ") for name in heads[head])
        else head + "{prompt}"
    )
