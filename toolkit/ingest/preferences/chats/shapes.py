"""The shapes of chats, recognised row by row and brought into one form, in SQL.

    {"messages": [{"role": "user", "content": "…"}, …]}                   OpenAI, TRL
    {"conversations": [{"from": "human", "value": "…"}, …]}               ShareGPT
    {"prompt": "…", "chosen": "…", "rejected": "…"}                       TRL, UltraFeedback
    {"prompt": "…", "completion": "…", "label": true}                     TRL, KTO

`system` beside any of them is the first message. `answers` divides rows of several answers, `dialects`
rewrites what other programs call otherwise. If TRL's fields are lists of messages, `chosen` and `rejected`
may be whole conversations, the prompt being what they share.
"""

import polars as pl

from ....store.connection import open_scratch, query
from .dialects import REWRITTEN, TRANSCRIPT, check_given

PAIR, ANSWER = "pair", "answer"
FIELDS = ("messages", "conversations", "prompt", "chosen", "rejected", "completion", "label", "system")
SCORES = ("score", "score_chosen", "score_rejected", "margin")
_SPEAKERS = {
    "system": ("system", "developer"),
    "user": ("user", "human"),
    "assistant": ("assistant", "gpt", "chatgpt", "bing", "bard", "claude", "model", "bot", "chatbot"),
}
_ROLE = "CASE {} END".format(
    " ".join(f"WHEN said IN {names} THEN '{role}'" for role, names in _SPEAKERS.items())
)


# A list of messages as Python or JSON spells it, inside a text.
_AS_TEXT = r"""^\s*\[\s*\{\s*["'']+(role|from|content|value)["'']+\s*:"""

# The role of a text, by its field; lists are taken as they are.
_WHO = {
    "prompt": "user",
    "chosen": "assistant",
    "rejected": "assistant",
    "completion": "assistant",
    "system": "system",
}
_LISTS = " UNION ALL ".join(
    f"""SELECT line, kind, '{field}' AS field, {order} AS field_n,
    CASE json_type("raw", '$.{field}') WHEN 'ARRAY' THEN json_extract("raw", '$.{field}[*]')
        WHEN 'VARCHAR' THEN {
        f'''[json_object('role', '{_WHO[field]}', 'content', "raw"->'$.{field}')]'''
        if field in _WHO
        else "NULL"
    } END AS items
    FROM kinds WHERE {check_given(field)} AND list_contains({list(kinds)}, kind)"""
    for order, (field, kinds) in enumerate(
        {
            "messages": ("messages",),
            "conversations": ("conversations",),
            "prompt": (PAIR, ANSWER),
            "chosen": (PAIR,),
            "rejected": (PAIR,),
            "completion": (ANSWER,),
            "system": ("messages", "conversations", PAIR, ANSWER),
        }.items()
    )
)

_SAID = f"""
kinds AS MATERIALIZED (
    SELECT *, CASE WHEN {check_given("chosen")} OR {check_given("rejected")} THEN '{PAIR}'
        WHEN {check_given("completion")} THEN '{ANSWER}' WHEN {check_given("messages")} THEN 'messages'
        WHEN {check_given("conversations")} THEN 'conversations' END AS kind FROM rows
), lists AS ({_LISTS}), items AS (
    SELECT line, field, field_n, unnest(items) AS item, generate_subscripts(items, 1) AS n FROM lists
), parts AS (
    SELECT *, lower(trim(coalesce(item->>'$.role', item->>'$.from'))) AS said,
        CASE WHEN coalesce(json_type(item, '$.content'), 'NULL') <> 'NULL' THEN item->'$.content'
            ELSE item->'$.value' END AS body FROM items
), read AS (
    SELECT *, coalesce(json_type(body), 'NULL') AS form, {_ROLE} AS role,
        CASE json_type(body) WHEN 'ARRAY' THEN json_extract(body, '$[*]') END AS pieces FROM parts
), said AS (
    SELECT line, field, field_n, n, role, json_keys(item) AS keys,
        CASE form WHEN 'VARCHAR' THEN body->>'$' WHEN 'ARRAY' THEN array_to_string(list_transform(pieces,
            lambda p: CASE json_type(p) WHEN 'VARCHAR' THEN p->>'$' ELSE p->>'$.text' END), chr(10))
            END AS content,
        'message ' || n || ' of ''' || field || ''' ' || CASE
            WHEN json_type(item) <> 'OBJECT' THEN 'is no object with role and content'
            WHEN said IS NULL THEN 'does not say whose it is'
            WHEN role IS NULL
                THEN 'is of role ''' || said || ''', expected system, developer, user or assistant'
            WHEN json_array_length(item, '$.tool_calls') > 0 OR json_type(item, '$.function_call') = 'OBJECT'
                THEN 'holds a tool call'
            WHEN TRY_CAST(item->>'$.weight' AS DOUBLE) = 0
                THEN 'has weight 0, not to be learnt from; cut the chat before it, or leave weight out'
            WHEN role = 'user' AND form = 'VARCHAR' AND regexp_matches(body->>'$', '{TRANSCRIPT}')
                THEN 'holds a transcript of several speakers (Human:, Assistant:); make each a message'
            WHEN form = 'VARCHAR' AND regexp_matches(body->>'$', '{_AS_TEXT}')
                THEN 'is a list of messages written as text; write it as JSON itself, such as from JSON Lines'
            WHEN form = 'NULL' THEN 'has no content'
            WHEN form NOT IN ('VARCHAR', 'ARRAY') THEN 'has a content that is no text'
            WHEN len(list_filter(pieces, lambda p: json_type(p) <> 'VARCHAR'
                AND coalesce(json_type(p, '$.text'), '') <> 'VARCHAR')) > 0
                THEN 'holds a part that is no text, such as an image' END AS problem
    FROM read
)"""


def _front(talk: str) -> str:
    """SQL: the conversation with the row's own system prompt in front, unless it begins with it."""
    return f"""CASE WHEN {talk}[1] = front[1] THEN {talk}
        WHEN {talk} IS NOT NULL THEN list_concat(front, {talk}) END"""


_SHAPED = f"""
WITH {REWRITTEN}, {_SAID}, whole AS (
    SELECT line, arg_min(problem, field_n * 1000000 + n) AS problem,
        {
    ", ".join(
        f"list({{'role': role, 'content': content}} ORDER BY n) FILTER (field = '{field}') AS {field}"
        for field in _WHO
    )
},
        list({{'role': role, 'content': content}} ORDER BY n)
            FILTER (field IN ('messages', 'conversations')) AS talk,
        list_distinct(flatten(list(keys))) AS message_keys
    FROM said GROUP BY line
), told AS (
    SELECT *, {
    ", ".join(
        f"CASE WHEN {field}[1].role <> 'assistant' THEN {field} WHEN {field} IS NOT NULL "
        f"THEN list_concat(prompt, {field}) END AS {field}_whole"
        for field in ("chosen", "rejected", "completion")
    )
}
,
        CASE WHEN regexp_matches(system[1].content, '\\S') THEN system END AS front
    FROM whole
), fronted AS (
    SELECT * REPLACE ({_front("talk")} AS talk), {_front("rejected_whole")} AS worst,
        {_front("coalesce(chosen_whole, completion_whole)")} AS best FROM told
), asked AS (SELECT *, coalesce(talk, best[:-2]) AS messages FROM fronted)
SELECT k.line, k.names AS keys, message_keys, k.tools, k.media, k.has_talk,
    front IS NOT NULL AND messages[2].role = 'system' AS two_systems,
    k.mistyped, k.id, k."group", k.task, k.language, k.kind, problem,
    messages, best, worst, prompt[-1] AS last_asked,
    best[-1].content AS answer, worst[-1].content AS worse,
    best[:-2] = worst[:-2] AS shared,
    list_bool_or([NOT regexp_matches(m.content, '\\S') FOR m IN list_concat(best, worst)]) AS blank,
    list_bool_or([regexp_matches(m.content, '\\S') AND m.role <> 'system' FOR m IN talk]) AS talks,
    {", ".join(f"json_type(k.raw, '$.{field}') AS {field}_type" for field in FIELDS)},
    {", ".join(f"TRY_CAST(k.raw->>'$.{name}' AS DOUBLE) AS {name}" for name in SCORES)},
    (k."raw"->>'$.label') = 'true' AS desirable,
    md5(lower(trim(regexp_replace(nfc_normalize(array_to_string([m.content FOR m IN
        messages[:coalesce(nullif(list_position([m.role FOR m IN messages], 'user'), 0), len(messages))]],
        ' ')), '\\s+', ' ', 'g')))) AS opening
FROM kinds k LEFT JOIN asked USING (line) ORDER BY k.line"""


def recognise_shapes(rows: pl.DataFrame) -> pl.DataFrame:
    """Recognise the shape of each row, and bring its messages and scores into one form.

    `rows`: line (of each row another), raw, names (of its fields as read), mistyped, id, group, task,
    language. Added: `kind` (messages, conversations, pair, answer or null), `problem` (of one of its
    messages), `messages` (the dialogue, or the messages that are answered), `best` and `worst` (the
    conversations that end in an answer), `answer` and `worse` (their last texts), and the columns that the
    checks of `reader` need. `opening` is a hash of the text up to the first message of the user, for rows
    that begin alike. `message_keys` names the fields of its messages; `tools` and `media` are true if it has
    any.
    """
    with open_scratch() as con:
        con.register("given", rows.to_arrow())
        return query(con, _SHAPED)
