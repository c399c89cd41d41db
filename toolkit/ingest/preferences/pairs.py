"""The two completions of a prompt, where votes name the prompt alone: --wide 'Which is better: {prompt}'.

A prompt is named by its id or its text. Completion a is the first one of its source by file, line and id.
"""

import polars as pl

from ...store.connection import Store, query
from ..batch import Context

_PAIRS = """
WITH asked AS (
    SELECT key AS prompt, unnest([ref, messages[-1].content]) AS asked FROM prompts
    WHERE key IN (SELECT prompt FROM completions WHERE source = $source)
), sides AS (
    SELECT prompt, list(ref ORDER BY path, line, ref) AS refs FROM completions
    WHERE source = $source AND ref IS NOT NULL GROUP BY prompt
)
SELECT trim(asked) AS prompt, any_value(refs[1]) AS side_a, any_value(refs[2]) AS side_b,
count(DISTINCT prompt) AS prompts, any_value(len(refs)) AS completions
FROM asked JOIN sides USING (prompt) WHERE asked IS NOT NULL GROUP BY 1
"""


def find_sides(con: Store, source: str) -> pl.DataFrame:
    """Find the first two completions of each prompt of a source, by the prompt's id and by its text.

    Columns prompt, side_a, side_b (ids), prompts and completions (how many).
    """
    return query(con, _PAIRS, {"source": source})


def name_sides(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Fill completion_a and completion_b of votes that name a prompt."""
    if "prompt" not in rows.columns:
        return rows
    named = rows.join(context.sides, on="prompt", how="left", maintain_order="left")
    two = (pl.col("prompts") == 1) & (pl.col("completions") == 2)
    return named.with_columns(
        pl.when(two).then(f"side_{side}").otherwise(f"completion_{side}").alias(f"completion_{side}")
        for side in "ab"
    )


def check_sides(rows: pl.DataFrame, context: Context) -> list[tuple[pl.Expr, pl.Expr]]:
    """Check that a named prompt has two completions: masks and reasons; none where no prompt is named."""
    if "prompt" not in rows.columns:
        return []
    where = pl.lit(context.about)
    unknown = pl.format("prompt: '{}' names no one prompt of source '{}'", "prompt", where)
    number = pl.format(
        "prompt: '{}' has {} completions in source '{}', expected 2", "prompt", "completions", where
    )
    return [
        (pl.col("prompts").fill_null(0) != 1, unknown),
        (pl.col("completions") != 2, number),
    ]
