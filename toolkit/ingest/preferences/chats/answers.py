"""Rows of several answers, divided in SQL into one row an answer, and votes of arenas as pairs.

    {"instruction": "…", "completions": [{"model": "a", "response": "…", "overall_score": 8.5,
        "annotations": {"helpfulness": {"Rating": "4"}}}, …]}                         UltraFeedback
    {"instruction": "…", "generations": ["…", "…"], "ratings": [5, 2]}                 distilabel
    {"prompt": {"role": "prompter", "text": "…", "replies": [
        {"role": "assistant", "text": "…", "rank": 0, "replies": […]}]}}               OpenAssistant's trees
    {"conversation_a": […], "conversation_b": […], "winner": "model_a", "judge": "…"}  arenas
    {"prompt": "…", "response_a": "…", "response_b": "…", "winner_model_a": 0, "winner_tie": 1}

A rating is a whole number from 1 to 5, or to `levels`; `overall_score` goes from 1 to 10 in steps of a half,
which are 19 levels. The lower rank of two replies to one message is the better one. "tie (bothbad)" is a tie.
Empty and deleted answers are left out.
"""

import polars as pl

from ....store.connection import open_scratch, query
from .dialects import ASKED, check_given

OVERALL, RATING = "overall", "rating"
LEVELS, _OVERALL_LEVELS = 5, 19
OF_PAIRS = ("status", "chosen_model", "rejected_model", "chosen-model", "rejected-model")
SEVERAL = (
    *("completions", "generations", "ratings", "rating", "generation_models", "model_names", "models"),
    *("rationales", "conversation_a", "conversation_b", "response_a", "response_b", "model_a", "model_b"),
    *("winner", "winner_model_a", "winner_model_b", "winner_tie", "judge", "turn", "tstamp", "timestamp"),
    "message_tree_id",
)
_OF_ANSWERS = ("response", "model", "overall_score", "annotations", "critique", "fine-grained_score")
_OF_REPLIES = ("message_id", "text", "role", "rank", "replies", "lang", "deleted", "synthetic", "model_name")
_PAIRED = [
    "chosen",
    "rejected",
    "completion",
    "preferred_output",
    "non_preferred_output",
    "rejected_response",
]
_ONE_BY_ONE = ("tree", "completions", "generations")
_BOTH_BAD = ("tie (bothbad)", "tie (both bad)", "both_bad", "bothbad", "both bad")
_WINNERS = {"a": ("a", "model_a"), "b": ("b", "model_b"), "tie": ("tie", *_BOTH_BAD)}


def _is_list(field: str) -> str:
    return f"coalesce(json_type(raw, '$.{field}'), '') = 'ARRAY'"


def _first_list(*fields: str) -> str:
    """SQL: the elements of the first of these fields that is a list."""
    cases = " ".join(f"WHEN {_is_list(field)} THEN json_extract(raw, '$.{field}[*]')" for field in fields)
    return f"CASE {cases} END"


def _texts(field: str) -> str:
    """SQL: the texts of a field: of a list, of a list that is written as text, or the one text."""
    text = f"raw->>'$.{field}'"
    return f"""CASE json_type(raw, '$.{field}') WHEN 'ARRAY' THEN json_extract(raw, '$.{field}[*]')
        WHEN 'VARCHAR' THEN CASE WHEN regexp_matches({text}, '^\\s*\\[\\s*"') AND json_valid({text})
            THEN json_extract(({text})::JSON, '$[*]') ELSE [raw->'$.{field}'] END END"""


def _side(side: str) -> str:
    """SQL: the conversation of one side of an arena, as far as it was judged."""
    talk, items = f"conversation_{side}", f"json_extract(raw, '$.conversation_{side}[*]')"
    end = f"2 * TRY_CAST(raw->>'$.turn' AS BIGINT) + (raw->>'$.{talk}[0].role' = 'system')::INT"
    return f"""CASE WHEN {_is_list(talk)} THEN to_json({items}[:coalesce({end}, len({items}))])
        WHEN {check_given(talk)} THEN raw->'$.{talk}'
        ELSE to_json(flatten(list_transform(list_zip({_texts("prompt")}, {_texts(f"response_{side}")}),
            lambda z: [json_object('role', 'user', 'content', z[1]),
                json_object('role', 'assistant', 'content', z[2])]))) END"""


def _won() -> str:
    """SQL: the word for the winner of an arena's row, also where each has a column of its own."""
    cases = " ".join(
        f"WHEN lower(raw->>'$.winner_{name}') IN ('1', '1.0', 'true') THEN '{name}'"
        for name in ("model_a", "model_b", "tie")
    )
    return f"coalesce(nullif(lower(trim(raw->>'$.winner')), ''), CASE {cases} END)"


# Fields that are null are as if they were not there: tables have every field in every row.
_FORMED = f"""
filled AS (SELECT * REPLACE (CASE WHEN contains(raw, 'null') THEN json_merge_patch('{{}}', raw)::VARCHAR
    ELSE raw END AS raw) FROM given), named AS (SELECT *, json_keys(raw) AS names FROM filled
), formed AS MATERIALIZED (
    SELECT *, CASE WHEN list_has_any(names, {_PAIRED}) THEN NULL
        WHEN json_type(raw, '$.prompt.replies') = 'ARRAY' THEN 'tree'
        WHEN list_contains(names, 'completions') AND json_type(raw, '$.completions[0].response') IS NOT NULL
            THEN 'completions'
        WHEN {_is_list("generations")} THEN 'generations'
        WHEN list_has_any(names, ['conversation_a', 'response_a'])
            AND list_has_any(names, ['winner', 'winner_model_a', 'winner_tie']) THEN 'arena' END AS form
    FROM named
)"""

# One row a message of a tree, with the messages before it; `among` is its place in the tree.
_NODES = """
nodes AS (
    SELECT line, raw->'$.prompt' AS node, []::JSON[] AS past, '' AS among,
        raw->>'$.prompt.message_id' AS parent, coalesce(raw->>'$.prompt.deleted', '') = 'true' AS deleted
    FROM formed WHERE form = 'tree'
    UNION ALL
    SELECT line, child, list_append(past, json_object('content', node->'$.text', 'role',
            CASE node->>'$.role' WHEN 'prompter' THEN 'user' ELSE node->>'$.role' END)),
        among || '.' || i, node->>'$.message_id', deleted OR coalesce(child->>'$.deleted', '') = 'true'
    FROM (SELECT *, unnest(json_extract(node, '$.replies[*]')) AS child,
        generate_subscripts(json_extract(node, '$.replies[*]'), 1) AS i FROM nodes)
)"""
_REPLIES = f"""
replies AS (
    SELECT line, row_number() OVER (PARTITION BY line ORDER BY among) AS i, to_json(past) AS asked,
        node->'$.text' AS content, node->>'$.message_id' AS own, parent,
        regexp_replace(among, '\\.\\d+$', '') AS among, TRY_CAST(node->>'$.rank' AS BIGINT) AS rank,
        CASE WHEN node->>'$.synthetic' = 'true' THEN coalesce(node->>'$.model_name', 'model') END AS author,
        deleted, list_filter(json_keys(node), lambda k: k NOT IN {_OF_REPLIES}) AS inner_keys
    FROM nodes WHERE node->>'$.role' = 'assistant'
)"""

# One row an answer of a list, with its ratings: criterion, levels, said (as in the file), value.
_POINTER = "'/annotations/' || replace(replace(k, '~', '~0'), '/', '~1') || '/Rating'"
_RATED = f"json_extract_string(item, {_POINTER})"
_ANSWERS = f"""
listed AS (
    SELECT line, form, {ASKED} AS asked,
        CASE WHEN {check_given("system")} THEN raw->'$.system' ELSE raw->'$.system_prompt' END AS system,
        {_first_list("completions", "generations")} AS items, {_first_list("ratings", "rating")} AS rated,
        {_first_list("generation_models", "model_names")} AS models,
        json_extract(raw, '$.rationales[*]') AS rationales
    FROM formed WHERE form IN ('completions', 'generations')
), items AS (
    SELECT *, unnest(items) AS item, generate_subscripts(items, 1) AS i FROM listed
), answers AS (
    SELECT line, i, asked, system,
        CASE form WHEN 'completions' THEN item->'$.response' ELSE item END AS content,
        CASE form WHEN 'completions' THEN item->>'$.model' ELSE models[i]->>'$' END AS author,
        list_filter(CASE form WHEN 'completions' THEN list_concat(
            [{{'criterion': '{OVERALL}', 'levels': {_OVERALL_LEVELS}, 'said': item->>'$.overall_score',
                'value': 2 * TRY_CAST(item->>'$.overall_score' AS DOUBLE) - 1}}],
            list_transform(coalesce(json_keys(item, '$.annotations'), []), lambda k: {{'criterion': k,
                'levels': $levels, 'said': {_RATED}, 'value': TRY_CAST({_RATED} AS DOUBLE)}}))
            ELSE [{{'criterion': '{RATING}', 'levels': $levels, 'said': rated[i]->>'$',
                'value': TRY_CAST(rated[i]->>'$' AS DOUBLE)}}] END,
            lambda r: r.said <> '' AND upper(r.said) <> 'N/A') AS ratings,
        CASE WHEN len(rated) <> len(items)
            THEN len(items) || ' answers, but ' || len(rated) || ' ratings' END AS uneven,
        nullif(json_merge_patch('{{}}', json_object('score',
            TRY_CAST(item->>'$."fine-grained_score"' AS DOUBLE), 'rationale', coalesce(item->'$.critique',
                CASE WHEN rationales[i]->>'$' <> '' THEN rationales[i] END)))::VARCHAR, '{{}}') AS about,
        CASE form WHEN 'completions' THEN list_filter(json_keys(item), lambda k: k NOT IN {_OF_ANSWERS}) END
            AS inner_keys
    FROM items
)"""
_KEPT = """
every AS (
    SELECT *, NULL::VARCHAR AS own, NULL::VARCHAR AS parent, NULL::VARCHAR AS among, NULL::BIGINT AS rank,
        false AS deleted FROM answers
    UNION ALL BY NAME SELECT * FROM replies
), looked_at AS (
    SELECT *, list_filter(ratings, lambda r:
            NOT coalesce(r.value % 1 = 0 AND r.value BETWEEN 1 AND r.levels, false))[1] AS odd,
        coalesce(deleted OR json_type(content) = 'VARCHAR'
            AND NOT regexp_matches(content->>'$', '\\S'), false) AS empty
    FROM every
), kept AS (FROM looked_at WHERE NOT empty),
left_out AS (SELECT line, count(*) AS left_out FROM looked_at WHERE empty GROUP BY line)"""

_SPLIT = f"""
split AS (
    SELECT f.* EXCLUDE (raw), f.raw AS original, k.* EXCLUDE (line, odd, uneven),
        coalesce(left_out, 0) AS left_out, coalesce(form IN {_ONE_BY_ONE}, false) AS several,
        CASE WHEN uneven IS NOT NULL THEN uneven
            WHEN odd.levels = {_OVERALL_LEVELS} THEN 'overall_score of answer ' || i || ' is ''' || odd.said
                || ''', expected 1 to 10 in steps of 0.5'
            WHEN odd IS NOT NULL THEN odd.criterion || ' of answer ' || i || ' is ''' || odd.said
                || ''', expected a whole number from 1 to ' || odd.levels
                || ' (--levels names another highest)'
            WHEN form IN {_ONE_BY_ONE} AND i IS NULL THEN 'holds no answer'
            WHEN form = 'arena' AND {_won()} IS NULL THEN '''winner'' is missing' END AS fault,
        CASE WHEN form = 'arena' THEN json_object('system', raw->'$.system', 'chosen', {_side("a")},
                'rejected', {_side("b")})::VARCHAR
            WHEN form IS NOT NULL THEN json_object('system', coalesce(k.system, raw->'$.system'),
                'prompt', k.asked, 'completion', k.content)::VARCHAR ELSE raw END AS raw,
        CASE WHEN form = 'arena' THEN {_won()} WHEN list_contains(names, 'status')
            AND lower(raw->>'$.status') = 'tie' THEN 'tie' ELSE 'a' END AS won
    FROM formed f LEFT JOIN kept k USING (line) LEFT JOIN left_out USING (line)
)"""
_CHOICE = " ".join(f"WHEN won IN {words} THEN '{choice}'" for choice, words in _WINNERS.items())
_DIVIDED = f"""
WITH RECURSIVE {_FORMED}, {_NODES}, {_REPLIES}, {_ANSWERS}, {_KEPT}, {_SPLIT}
SELECT * EXCLUDE (line, original, language, form, fault, author, system, asked, content, deleted, empty),
    row_number() OVER (ORDER BY line, i) AS line, line AS "row",
    coalesce(language, CASE form WHEN 'tree' THEN original->>'$.prompt.lang' END) AS language,
    CASE {_CHOICE} END AS choice, won IN {_BOTH_BAD} AS both_bad,
    CASE WHEN form = 'arena' AND won NOT IN {sum(_WINNERS.values(), ())}
        THEN 'winner is ''' || won || ''', expected model_a, model_b, tie or tie (bothbad)'
        ELSE fault END AS fault,
    CASE WHEN form = 'arena' THEN original->>'$.model_a' WHEN form IS NULL
        THEN coalesce(original->>'$.chosen_model', original->>'$."chosen-model"') ELSE author END AS author,
    CASE WHEN form = 'arena' THEN original->>'$.model_b' WHEN form IS NULL
        THEN coalesce(original->>'$.rejected_model', original->>'$."rejected-model"') END AS other_author,
    CASE WHEN form = 'arena' THEN original->>'$.judge' END AS judge,
    CASE WHEN form = 'arena' THEN coalesce(original->>'$.tstamp', original->>'$.timestamp') END AS at,
    coalesce(form = 'arena', false) AS arena, coalesce(form = 'tree' AND author IS NULL, false) AS by_people
FROM split ORDER BY "row", i"""


def divide_answers(rows: pl.DataFrame, levels: int | None = None) -> pl.DataFrame:
    """Divide rows of several answers into one row an answer, and write arenas' votes as pairs.

    `rows`: line, raw and others, which are kept. Returns them with `line` (of each row another one), `row`
    (the line in the file), `raw` as `shapes` reads it, `names` (of the fields as read) and `inner_keys` (of
    an answer's fields that are not used). `several` is true for one of several answers, which has its number
    `i`, ratings (a list of criterion, levels, said, value), about (JSON), author, own and parent (ids), among
    (shared by the replies to one message) and rank; `left_out` counts the row's empty and deleted answers.
    A pair has choice, both_bad, author, other_author, judge and at. `fault` is why a row cannot be taken, or
    null.
    """
    with open_scratch() as con:
        con.register("given", rows.to_arrow())
        return query(con, _DIVIDED, {"levels": levels or LEVELS})
