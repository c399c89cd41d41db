"""Make exercises of prompts and their completions: flashcards, worked problems and next moves, in SQL.

    flashcard  Subservient           explanations: the prompt's completions, A or B
    problem    Natalia sold … May?   72; explanations: the worked solutions that end in it
    move       the dialogue so far   What is half of 48?; not: You must divide it by 2. (said later)

A problem's key is the number that every reference solution ends in; a problem is left out if two of them
differ, or if a solution that its source marks as right or wrong says otherwise. The key of a move is what the
teacher asked in that place; its wrong options are turns that tell what to do, said elsewhere about the same
problem.
"""

from decimal import Decimal
from typing import Any

import polars as pl

from ....schemas.support.numbers import find_marked_number
from ....schemas.tables import Column, Table
from ...dataset.choose.pairs import NORMAL
from ...store.connection import Store, query
from ...store.temporary import drop, make_from_frame
from .recipe import Exercises, Kind

ASKING, TELLING = ("probing", "focus"), "telling"  # MathDial's moves

NUMBERS = Table(
    "practice_numbers",
    "the number that a solution ends in",
    (
        Column("prompt", "text", "key of the problem"),
        Column("completion", "text", "key of the solution"),
        Column("number", "text", "after its last Answer: or ####, in digits; null: none", nullable=True),
        Column("written", "text", "the same with commas between thousands", nullable=True),
        Column("reference", "bool", "true if it is a reference"),
        Column("right", "bool", "as its source marks it; null where it does not", nullable=True),
    ),
)
_MARK = r"(?i)(?:####|\banswer[ \t*_]*:)[^\n]*"
_SOLUTIONS = f"""
SELECT c.prompt, c.key AS completion, c.origin = 'reference' AS reference,
    TRY_CAST(c.context->>'right' AS BOOLEAN) AS "right",
    array_to_string(regexp_extract_all(c.content, '{_MARK}'), chr(10)) AS marked
FROM completions c JOIN prompts q ON q.key = c.prompt
WHERE {{0}} AND len(q.messages) = 1 AND EXISTS (FROM completions r WHERE r.prompt = q.key
    AND r.origin = 'reference' AND regexp_matches(r.content, '{_MARK}'))""".format

# Every reference ends in the number, and so does just what is marked as right.
AGREED = """
SELECT prompt, any_value(number) FILTER (reference) AS number,
    any_value(written) FILTER (reference) AS written,
    min(completion) FILTER (reference) AS completion
FROM (SELECT *, min(number) FILTER (reference) OVER (PARTITION BY prompt) AS key FROM practice_numbers)
GROUP BY prompt
HAVING bool_or(reference) AND bool_and(number IS NOT NULL AND number = key) FILTER (reference)
    AND coalesce(bool_and(coalesce(number = key, false) = "right") FILTER ("right" IS NOT NULL), true)"""

# A dialogue as the learner of the next move reads it.
WRITE_DIALOGUE = """array_to_string(list_transform(list_filter({0}, lambda m: m.role <> 'system'),
    lambda m: CASE m.role WHEN 'user' THEN 'Student: ' ELSE 'Teacher: ' END || m.content), chr(10))""".format

MOVES = """
SELECT c.key, c.prompt, c.source, c.path, c.line, c.content, q."group", q.messages,
    TRY_CAST(string_split(c.ref, '-')[-1] AS BIGINT) AS nth,
    from_json(c.context->'act', '["VARCHAR"]') AS acts
FROM completions c JOIN prompts q ON q.key = c.prompt
WHERE json_type(c.context->'act') = 'ARRAY'"""
IS_ASKING = f"(len(acts) > 0 AND len(list_filter(acts, lambda a: a NOT IN {ASKING})) = 0)"
IS_TELLING = f"(list_distinct(acts) = ['{TELLING}'])"

_NONE = "[]::VARCHAR[]"
_OF_SOURCES = "list_contains($sources::VARCHAR[], {0}.source)".format
# A term with all its meanings, those of the first lines first.
_TERMS = f"""
SELECT language, word, min_by(key, place) AS key, min_by(term, place) AS term,
    min_by(source, place) AS source,
    list(gloss ORDER BY place) AS glosses, list_sort(list_distinct(flatten(list(sources)))) AS sources
FROM (SELECT language, {NORMAL("term")} AS word, gloss, min((source, path, line, key)) AS place,
        min_by(key, (source, path, line, key)) AS key, min_by(term, (source, path, line, key)) AS term,
        min(source) AS source, list(DISTINCT source) AS sources
    FROM lexicon WHERE gloss IS NOT NULL AND {_OF_SOURCES("lexicon")} GROUP BY ALL)
GROUP BY language, word"""
_SELECTS: dict[Kind, str] = {
    # No problem with a right answer, no learner's sentence to be corrected, no turn of a dialogue.
    "flashcard": f"""
        SELECT 'flashcard' AS kind, q.source, q.language, q.messages[1].content AS shown,
            coalesce(t.glosses, []) AS answers, {_NONE} AS distractors, {_NONE} AS words, q.key AS prompt,
            t.key AS term, c.arms,
            list_sort(list_distinct(list_concat(c.sources, t.sources, [q.source]))) AS sources
        FROM prompts q JOIN (
            SELECT prompt, list(key ORDER BY key) AS arms, list(DISTINCT source) AS sources FROM (
                SELECT c.* FROM completions c
                WHERE {_OF_SOURCES("c")} AND coalesce(TRY_CAST(c.context->>'right' AS BOOLEAN), true)
                QUALIFY row_number() OVER (PARTITION BY c.prompt, {NORMAL("c.content")} ORDER BY c.key) = 1)
            GROUP BY prompt) c ON c.prompt = q.key
        LEFT JOIN ({_TERMS}) t ON t.language = q.language AND t.word = {NORMAL("q.messages[1].content")}
        WHERE {_OF_SOURCES("q")} AND len(q.messages) = 1 AND q.task NOT IN ('gec', 'tutor')
            AND q.key NOT IN (SELECT prompt FROM practice_numbers)
        UNION ALL BY NAME
        SELECT 'flashcard' AS kind, t.source, t.language, t.term AS shown, t.glosses AS answers,
            {_NONE} AS distractors, {_NONE} AS words, t.key AS term, {_NONE} AS arms, t.sources
        FROM ({_TERMS}) t WHERE NOT EXISTS (FROM prompts q JOIN completions c ON c.prompt = q.key
            WHERE {_OF_SOURCES("q")} AND {_OF_SOURCES("c")} AND len(q.messages) = 1
                AND q.task NOT IN ('gec', 'tutor') AND q.language = t.language
                AND {NORMAL("q.messages[1].content")} = t.word)""",
    "problem": f"""
        SELECT 'problem' AS kind, q.source, q.language, q.messages[1].content AS shown,
            CASE WHEN a.written = a.number THEN [a.number] ELSE [a.number, a.written] END AS answers,
            {_NONE} AS distractors, {_NONE} AS words, q.key AS prompt, a.completion,
            s.arms, [q.source] AS sources
        FROM ({AGREED}) a JOIN prompts q ON q.key = a.prompt JOIN (
            SELECT prompt, list(key ORDER BY key) AS arms FROM (
                SELECT c.prompt, min(c.key) AS key FROM completions c
                JOIN practice_numbers n ON n.completion = c.key WHERE n.reference
                GROUP BY c.prompt, {NORMAL("c.content")}) GROUP BY prompt) s ON s.prompt = a.prompt""",
    "move": f"""
        WITH moves AS ({MOVES}), asked AS (
            SELECT * FROM moves WHERE {IS_ASKING} AND {_OF_SOURCES("moves")}
        ), wrong AS (
            SELECT a.key, t.content, row_number() OVER (PARTITION BY a.key, {NORMAL("t.content")} ORDER BY
                t.path = a.path AND t.line = a.line DESC, t.nth, t.path, t.line) AS again,
                t.path = a.path AND t.line = a.line AS own, t.nth, t.path, t.line
            FROM asked a JOIN moves t ON t.source = a.source AND t."group" = a."group"
                AND (t.path <> a.path OR t.line <> a.line OR t.nth > a.nth)
            WHERE {IS_TELLING.replace("acts", "t.acts")} AND NOT EXISTS (FROM moves o
                WHERE o."group" = a."group" AND o.messages = a.messages
                    AND {NORMAL("o.content")} = {NORMAL("t.content")})
        ), options AS (
            SELECT key, list(content ORDER BY nth_best) AS distractors FROM (
                SELECT key, content, row_number() OVER (PARTITION BY key ORDER BY own DESC, nth, path, line)
                    AS nth_best FROM wrong WHERE again = 1)
            WHERE nth_best <= $most GROUP BY key
        )
        SELECT 'move' AS kind, q.source, q.language, {WRITE_DIALOGUE("q.messages")} AS shown,
            [trim(a.content)] AS answers, o.distractors, {_NONE} AS words, q.key AS prompt,
            a.key AS completion, [q.source] AS sources
        FROM asked a JOIN options o USING (key) JOIN prompts q ON q.key = a.prompt""",
}


def choose_from_completions(con: Store, recipe: Exercises) -> str:
    """Make the temporary table of final numbers; return the SELECT of the exercises.

    Its columns are those of the table `exercises` but key and recipe; nullable ones may be missing.
    Parameters: $sources, and $most with next moves.
    """
    read_numbers(con, _OF_SOURCES("q"), {"sources": recipe.sources})
    kinds = [kind for kind in dict.fromkeys(recipe.exercises) if kind in _SELECTS]
    return " UNION ALL BY NAME ".join(f"({_SELECTS[kind]})" for kind in kinds)


def read_numbers(con: Store, which: str, parameters: dict[str, Any]) -> None:
    """Make `practice_numbers` of the problems `q` for which the condition `which` holds."""
    solutions = query(con, _SOLUTIONS(which), parameters)
    texts = solutions["marked"].unique(maintain_order=True).to_list()
    read = [find_marked_number(text) for text in texts]
    numbers = pl.DataFrame(
        {
            "marked": texts,
            "number": [None if one is None else f"{one:f}" for one in map(_shorten, read)],
            "written": [None if one is None else f"{one:,f}" for one in map(_shorten, read)],
        },
        schema={"marked": pl.String, "number": pl.String, "written": pl.String},
    )
    make_from_frame(con, NUMBERS, solutions.join(numbers, on="marked", how="left", maintain_order="left"))


def _shorten(number: Decimal | None) -> Decimal | None:
    """Drop needless zeros: 18.00 is 18."""
    return None if number is None else number.normalize()


def drop_numbers(con: Store) -> None:
    """Drop the temporary table."""
    drop(con, NUMBERS)
