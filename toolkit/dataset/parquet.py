"""Write tables of a dataset as reproducible Parquet files: sorted rows, fixed settings, no times.

Rows stream from DuckDB to the writer, so memory holds one row group. A split of more than SHARD rows is
several files, as the Hub likes them.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ...schemas.derive import derive_polars_schema
from ...schemas.published import declare_published, list_with_meta
from ...schemas.recipe import Recipe
from ...schemas.tables import Column, Table
from ..privacy.published_keys import KEYED, write_published_sql
from ..store.chunks import join_in_chunks
from ..store.connection import Store, run
from ..store.temporary import make
from .choose.pairs import SPLITS
from .steps import LABELS, UNPAIRED

GROUP = 100_000  # rows of a row group
SHARD = 1_000_000  # rows of a file


# A text that is chosen in one pair of its prompt and rejected in another has no label. Completions of a
# prompt with the same text are one answer: the first stands for all.
_LABELS = f"""
WITH told AS (
    SELECT completion, any_value(prompt) AS prompt, any_value(md5_number("text")) AS "text",
        bool_and(label) AS label, bool_or(label) AS any_label, min(split) AS split, min(of_pair) AS of_pair
    FROM (SELECT chosen_completion AS completion, prompt, chosen_content AS "text", true AS label, split,
            rowid AS of_pair FROM kept WHERE config = 'preference' UNION ALL
        SELECT rejected_completion, prompt, rejected_content, false, split, rowid FROM kept
        WHERE config = 'preference')
    GROUP BY completion
)
SELECT min(completion) AS completion, bool_and(label) AS label, min(split) AS split,
    arg_min(of_pair, completion) AS of_pair, bool_and(label) <> bool_or(any_label) AS mixed,
    count(*) - 1 AS repeated
FROM told GROUP BY prompt, "text" ORDER BY split, {write_published_sql("min(completion)")}"""
_LABELLED = """
SELECT l.place, l.completion AS key, k.split, k.task, k."group", k.sources, k.license, k.messages, l.label,
    if(l.completion = k.chosen_completion, k.chosen_content, k.rejected_content) AS content
FROM chunk l JOIN (SELECT rowid AS id, * FROM kept) k ON k.id = l.of_pair WHERE NOT l.mixed"""


def write_tables(con: Store, recipe: Recipe, folder: Path) -> dict[str, dict[str, int]]:
    """Write each config of the recipe and its _meta table as Parquet; an empty split has no file.

    Returns the number of rows by config and split.
    """
    counts: dict[str, dict[str, int]] = {}
    for config in recipe.configs:
        for name in list_with_meta(config):
            table = declare_published(name, recipe.format == "conversational")
            schema = derive_polars_schema(table)
            columns, source = _select(table, recipe)
            found = {}
            for split in SPLITS:
                select = f"SELECT {columns} FROM {source} AND split = '{split}'"
                rows = _write(con, select, schema, folder / name, split)
                if rows:
                    found[split] = rows
            counts[name] = found
    return {name: found for name, found in counts.items() if name in recipe.configs}


def label_completions(con: Store) -> dict[str, int]:
    """Make `labels` and `unpaired`; return the number of answers left out of it, by reason."""
    make(con, LABELS, _LABELS)
    join_in_chunks(con, UNPAIRED, "labels", _LABELLED)
    ((mixed, repeated),) = run(
        con, "SELECT count(*) FILTER (mixed), sum(repeated) FILTER (NOT mixed) FROM labels"
    )
    left_out = {
        "unpaired: chosen in one pair, rejected in another": int(mixed),
        "unpaired: the text of another completion again": int(repeated or 0),
    }
    return {reason: n for reason, n in left_out.items() if n}


def _select(table: Table, recipe: Recipe) -> tuple[str, str]:
    """Columns of a published table as SQL, and the rows they come from."""
    rows = {
        "preference": "kept WHERE config = 'preference'",
        "soft": "kept WHERE config IN ('preference', 'soft')",
        "unpaired": "unpaired WHERE true",
        "sft": "kept WHERE config = 'sft'",
        "signals": "signals_kept WHERE true",
        "exercises": "exercises_kept WHERE true",
    }[table.name.removesuffix("_meta")]
    conversational = recipe.format == "conversational"
    prompt = "messages AS prompt" if conversational else 'messages[1]."content" AS prompt'

    def answer(column: str, name: str) -> str:
        told = f"[{{'role': 'assistant', 'content': {column}}}]" if conversational else column
        return f"{told} AS {name}"

    both = f"{answer('chosen_content', 'chosen')}, {answer('rejected_content', 'rejected')}"
    texts = {
        "preference": f"{prompt}, {both}",
        "soft": f"{prompt}, {both}, {recipe.soft_label} AS p",
        "unpaired": f"{prompt}, {answer('content', 'completion')}, label",
        "sft": f"{prompt}, {answer('chosen_content', 'completion')}",
    }
    return texts.get(table.name) or ", ".join(map(_publish, table.columns)), rows


def _publish(column: Column) -> str:
    """Write the SQL of a column about a row: keys and people are those of this dataset alone."""
    name = f'"{column.name}"'
    return f"{write_published_sql(name)} AS {name}" if column.person or column.name in KEYED else name


def _write(con: Store, select: str, schema: pl.Schema, folder: Path, split: str) -> int:
    """Write the rows of a SELECT, in its order, as files of a folder; return how many there were."""
    target = pl.DataFrame(schema=schema).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    ((total,),) = run(con, f"SELECT count(*) FROM ({select})")
    if not total:
        return 0
    folder.mkdir(exist_ok=True)
    files = -(-total // SHARD)
    groups = _groups(con, f"SELECT {', '.join(_quoted(schema))} FROM ({select})", target)
    for number in range(files):
        name = f"{split}.parquet" if files == 1 else f"{split}-{number:05}-of-{files:05}.parquet"
        with pq.ParquetWriter(
            folder / name,
            target,
            compression="zstd",
            compression_level=3,
            write_page_index=True,
            use_content_defined_chunking=True,
            store_schema=False,
        ) as writer:
            for group in islice(groups, SHARD // GROUP):
                writer.write_table(group, row_group_size=GROUP)
    return int(total)


def _quoted(schema: pl.Schema) -> list[str]:
    return [f'"{name}"' for name in schema]


def _groups(con: Store, select: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of a SELECT, in its order and cast to the schema, in tables of GROUP rows or fewer."""
    held: list[pa.Table] = []
    n = 0
    for batch in con.sql(select).to_arrow_reader(GROUP):
        held.append(pa.Table.from_batches([batch]).cast(schema))
        n += batch.num_rows
        while n >= GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, GROUP).combine_chunks()
            held, n = [whole.slice(GROUP)], n - GROUP
    if n:
        yield pa.concat_tables(held).combine_chunks()
