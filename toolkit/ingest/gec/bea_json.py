"""W&I+LOCNESS and FCE as published for BEA-2019: one text a line, edits by character offsets.

    {"text": "I has a dog.", "id": "1-1", "userid": "7", "cefr": "A1.i",
     "edits": [[0, [[2, 5, "have", "R:VERB:SVA"], [11, 12, null, "UNK"]]]]}

Bryant et al., The BEA-2019 Shared Task (2019). A null correction: an error that was seen, not
corrected. The type may be absent. A row is a text or an edit; the rest of the object becomes the
sentence's context.
"""

from collections.abc import Iterator

import polars as pl

from ...store.connection import open_scratch, parse_json_rows, query
from ..batch import FORGOTTEN_REASON, Batch, Context, divide
from ..files.numbered_lines import Input, OnBytes, read_lines
from ..people import hide_ids, replace_ids
from .edits.character_edits import make_batch
from .edits.whole import ANYONE

_SHAPE = {
    "text": "VARCHAR",
    "id": "VARCHAR",
    "userid": "VARCHAR",
    "cefr": "VARCHAR",
    "l1": "VARCHAR",
    "edits": "JSON",
}

_IS_GROUP = """coalesce(json_type(g) = 'ARRAY' AND json_array_length(g) = 2
    AND json_type(g, '$[0]') NOT IN ('ARRAY', 'OBJECT') AND json_type(g, '$[1]') = 'ARRAY', false)"""
_EDITS = f"""
WITH groups AS (
    SELECT line, unnest(json_extract(edits, '$[*]')::JSON[]) AS g FROM rows
), each AS (
    SELECT line, g->>0 AS annotator, unnest(json_extract(g, '$[1][*]')::JSON[]) AS e FROM groups
    WHERE {_IS_GROUP}
)
SELECT line AS doc, line, coalesce(annotator, '0') AS annotator, e::VARCHAR AS raw,
    CASE WHEN json_type(e, '$[0]') IN ('UBIGINT', 'BIGINT') THEN (e->>0)::BIGINT END AS start,
    CASE WHEN json_type(e, '$[1]') IN ('UBIGINT', 'BIGINT') THEN (e->>1)::BIGINT END AS "end",
    e->>2 AS correction, coalesce(e->>3, '') AS error_type,
    CASE WHEN json_type(e) <> 'ARRAY' OR json_array_length(e) NOT IN (3, 4)
        THEN 'expected [start, end, correction or null] or [start, end, correction or null, type]'
        WHEN json_type(e, '$[2]') NOT IN ('VARCHAR', 'NULL') THEN 'the correction is neither text nor null'
        WHEN json_type(e, '$[3]') NOT IN ('VARCHAR', 'NULL') THEN 'the type is neither text nor null'
        END AS wrong
FROM each
UNION ALL
SELECT line, line, '{ANYONE}', g::VARCHAR, NULL, NULL, NULL, '', 'expected [annotator, [edits]]'
FROM groups WHERE NOT {_IS_GROUP}"""

_DOCUMENTS = """
SELECT line AS doc, line, coalesce(id, name || ':' || line) AS document, text, userid AS learner,
    cefr AS level, l1 AS first_language,
    list_transform(json_extract(edits, '$[*]')::JSON[], lambda g: coalesce(g->>0, '0')) AS annotators,
    nullif(json_merge_patch("raw",
        '{"text":null,"edits":null,"id":null,"userid":null,"cefr":null,"l1":null}')::VARCHAR, '{}') AS context
FROM rows"""


def read_bea(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the texts and edits of one JSON Lines file. Raises SourceError if the file cannot be read."""
    position = 0
    for block in read_lines(file, on_bytes=on_bytes):
        rows, bad = parse_json_rows(block.filter(pl.col("raw").str.strip_chars() != ""), _SHAPE)
        rows = replace_ids(rows, context, ("userid",))
        edits_ok = pl.col("edits").is_null() | pl.col("edits").str.starts_with("[")
        good, unusable = divide(
            rows,
            (pl.col("gone"), FORGOTTEN_REASON),
            (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
            (pl.col("text").fill_null("").str.strip_chars() == "", "'text' is missing or empty"),
            (~edits_ok, "'edits' is not a list"),
        )
        with open_scratch() as con:
            con.register("rows", good.with_columns(pl.lit(file.name).alias("name")).to_arrow())
            documents, edits = query(con, _DOCUMENTS), query(con, _EDITS)
        here = pl.lit(file.name).alias("path")
        wrong = pl.col("wrong").is_not_null()
        lost = edits.filter(wrong).group_by("doc").agg(pl.col("annotator").unique().sort().alias("lost"))
        documents = documents.join(lost, on="doc", how="left", maintain_order="left")
        edits, odd = divide(edits, (wrong, pl.col("wrong")))
        hidden = hide_ids(bad, unusable, rows.drop("mistyped"), ("userid",))
        rejects = pl.concat([part.select(here, "line", "raw", "reason") for part in (*hidden, odd)])
        batch = make_batch(documents.with_columns(here), edits.with_columns(here), rejects, context, position)
        position += batch.tables["sentences"].height
        yield batch
