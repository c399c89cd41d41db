"""Read what a study asks from the store: items, and the explanations that may be drawn for each.

exercise   of `preceptor exercises build`; explained by completions of the prompt that it is made of, or of
           the prompt of a named source that is about the same sentence
card       a prompt of a named source: what was asked, and its completions as explanations. A key to type in
           is read from the prompt's context ("answer" or "answers"); without one the learner grades
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from .....schemas.errors import StudyError
from ....store.connection import Store, query
from ....store.where import check_names

CARD = "flashcard"


@dataclass(frozen=True)
class Content:
    """Items and explanations of a study.

    `items`: id, kind, language, shown, answers, wrong, options, hint, before, after, skills, level, sources
    (of all its texts, explanations too: all their licences apply), prompt (null: no explanations). `arms`:
    prompt, completion, label, content. `left_out`: language, n (items in languages that are not asked for).
    """

    items: pl.DataFrame
    arms: pl.DataFrame
    left_out: pl.DataFrame


# Words that an edit takes away are a wrong answer in its gap, and no tolerance may let them pass.
_EXERCISES = """
SELECT x.key AS id, x.kind, x.language, x.shown, x.answers,
    list_distinct(list_concat(x.distractors, CASE WHEN x.kind = 'rewrite' THEN [x.shown] ELSE [] END,
        coalesce((SELECT list(was) FROM (SELECT array_to_string(s.tokens[e.start + 1 : e."end"], ' ') AS was
            FROM edits e JOIN sentences s ON s.key = e.sentence WHERE e.sentence = x.sentence
                AND e.annotator = x.annotator AND e.position = x.position)
            WHERE was <> '' AND x.kind IN ('cloze', 'choice')), []))) AS wrong,
    CASE WHEN x.kind = 'order' THEN x.words ELSE x.distractors END AS options,
    x.hint, x.before, x.after,
    CASE WHEN x.error_type IS NULL THEN [x.kind] ELSE [x.error_type] END AS skills, x.level, x.sources,
    CASE WHEN x.arms IS NOT NULL THEN x.prompt ELSE q.key END AS prompt
FROM exercises x LEFT JOIN (SELECT ref, min(key) AS key FROM prompts WHERE list_contains($sources, source)
    GROUP BY ref) q ON q.ref = x.sentence
WHERE list_contains($exercises, x.recipe)"""

_CARDS = f"""
SELECT q.key AS id, '{CARD}' AS kind, q.language,
    CASE WHEN len(q.messages) = 1 THEN q.messages[1].content ELSE array_to_string(list_transform(
        list_filter(q.messages, lambda m: m.role <> 'system'),
        lambda m: CASE m.role WHEN 'user' THEN '– ' ELSE '— ' END || m.content), chr(10)) END AS shown,
    list_filter(list_concat(
        CASE WHEN json_type(q.context, '$.answer') IN ('VARCHAR', 'BIGINT', 'UBIGINT', 'DOUBLE')
            THEN [q.context->>'$.answer'] ELSE [] END,
        CASE WHEN json_type(q.context, '$.answers') = 'ARRAY'
            THEN CAST(q.context->'$.answers' AS VARCHAR[]) ELSE [] END),
        lambda a: trim(coalesce(a, '')) <> '') AS answers,
    []::VARCHAR[] AS wrong, []::VARCHAR[] AS options, NULL::VARCHAR AS hint,
    NULL::VARCHAR AS before, NULL::VARCHAR AS after, [q.task] AS skills, NULL::VARCHAR AS level,
    [q.source] AS sources, q.key AS prompt
FROM prompts q WHERE list_contains($sources, q.source)
    AND q.key IN (SELECT prompt FROM completions WHERE origin <> 'learner')
    AND q.key NOT IN (SELECT prompt FROM exercises_shown WHERE prompt IS NOT NULL)"""

_ARMS = """
WITH mine AS (
    SELECT c.prompt, c.key AS completion, c.content, c.source, c.author, c.origin,
        row_number() OVER (PARTITION BY c.prompt ORDER BY c.ref, c.key) AS place,
        count(DISTINCT c.author) OVER (PARTITION BY c.prompt) AS authors,
        count(*) OVER (PARTITION BY c.prompt) AS n
    FROM completions c WHERE c.origin <> 'learner' AND c.prompt IN (SELECT prompt FROM incoming)
        AND (len($arms::VARCHAR[]) = 0 OR list_contains($arms, c.author))
        AND NOT EXISTS (FROM exercises x WHERE x.prompt = c.prompt AND x.arms IS NOT NULL
            AND list_contains($exercises, x.recipe) AND NOT list_contains(x.arms, c.key))
)
SELECT prompt, completion, content, source,
    CASE WHEN authors = n THEN author ELSE place::VARCHAR END AS label FROM mine ORDER BY prompt, label"""


def read_content(
    con: Store,
    exercises: Sequence[str],
    sources: Sequence[str],
    arms: Sequence[str] = (),
    languages: Sequence[str] = (),
) -> Content:
    """Read the items of recipes of exercises and of sources of prompts, in a fixed order.

    `arms` are the authors (such as models) whose completions may be drawn, `languages` those of the items;
    by default all. Raises StudyError if there is nothing to ask, or an author has no completion; StoreError
    for a recipe, source or language that the store does not have.
    """
    if not exercises and not sources:
        raise StudyError("nothing to ask: name --exercises RECIPE, --source SOURCE, or both")
    have = query(con, "SELECT DISTINCT recipe FROM exercises ORDER BY 1")["recipe"]
    check_names("exercises", exercises, have, "recipe", "with exercises")
    have = query(con, "SELECT DISTINCT source FROM prompts ORDER BY 1")["source"]
    check_names("--source", sources, have, "source", "with prompts")
    named = {"exercises": list(exercises), "sources": list(sources)}
    made = query(con, _EXERCISES, named)
    con.register("exercises_shown", made.select("prompt").to_arrow())
    try:
        cards = query(con, _CARDS, {"sources": list(sources)})
    finally:
        con.unregister("exercises_shown")
    items, left_out = _choose_languages(pl.concat([made, cards]).unique("id", keep="first"), languages)
    found = _read_arms(con, items, exercises, arms)
    _check_authors(con, arms, found)
    explained = items["prompt"].is_in(found["prompt"].unique().implode())
    items = items.with_columns(pl.when(explained).then("prompt").alias("prompt"))
    items = items.filter((pl.col("kind") != CARD) | pl.col("prompt").is_not_null())
    if items.is_empty():
        raise StudyError(
            "nothing to ask: neither exercises nor prompts with completions; see preceptor status"
        )
    explaining = found.group_by("prompt").agg(pl.col("source").unique().alias("more"))
    items = (
        items.join(explaining, on="prompt", how="left", maintain_order="left")
        .with_columns(
            pl.col("sources").list.set_union(pl.col("more").fill_null([])).list.sort().alias("sources")
        )
        .drop("more")
    )
    return Content(items, found.drop("source"), left_out)


def _choose_languages(items: pl.DataFrame, languages: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep the items in these languages (all if none is named); also count the others by language."""
    check_names("--language", languages, sorted(items["language"].unique()), "language", "among the items")
    asked = pl.col("language").is_in(list(languages)) if languages else pl.lit(True)
    others = items.filter(~asked).group_by("language").agg(pl.len().alias("n")).sort("language")
    return items.filter(asked).sort("id"), others


def _read_arms(
    con: Store, items: pl.DataFrame, exercises: Sequence[str], arms: Sequence[str]
) -> pl.DataFrame:
    con.register("incoming", items.select("prompt").drop_nulls().unique().to_arrow())
    given = {"arms": list(arms), "exercises": list(exercises)}
    try:
        return query(con, _ARMS, given)
    finally:
        con.unregister("incoming")


def _check_authors(con: Store, arms: Sequence[str], found: pl.DataFrame) -> None:
    have = query(
        con,
        "SELECT DISTINCT author FROM completions WHERE key IN (SELECT unnest($keys::VARCHAR[])) ORDER BY 1",
        {"keys": found["completion"].to_list()},
    )["author"].drop_nulls()
    check_names("--arm", arms, have, "author", "of completions that explain these items")
