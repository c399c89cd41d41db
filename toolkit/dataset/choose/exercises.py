"""Config `exercises`: exercises with proven keys as rows of a dataset, checked by the gates like all rows.

An exercise is in the dataset if all its sources are the recipe's; of those that learners cannot tell apart,
one is. Its group is its sentence's document, else the sentence itself, or its prompt's group, so that one
text is in one split.
"""

from ....schemas.errors import RecipeError
from ....schemas.published import declare_published
from ....schemas.recipe import Recipe
from ....schemas.tables import Table
from ...privacy.published_keys import write_published_sql
from ...store.connection import Store, run
from ...store.temporary import make
from ..steps import SPLIT
from .pairs import NO_FIT, NORMAL, assign_split_sql

EXERCISES_KEPT = Table(
    "exercises_kept",
    "an exercise of the dataset, in the order in which it is written",
    (*declare_published("exercises", True).columns, SPLIT),
)
KINDS = {
    "cloze": "fills the gap",
    "choice": "chooses what fills the gap",
    "spot": "finds the error",
    "rewrite": "writes the sentence without errors",
    "order": "puts the words in order",
    "flashcard": "recalls what the term means; an explanation helps",
    "problem": "finds the number",
    "move": "chooses what the teacher asks next",
    "question": "answers a question about a passage; a model wrote it",
}
"""What the learner does in an exercise of each kind."""
TEXTS = {
    "messages": "[{'role': 'user', 'content': concat_ws(chr(10), before, shown, after)}]",
    "chosen_content": """array_to_string(
        list_concat(answers, distractors, explanations, [hint]), chr(10))""",
}
"""Columns of `kept` that hold all texts of an exercise, for the gates, as SQL of the published columns."""

_SELECT = f"""
WITH picked AS (
    SELECT x.*, coalesce(
        CASE WHEN s.document <> s.path THEN s.source || '/' || s.document ELSE {NORMAL("s.text")} END,
        q."group", {NORMAL("x.shown")}) AS "group"
    FROM exercises x LEFT JOIN sentences s ON s.key = x.sentence LEFT JOIN prompts q ON q.key = x.prompt
    WHERE len($sources) = 0 OR list_has_all($sources::VARCHAR[], x.sources)
    QUALIFY row_number() OVER (PARTITION BY x.kind, x.language, x.shown, x.answers, x.distractors, x.words,
        x.arms ORDER BY x.recipe, x.key) = 1
), licensed AS (
    SELECT p.key, list(DISTINCT s.license ORDER BY s.license) AS licenses
    FROM (SELECT key, unnest(sources) AS name FROM picked) p JOIN sources s USING (name) GROUP BY p.key
), explained AS (
    SELECT p.key, list(c.content ORDER BY c.key) AS explanations
    FROM (SELECT key, unnest(arms) AS arm FROM picked) p JOIN completions c ON c.key = p.arm GROUP BY p.key
)
SELECT p.key, p.kind, p.language, p.shown, p.answers, p.distractors, p.words,
    coalesce(e.explanations, []) AS explanations, p.hint, p.before, p.after, p.error_type, p.band, p.level,
    p."group", p.sources, array_to_string(l.licenses, ' AND ') AS license, {{split}} AS split
FROM picked p JOIN licensed l USING (key) LEFT JOIN explained e USING (key)
ORDER BY split, {write_published_sql("p.key")}"""
# What the gates look at; the table that is written has the rest.
_KEEP = f"""
INSERT INTO kept BY NAME
SELECT 'exercises' AS config, x.split, x.key, stored.prompt, x.kind AS made,
    stored.completion AS chosen_completion, NULL AS rejected_completion, {NO_FIT}, 'exercise' AS task,
    x."group", x.language, x.sources, string_split(x.license, ' AND ') AS licenses, x.license,
    {", ".join(f"{text} AS {name}" for name, text in TEXTS.items())}, NULL AS rejected_content
FROM (SELECT rowid AS place, * FROM exercises_kept) x
JOIN (SELECT key, prompt, completion FROM exercises) stored USING (key) ORDER BY x.place"""


def keep_exercises(con: Store, recipe: Recipe) -> None:
    """Make `exercises_kept`, and add its rows to `kept`.

    Raises RecipeError if the store has no exercises of the recipe's sources.
    """
    select = _SELECT.format(split=assign_split_sql(recipe))
    make(con, EXERCISES_KEPT, select, {"sources": recipe.sources})
    run(con, _KEEP)
    ((n,),) = run(con, "SELECT count(*) FROM exercises_kept")
    if not n:
        of = f" of {', '.join(recipe.sources)} alone" if recipe.sources else ""
        raise RecipeError(
            f"recipe '{recipe.name}': config exercises: the store has no exercises{of}; make them first "
            "(preceptor exercises build RECIPE), or name all their sources"
        )
