r"""GSM8K: problems with worked answers, their Socratic version, and model solutions marked right or wrong.

    {"question": "…", "answer": "She sells 16 - 3 = <<16-3=13>>13 eggs.\n#### 13"}
    {"question": "…", "answer": "How many does she sell? ** She sells <<16-3=13>>13.\n#### 13"}
    {"question": "…", "ground_truth": "…\nA: 13", "6b_finetuning": {"is_correct": false, "solution": "…"}}

Cobbe et al. (2021). Calculator notes are taken out, and every answer ends "Answer: 13", whatever its
file writes, so that the form does not reveal whether a model or a person wrote it; solutions that broke
off have no such line. The question is the group: the files share questions. A row is a line.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import COMPLETIONS, PROMPTS
from ...store.connection import add_key, open_scratch, parse_json_rows, query
from ..batch import Batch, Context, collect_rejects, divide
from ..files.numbered_lines import Input, OnBytes, read_lines

TASK = "math"
_SHAPE = {"question": "VARCHAR", "answer": "VARCHAR", "ground_truth": "VARCHAR"}

_SOLUTIONS = r"""
WITH given AS (
    SELECT line, 0 AS n, question, coalesce(answer, ground_truth) AS text, 'reference' AS origin,
        NULL::VARCHAR AS author, true AS "right" FROM rows
    UNION ALL
    SELECT line, n, question, m->>'solution', 'model', k, (m->>'is_correct')::BOOLEAN FROM (
        SELECT line, question, n, k, json_extract("raw", '$."' || k || '"') AS m FROM (
            SELECT line, question, "raw", unnest(json_keys("raw")) AS k,
                generate_subscripts(json_keys("raw"), 1) AS n FROM rows)
    ) WHERE json_type(m) = 'OBJECT'
), bare AS (
    SELECT *, regexp_replace(text, '<<[^<>]*>>', '', 'g') AS shown,
        regexp_extract(text, '(?:####|\nA:)\s*([^\n]*?)\s*$', 1) AS final,
        contains(text, ' ** ') AS socratic FROM given WHERE text IS NOT NULL
)
SELECT line, n, question, origin, author,
    CASE WHEN final <> '' THEN replace(trim(regexp_replace(shown, '\n(####|A:)[^\n]*$', '')), ' ** ', ' ')
        || chr(10) || 'Answer: ' || final ELSE shown END AS content,
    to_json({'final': nullif(final, ''), 'right': "right", 'socratic': socratic})::VARCHAR AS context
FROM bare ORDER BY line, n"""


def read_gsm8k(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the prompts and their solutions of one JSON Lines file. Raises SourceError if the file cannot be
    read.
    """
    for block in read_lines(file, on_bytes=on_bytes):
        rows, bad = parse_json_rows(block.filter(pl.col("raw").str.strip_chars() != ""), _SHAPE)
        answer = pl.coalesce("answer", "ground_truth")
        good, wrong = divide(
            rows,
            (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
            (pl.col("question").fill_null("").str.strip_chars() == "", "'question' is missing or empty"),
            (answer.is_null(), "'answer' (or 'ground_truth') is missing"),
            (
                ~answer.str.contains(r"(?:####|\nA:)\s*\S"),
                "the answer does not end with '#### number' or 'A: number'",
            ),
        )
        with open_scratch() as con:
            con.register("rows", good.to_arrow())
            solutions = query(con, _SOLUTIONS)
        rejects = collect_rejects([bad, wrong], file.name)
        yield Batch(rows.height + bad.height, good.height, _tables(solutions, file.name, context), rejects)


def _tables(solutions: pl.DataFrame, path: str, context: Context) -> dict[str, pl.DataFrame]:
    message = pl.struct(pl.lit("user").alias("role"), pl.col("question").alias("content"))
    asked = add_key(
        solutions.select(
            pl.lit(context.source).alias("source"),
            pl.lit(TASK).alias("task"),
            pl.lit(context.language).alias("language"),
            pl.concat_list(message).alias("messages"),
            pl.col("question").alias("group"),
            pl.lit(path).alias("path"),
            "line",
        ),
        PROMPTS,
    )
    who = pl.col("author").fill_null("reference")
    completions = add_key(
        solutions.select(
            pl.lit(context.source).alias("source"),
            asked["key"].alias("prompt"),
            "content",
            "origin",
            "author",
            pl.format("{}:{}-{}", pl.lit(path), "line", who).alias("ref"),
            "context",
            pl.lit(path).alias("path"),
            "line",
        ),
        COMPLETIONS,
    )
    return {PROMPTS.name: asked, COMPLETIONS.name: completions}
