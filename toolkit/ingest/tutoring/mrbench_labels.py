"""MRBench's labels as levels of criteria, and a row's replies as tables.

{"Gemini": {"response": "Count again.", "annotation": {"Tutor_Tone": "Neutral", …}}}

The label for whether a revealed answer is correct stays in the completion's context, with all labels as
published.
"""

import polars as pl

from ...store.connection import open_scratch, query

_REVEALING = "Revealing_of_the_Answer"
_PLAIN = ("No", "To some extent", "Yes")
_WORDINGS = {
    "Mistake_Identification": "Does the reply recognise that the student made a mistake?",
    "Mistake_Location": "Does the reply point to where the mistake is?",
    _REVEALING: "Does the reply give the final answer away, right or wrong?",
    "Providing_Guidance": "Does the reply help the student on, with a hint, an explanation or a question?",
    "Actionability": "Is it clear from the reply what the student should do next?",
    "humanlikeness": "Does the reply sound like a person?",
    "Coherence": "Does the reply follow from what the student said?",
    "Tutor_Tone": "Is the tone encouraging, neutral or offensive?",
}
# Labels from the lowest level up, where they are not No, To some extent, Yes.
_OWN = {_REVEALING: ("No", "Yes"), "Tutor_Tone": ("Offensive", "Neutral", "Encouraging")}
_LOWER_IS_BETTER = (_REVEALING,)

RUBRIC = pl.DataFrame(
    [(name, wording, name not in _LOWER_IS_BETTER) for name, wording in _WORDINGS.items()],
    schema={"criterion": pl.String, "wording": pl.String, "higher_is_better": pl.Boolean},
    orient="row",
)
# The empty criterion is for those that later versions may add.
_LEVELS = pl.DataFrame(
    [
        (name, label.lower(), level, len(labels), ", ".join(labels))
        for name in (*_WORDINGS, "")
        for labels in (_OWN.get(name, _PLAIN),)
        for level, label in enumerate(labels, 1)
    ],
    schema={
        "criterion": pl.String,
        "label": pl.String,
        "value": pl.Int64,
        "levels": pl.Int64,
        "expected": pl.String,
    },
    orient="row",
)

_REPLIES = """
WITH replies AS (
    SELECT line, e.id AS place, e.key AS tutor, e.value AS reply, e.value->'annotation' AS annotation
    FROM rows, json_each(rows.replies) e WHERE json_type(rows.replies) = 'OBJECT'
)"""

# A null annotation is treated as a missing one; so is a null label.
_JUDGED = f"""
{_REPLIES}, criteria AS (
    SELECT criterion, lower(criterion) AS name, any_value(levels) AS levels, any_value(expected) AS expected
    FROM scale GROUP BY criterion
), said AS (
    SELECT line, place, tutor, e.id AS dimension, e.key AS name, trim(e.value->>'$') AS label
    FROM replies, json_each(annotation) e
    WHERE json_type(annotation) = 'OBJECT' AND json_type(e.value) <> 'NULL'
), named AS (
    SELECT said.* EXCLUDE (name), coalesce(c.criterion, said.name) AS criterion,
        coalesce(c.criterion, '') AS like_criterion
    FROM said LEFT JOIN criteria c ON c.name = lower(said.name)
), labels AS (
    SELECT n.*, c.levels, c.expected, s.value
    FROM named n JOIN criteria c ON c.criterion = like_criterion
    LEFT JOIN scale s ON s.criterion = like_criterion AND s.label = if(
        like_criterion = '{_REVEALING}', regexp_extract(lower(n.label), '^(no$|yes\\b)', 1), lower(n.label))
)"""

_WRONG = f"""
{_JUDGED}, faults AS (
    SELECT line, max(place) AS place, 0 AS part, tutor, 'is there twice' AS fault
        FROM replies GROUP BY line, tutor HAVING count(*) > 1
    UNION ALL SELECT line, place, 1, tutor, 'has no text as ''response''' FROM replies
        WHERE json_type(reply->'response') IS DISTINCT FROM 'VARCHAR'
            OR NOT regexp_matches(reply->>'response', '[^\\s\\x{{a0}}]')
    UNION ALL SELECT line, place, 2, tutor, 'has an ''annotation'' that is not an object' FROM replies
        WHERE json_type(annotation) NOT IN ('OBJECT', 'NULL')
    UNION ALL SELECT line, place, 3 + dimension, tutor,
        format('has {{}} ''{{}}'', expected {{}}', criterion, label, expected) FROM labels WHERE value IS NULL
    UNION ALL SELECT line, max(place), 3 + max(dimension), tutor, format('has {{}} twice', criterion)
        FROM labels GROUP BY line, tutor, criterion HAVING count(*) > 1
), first_faults AS (
    SELECT line, arg_min(format('''{{}}'' {{}}', tutor, fault), (place, part)) AS fault
    FROM faults GROUP BY line
)
SELECT CASE WHEN json_type(replies) IS DISTINCT FROM 'OBJECT' OR json_keys(replies) = []
        THEN 'no replies under ''anno_llm_responses'' or ''tutor_responses'''
    ELSE fault END AS wrong
FROM rows LEFT JOIN first_faults USING (line) ORDER BY line"""

_TABLE = f"""
{_REPLIES} SELECT line, tutor, reply->>'response' AS response,
    if(json_type(annotation) = 'OBJECT', json_object('labels', annotation)::VARCHAR, NULL) AS context
FROM replies ORDER BY line, place"""

_RATED = f"{_JUDGED} SELECT line, tutor, criterion, value, levels FROM labels ORDER BY line, place, dimension"


def find_wrong_replies(rows: pl.DataFrame) -> pl.Series:
    """Check the `replies` (JSON) of each row: what is wrong, null if nothing is."""
    return _over(rows, _WRONG)["wrong"]


def extract_replies(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Extract the replies and ratings of each row.

    Replies: line, tutor, response, context. Ratings: line, tutor, criterion, value, levels.
    """
    return _over(rows, _TABLE), _over(rows, _RATED)


def _over(rows: pl.DataFrame, sql: str) -> pl.DataFrame:
    with open_scratch() as con:
        con.register("rows", rows.select("line", "replies").to_arrow())
        con.register("scale", _LEVELS.to_arrow())
        return query(con, sql)
