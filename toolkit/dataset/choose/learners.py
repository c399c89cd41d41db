"""Tell the tutor about the learner of a row: a system message of a few facts, as they were before the row.

    {"role": "system", "content": "About the learner: level B1; first language uk; often wrong: R:VERB:SVA."}

The learner of a prompt is who wrote the sentence that it is made of, else the one learner of whom there are
outcomes with its completions. Nothing of the row itself is told: errors are those of the learner's other
sentences before it, skills those of answers before the learner met any of its completions. Groups that share
a learner are one, so that no learner is in two splits. Facts come from sources whose licence the row has
anyway.
"""

from typing import Any

import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ....schemas.errors import RecipeError
from ....schemas.recipe import Recipe
from ....schemas.tables import Column, Table
from ...store.connection import Store, query, run
from ...store.quoting import quote_text
from ...store.temporary import make, make_from_frame
from .pairs import find_own_group_sql

WEAK_BELOW, STRONG_ABOVE = 0.6, 0.85  # share of right answers
_ANSWERS = 5  # from which a skill is spoken of
_TIMES = 2  # sentences in which an error recurs
_MOST = 5  # of each kind of fact
_LONGEST = 60  # characters of a name

LEARNERS = Table(
    "learners_told",
    "the learner of a prompt, and until when something may be said of them",
    (
        Column("prompt", "text", "key of the prompt"),
        Column("learner", "text", "pseudonym"),
        Column("sentence", "text", "key of their sentence, of which the prompt is made", nullable=True),
        Column("before", "time", "when they met a completion first; null: not known", nullable=True),
    ),
)
JOINED = Table(
    "joined_groups",
    "groups that share a learner",
    (
        Column("own", "text", "the group as it is without learners"),
        Column("group", "text", "the first of those that it belongs with"),
    ),
)

_WRITERS = """SELECT q.key AS prompt, s.learner, s.key AS sentence, NULL::TIMESTAMPTZ AS before
FROM prompts q JOIN sentences s ON s.key = q.ref WHERE s.learner IS NOT NULL"""

# When a learner met a completion: an outcome's time is that of the answer which decided it, maybe much later.
_TRIERS = f"""
SELECT prompt, min(learner) AS learner, NULL AS sentence, min(met) AS before FROM (
    WITH tried AS (SELECT c.prompt, c.key, c.ref, o.learner, o.source, o."at"
        FROM outcomes o JOIN completions c ON c.key = o.completion WHERE o.learner IS NOT NULL)
    SELECT prompt, learner, "at" AS met FROM tried
    UNION ALL SELECT t.prompt, t.learner, a."at" FROM tried t JOIN assignments a
        ON a.source = t.source AND a.learner = t.learner AND a.completion = t.key
    UNION ALL SELECT t.prompt, t.learner, r."at" FROM tried t JOIN reviews r
        ON r.learner = t.learner AND r.item = t.ref
    UNION ALL SELECT t.prompt, t.learner, r."at" FROM tried t JOIN reviews r
        ON r.learner = t.learner AND r.completion = t.key
) WHERE prompt NOT IN (SELECT prompt FROM ({_WRITERS}))
GROUP BY prompt HAVING count(DISTINCT learner) = 1"""

# A name comes from a corpus or a log: one line, not too long.
_PLAIN = f"left(trim(regexp_replace({{0}}, '\\s+', ' ', 'g')), {_LONGEST})".format
_NAME = _PLAIN("skill")
_MANY = f"array_to_string(list_slice({{0}}, 1, {_MOST}), ', ')".format

_FACTS = f"""
WITH told AS (
    SELECT l.*, arg_min(k.licenses, len(k.licenses)) AS licenses
    FROM learners_told l JOIN kept k ON k.prompt = l.prompt GROUP BY ALL
), own AS (
    SELECT t.prompt, coalesce(any_value(s.level) FILTER (s.key = t.sentence), max(s.level)) AS level,
        coalesce(any_value(s.first_language) FILTER (s.key = t.sentence), min(s.first_language)) AS language
    FROM told t JOIN sentences s ON s.learner = t.learner JOIN sources u ON u.name = s.source
    WHERE list_contains(t.licenses, u.license) GROUP BY t.prompt
), joined AS (
    SELECT t.prompt, min(p.first_language) AS language
    FROM told t JOIN participants p ON p.learner = t.learner JOIN sources u ON u.name = p.source
    WHERE list_contains(t.licenses, u.license) GROUP BY t.prompt
), made AS (
    SELECT t.prompt, e.error_type, count(DISTINCT s.key) AS n
    FROM told t JOIN sentences s ON s.learner = t.learner JOIN edits e ON e.sentence = s.key AND e.start >= 0
        JOIN sources u ON u.name = s.source LEFT JOIN sentences mine ON mine.key = t.sentence
    WHERE list_contains(t.licenses, u.license) AND s.key IS DISTINCT FROM t.sentence
        AND (mine.key IS NULL OR s.source <> mine.source OR s.document <> mine.document
            OR s.position < mine.position) AND s.text IS DISTINCT FROM mine.text
    GROUP BY ALL HAVING n >= {_TIMES}
), errors AS (
    SELECT prompt, {_MANY(f"list({_PLAIN('error_type')} ORDER BY n DESC, error_type)")} AS types
    FROM made GROUP BY prompt
), answered AS (
    SELECT prompt, skill, avg(correct::INTEGER) AS share FROM (
        SELECT t.prompt, unnest(r.skills) AS skill, r.correct FROM told t
        JOIN reviews r ON r.learner = t.learner AND r."at" < t.before JOIN sources u ON u.name = r.source
        WHERE list_contains(t.licenses, u.license) AND r.correct IS NOT NULL AND r.skills IS NOT NULL)
    GROUP BY ALL HAVING count(*) >= {_ANSWERS}
), skills AS (
    SELECT prompt, {_MANY(f"list({_NAME} ORDER BY share, skill) FILTER (share < {WEAK_BELOW})")} AS weak,
        {_MANY(f"list({_NAME} ORDER BY share DESC, skill) FILTER (share > {STRONG_ABOVE})")} AS strong
    FROM answered GROUP BY prompt
)
SELECT t.prompt, t.learner, {_PLAIN("own.level")} AS level,
    {_PLAIN("coalesce(own.language, joined.language)")} AS first_language, errors.types AS recurring_errors,
    skills.weak AS struggles_with, skills.strong AS can, {_PLAIN("q.context->>'$.goal'")} AS goal
FROM told t JOIN prompts q ON q.key = t.prompt LEFT JOIN own USING (prompt) LEFT JOIN joined USING (prompt)
LEFT JOIN errors USING (prompt) LEFT JOIN skills USING (prompt)"""

_WORDS = {
    "level": "level ",
    "first_language": "first language ",
    "recurring_errors": "often wrong: ",
    "struggles_with": "struggles with ",
    "can": "can ",
    "goal": "wants to learn: ",
}

_ADD = """
UPDATE kept SET messages = CASE WHEN messages[1]."role" = 'system'
    THEN list_concat([{'role': 'system', 'content': messages[1].content || chr(10) || chr(10) || t.said}],
        messages[2:])
    ELSE list_concat([{'role': 'system', 'content': t.said}], messages) END
FROM learners_said t WHERE t.prompt = kept.prompt"""


def find_learners(con: Store, recipe: Recipe) -> None:
    """Make `learners_told` of all prompts whose learner is known, and `joined_groups`."""
    make(con, LEARNERS, f"{_WRITERS} UNION ALL {_TRIERS}")
    edges = query(
        con,
        f"""SELECT DISTINCT {find_own_group_sql(recipe)} AS own, l.learner FROM learners_told l
        JOIN prompts q ON q.key = l.prompt ORDER BY ALL""",
    )
    make_from_frame(con, JOINED, _join_groups(edges))


def _join_groups(edges: pl.DataFrame) -> pl.DataFrame:
    """Join groups that share a learner, directly or through others: own, learner -> own, group."""
    group, learner = (edges[name].rank("dense").to_numpy().astype(int) - 1 for name in ("own", "learner"))
    groups = edges["own"].n_unique()
    size = groups + edges["learner"].n_unique()
    links = coo_array(([1] * len(group), (group, groups + learner)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    own = edges.select("own").unique().sort("own").with_columns(pl.Series("part", component[:groups]))
    return own.select("own", pl.col("own").min().over("part").alias("group"))


def tell_learners(con: Store, recipe: Recipe) -> None:
    """Put a system message into the rows of `kept` whose learner something is known of.

    Raises RecipeError if nothing is known of any.
    """
    context = recipe.learner_context
    if context is None:
        return
    facts = ", ".join(f"{quote_text(_WORDS[name])} || nullif({name}, '')" for name in context.facts)
    before, after = (quote_text(part) for part in context.wording.split("{facts}", 1))
    run(
        con,
        f"""CREATE OR REPLACE TEMP TABLE learners_said AS
        SELECT prompt, learner, {before} || facts || {after} AS said
        FROM (SELECT *, concat_ws('; ', {facts}) AS facts FROM ({_FACTS})) WHERE facts <> ''""",
    )
    ((rows, known),) = run(
        con,
        """SELECT count(*), count(*) FILTER (prompt IN (SELECT prompt FROM learners_said)) FROM kept
        WHERE config <> 'exercises'""",
    )
    if rows and not known:
        raise RecipeError(
            f"recipe '{recipe.name}': learner_context: nothing is known of the learner of any of {rows:,} "
            "rows (sentences with a learner, or prompts that one learner alone tried); leave it out"
        )
    run(con, _ADD)


def count_told(con: Store) -> dict[str, Any]:
    """Count the rows that say something of a learner, and these learners, for card and manifest."""
    ((rows, learners),) = run(
        con, "SELECT count(*), count(DISTINCT learner) FROM kept JOIN learners_said USING (prompt)"
    )
    return {"learners": {"rows": rows, "learners": learners}}
