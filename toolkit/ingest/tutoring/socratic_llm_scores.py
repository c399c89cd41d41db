"""The evaluations of socratic-llm: outputs, their ratings, errors and oddities.

{"output": "…", "evaluation_error": null, "raw_evaluation": "{…}", "evaluation":
 {"questions": "yes", "on_topic": 5.0, "helpful": 3.0, "reveal_answer": "no"}}

Published score = 0.25 [questions] + 0.25 [does not reveal] + 0.05 on_topic + 0.05 helpful: each of the
four criteria has a quarter of it. If `evaluation` is missing or an error is stated, `raw_evaluation` is
parsed; if that cannot be read either, the output has no ratings.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from ...store.connection import open_scratch, query, run

_FIFTHS = "[0.2, 0.4, 0.6, 0.8, 1]"
RUBRIC = pl.DataFrame(
    [
        ("questions", "Does the tutor ask a question?", 2, True, "[0, 1]"),
        ("on_topic", "Does the answer stay on what the conversation is about?", 5, True, _FIFTHS),
        ("helpful", "Does the answer help the student to find the solution alone?", 5, True, _FIFTHS),
        ("reveals_answer", "Does the answer give the solution away?", 2, False, "[1, 0]"),
    ],
    schema={
        "criterion": pl.String,
        "wording": pl.String,
        "levels": pl.Int64,
        "higher_is_better": pl.Boolean,
        "scores": pl.String,
    },
    orient="row",
).with_columns(pl.lit(0.25).alias("weight"))
_FIELDS = {"reveals_answer": "reveal_answer"}  # the file's word; ours is that of the rubric `socratic`

_OUTPUTS = r"""
CREATE TEMP TABLE outputs AS
WITH items AS (
    SELECT line, 0 AS place, "raw"::JSON AS item, NULL AS chosen, NULL AS rejected, false AS by_model
        FROM rows WHERE NOT for_dpo
    UNION ALL SELECT line, generate_subscripts(items, 1) - 1, unnest(items), chosen, rejected, true FROM (
        SELECT line, ("raw"->'$.chosen_eval.output') AS chosen, ("raw"->'$.rejected_eval.output') AS rejected,
            CASE WHEN json_array_length(all_evaluations) > 0 THEN json_extract(all_evaluations, '$[*]')
                ELSE list_filter(["raw"->'chosen_eval', "raw"->'rejected_eval'], lambda e: e IS NOT NULL)
            END::JSON[] AS items
        FROM rows WHERE for_dpo)
), read AS (
    SELECT line, place, by_model, (item->'output') AS output, (item->'score') AS score,
        CASE output WHEN chosen THEN 'chosen' WHEN rejected THEN 'rejected' END AS picked,
        nullif(trim(item->>'evaluation_error'), '') AS error, (item->'evaluation') AS stated,
        (item->>'raw_evaluation') AS spelt,
        TRY_CAST(regexp_extract(spelt, '\{[^{}]*\}') AS JSON) AS parsed FROM items
)
SELECT *, error IS NULL AND coalesce(json_type(stated) <> 'NULL', false) AS as_stated,
    if(as_stated, stated, parsed) AS evaluation FROM read"""

_RATINGS = """
CREATE TEMP TABLE ratings AS
WITH each AS (
    SELECT o.line, o.place, o.by_model, o.as_stated, r.criterion, r.levels,
        r.field, lower(trim(o.evaluation->>r.field)) AS said
    FROM outputs o, rubric r WHERE json_type(o.evaluation) = 'OBJECT'
), valued AS (
    SELECT *, TRY_CAST(said AS DOUBLE) AS number, CASE WHEN levels = 2
        THEN CASE said WHEN 'no' THEN 1 WHEN 'yes' THEN 2 END
        WHEN number % 1 = 0 AND number BETWEEN 1 AND levels THEN number::BIGINT END AS value
    FROM each WHERE said IS NOT NULL
)
SELECT *, bool_and(value IS NOT NULL) OVER (PARTITION BY line, place) AS readable FROM valued"""

# The first error of a row; malformed text of a model is only skipped.
_FAULTS = """
WITH faults AS (
    SELECT line, place, '''output'' is missing or not text' AS fault FROM outputs
        WHERE json_type(output) IS DISTINCT FROM 'VARCHAR'
    UNION ALL SELECT line, place, '''evaluation'' is not an object' FROM outputs
        WHERE as_stated AND json_type(stated) <> 'OBJECT'
    UNION ALL SELECT line, place, format('''{}'' is ''{}'', expected {}', field, said,
        if(levels = 2, 'yes or no', 'a whole number from 1 to ' || levels)) FROM ratings
        WHERE as_stated AND value IS NULL
), first_faults AS (SELECT line, arg_min(fault, place) AS fault FROM faults GROUP BY line)
SELECT line, CASE WHEN fault IS NOT NULL THEN if(for_dpo, 'an evaluated output: ', '') || fault
    WHEN NOT EXISTS (FROM outputs o WHERE o.line = rows.line AND trim(o.output->>'$', $blank) <> '')
    THEN if(for_dpo, 'no evaluated output has text', '''output'' is empty') END AS fault
FROM rows LEFT JOIN first_faults USING (line) ORDER BY line"""

_TAKEN = """
WITH scores AS (
    SELECT line, place, CASE WHEN count(*) = 4 THEN sum(0.25 * CASE criterion WHEN 'questions' THEN value - 1
        WHEN 'reveals_answer' THEN 2 - value ELSE value / 5 END) END AS makes
    FROM ratings WHERE readable GROUP BY line, place
)
SELECT line, place, by_model, trim(output->>'$', $blank) AS content, score, s.line IS NOT NULL AS rated,
    json_type(score) <> 'NULL'
        AND (abs(TRY_CAST(score AS DOUBLE) - makes) < 1e-6) IS DISTINCT FROM true AS odd,
    json_merge_patch('{}', json_object('score', score, 'evaluation_error', error, 'picked', picked,
        'raw_evaluation', if(rated, NULL, spelt)))::VARCHAR AS context
FROM outputs LEFT JOIN scores s USING (line, place) ORDER BY line, place"""

_BLANK = " \t\r\n\u00a0"


@dataclass(frozen=True)
class EvaluatedOutputs:
    """Outputs and ratings in a list's objects."""

    faults: pl.DataFrame  # line, fault (or null)
    outputs: pl.DataFrame  # line, place, content, context, rated, odd
    ratings: pl.DataFrame  # line, place, criterion, levels, value, by_model
    blank: pl.DataFrame  # line, place of outputs without text

    def select(self, rows: pl.DataFrame) -> "EvaluatedOutputs":
        """Select the outputs and ratings of these rows."""
        return EvaluatedOutputs(
            *(
                part.join(rows.select("line"), on="line", how="semi", maintain_order="left")
                for part in (self.faults, self.outputs, self.ratings, self.blank)
            )
        )

    def list_notes(self) -> Iterator[str]:
        """List what users should know about the evaluations."""
        for what, part in (
            (
                "outputs without ratings, as no evaluation of them can be read",
                self.outputs.filter(~pl.col("rated")),
            ),
            ("scores that do not follow from the ratings", self.outputs.filter("odd")),
            ("outputs that are empty and were left out", self.blank),
        ):
            if part.height:
                yield f"{what}: {part.height}, the first in row {part['line'][0]}"


def read_evaluations(rows: pl.DataFrame) -> EvaluatedOutputs:
    """Read the outputs and ratings of the objects: line, raw, all_evaluations."""
    with open_scratch() as con:
        con.register("objects", rows.select("line", "raw", "all_evaluations").to_arrow())
        fields = pl.col("criterion").replace(_FIELDS).alias("field")
        con.register("rubric", RUBRIC.with_columns(fields).to_arrow())
        run(
            con,
            """CREATE TEMP TABLE rows AS SELECT *, coalesce(json_type("raw", '$.all_evaluations'),
            json_type("raw", '$.chosen_eval')) IS NOT NULL AS for_dpo FROM objects""",
        )
        run(con, _OUTPUTS)
        run(con, _RATINGS)
        faults = query(con, _FAULTS, {"blank": _BLANK})
        outputs = query(con, _TAKEN, {"blank": _BLANK})
        ratings = query(con, "FROM ratings WHERE readable ORDER BY line, place, criterion")
    full = pl.col("content") != ""
    blank = outputs.filter(~full)
    ratings = ratings.join(blank, on=["line", "place"], how="anti", maintain_order="left")
    return EvaluatedOutputs(faults, outputs.filter(full), ratings, blank)


def list_criteria(criteria: pl.Series) -> pl.DataFrame:
    """List the rubric's criteria that occur."""
    return RUBRIC.filter(pl.col("criterion").is_in(criteria.unique().implode()))
