r"""Chats in the fields of other programs, rewritten in SQL into those of `shapes`, row by row.

    {"messages": […], "rejected_response": "…"}                                 ms-swift
    {"messages": […], "label": true}                                            ms-swift, KTO
    {"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}   OpenAI
    {"system": "…", "question": "…", "chosen": "…", "rejected": "…"}            Orca's pairs
    {"instruction": "…", "input": "…", "output": "…", "history": [["…", "…"]]}  Alpaca
    {"prompt": "…", "response": "…"}, {"instruction": "…", "generation": "…"}
    {"conversations": […], "chosen": {"from": "gpt", …}, "rejected": {…}}       LLaMA-Factory
    {"chosen": "Human: …\n\nAssistant: …", "rejected": "…"}                     HH-RLHF

A row without any of these fields stays as it is.
"""

FOREIGN = (
    "rejected_response",
    "rejected_messages",
    "input",
    "preferred_output",
    "non_preferred_output",
    "question",
    "instruction",
    "output",
    "response",
    "generation",
    "history",
    "kto_tag",
    "system_prompt",
)
_KEPT = ("score", "score_chosen", "score_rejected", "margin")
_START = r"^\s*(Human|User):"
TRANSCRIPT = r"(^|\n)\s*(Human|User):[\s\S]*\n\s*Assistant:"
_TALKS = ("messages", "conversations")


def check_given(field: str) -> str:
    """Write SQL: the row has the field, and not null."""
    return f"coalesce(json_type(raw, '$.{field}'), 'NULL') <> 'NULL'"


def _get(field: str) -> str:
    return f"(raw->'$.{field}')"


def _text(field: str) -> str:
    return f"nullif(trim(raw->>'$.{field}'), '')"


# A text of several speakers as a list of messages: each mark of a speaker becomes two control characters.
_PARTS = r"""list_filter(list_transform(string_split(regexp_replace(
    chr(10) || trim({text}, chr(10) || ' '), '\n\s*(Human|User|Assistant):', chr(1) || '\1' || chr(2), 'g'),
    chr(1))[2:], lambda p: {{'role': CASE WHEN starts_with(p, 'Assistant') THEN 'assistant' ELSE 'user' END,
    'content': trim(string_split(p, chr(2))[2], chr(10) || ' ')}}),
    lambda m: m.content <> '' OR m.role <> 'assistant')"""


def _split(field: str) -> str:
    """SQL: the field; split into messages if it is a transcript."""
    text = f"raw->>'$.{field}'"
    parts = _PARTS.format(text=f"({text})")
    return f"""CASE WHEN json_type(raw, '$.{field}') = 'VARCHAR' AND regexp_matches({text}, '{_START}')
        AND regexp_matches({text}, '{TRANSCRIPT}') THEN to_json({parts})
        WHEN json_type(raw, '$.{field}') = 'VARCHAR' AND regexp_matches(raw->>'$.prompt', '{_START}')
            AND regexp_matches(raw->>'$.prompt', 'Assistant:\\s*$') THEN to_json(trim({text}))
        ELSE {_get(field)} END"""


def _side(field: str) -> str:
    """SQL: an answer: one message, or a list of one text, too."""
    return f"""CASE WHEN json_type(raw, '$.{field}') = 'OBJECT' THEN json_array({_get(field)})
        WHEN json_type(raw, '$.{field}[0]') = 'VARCHAR' AND json_array_length(raw, '$.{field}') = 1
            THEN raw->'$.{field}[0]'
        ELSE {_split(field)} END"""


_TALK = f"CASE WHEN {check_given('messages')} THEN {_get('messages')} ELSE {_get('conversations')} END"
_TURNS = f"json_extract({_TALK}, '$[*]')"
_INPUT = f"CASE WHEN json_type(raw, '$.input') = 'VARCHAR' THEN {_text('input')} END"
_ASKS = f"""coalesce({_text("instruction")} || coalesce(chr(10) || {_INPUT}, ''), {_text("question")},
    CASE WHEN json_type(raw, '$.prompt') = 'VARCHAR' THEN {_text("prompt")} END, {_INPUT})"""
_ANSWER = f"coalesce({_text('output')}, {_text('response')}, {_text('generation')})"
_HISTORY = """flatten(list_transform(json_extract(raw, '$.history[*]'), lambda h: [
    json_object('role', 'user', 'content', h->'$[0]'),
    json_object('role', 'assistant', 'content', h->'$[1]')]))"""
_PAST = f"CASE WHEN json_array_length(raw, '$.history') > 0 THEN {_HISTORY} END"
_USER = f"[json_object('role', 'user', 'content', {_ASKS})]"
ASKED = f"""CASE WHEN json_type(raw, '$.prompt') = 'ARRAY' THEN {_get("prompt")}
    WHEN {_ASKS} IS NOT NULL THEN to_json(list_concat({_PAST}, {_USER}))
    WHEN {check_given("messages")} THEN {_get("messages")} ELSE {_get("prompt")} END"""
_REPLY = f"[json_object('role', 'assistant', 'content', {_ANSWER})]"
_ALPACA = f"""{_ASKS} IS NOT NULL AND {_ANSWER} IS NOT NULL
    AND NOT (has_pair OR has_talk OR list_contains(keys, 'completion'))"""

_PROMPT = f"""CASE WHEN {check_given("prompt")} THEN {_split("prompt")}
    WHEN {check_given("preferred_output")} OR {check_given("non_preferred_output")}
        THEN CASE json_type(raw, '$.input') WHEN 'OBJECT' THEN raw->'$.input.messages'
            ELSE {_get("input")} END
    WHEN {check_given("rejected_response")} OR marked THEN to_json({_TURNS}[:-2])
    WHEN has_pair AND has_talk AND goes_on THEN {_TALK}
    WHEN has_pair AND {_ASKS} IS NOT NULL THEN to_json(list_concat({_PAST}, {_USER})) END"""
_CHOSEN = f"""CASE WHEN {check_given("preferred_output")} THEN {_get("preferred_output")}
    WHEN {check_given("rejected_messages")} THEN {_TALK}
    WHEN {check_given("rejected_response")} THEN to_json({_TURNS}[-1:]) ELSE {_side("chosen")} END"""
_REJECTED = f"""CASE WHEN {check_given("non_preferred_output")} THEN {_get("non_preferred_output")}
    WHEN {check_given("rejected_messages")} THEN {_get("rejected_messages")}
    WHEN {check_given("rejected_response")} THEN {_get("rejected_response")} ELSE {_side("rejected")} END"""
_FIELDS = {
    "messages": f"CASE WHEN {_ALPACA} THEN to_json(list_concat({_PAST}, {_USER}, {_REPLY})) "
    f"ELSE {_get('messages')} END",
    "conversations": _get("conversations"),
    "prompt": _PROMPT,
    "chosen": _CHOSEN,
    "rejected": _REJECTED,
    "completion": f"CASE WHEN marked THEN to_json({_TURNS}[-1:]) ELSE {_split('completion')} END",
    "label": f"CASE WHEN {check_given('label')} THEN {_get('label')} ELSE {_get('kto_tag')} END",
    "system": f"CASE WHEN {check_given('system')} THEN {_get('system')} ELSE {_get('system_prompt')} END",
    **{name: _get(name) for name in _KEPT},
}

# `given` has the rows with `raw` as read; `rows` has them with `raw` rewritten.
REWRITTEN = f"""
keyed AS (SELECT *, json_keys(raw) AS keys FROM given), flagged AS (
    SELECT *, list_has_any(keys, ['chosen', 'rejected']) AS has_pair,
        list_has_any(keys, {list(_TALKS)}) AS has_talk,
        list_has_any(keys, {list(_TALKS)}) AND NOT list_has_any(keys, ['prompt', 'completion', 'chosen'])
            AND 'BOOLEAN' IN (json_type(raw, '$.label'), json_type(raw, '$.kto_tag')) AS marked
    FROM keyed
), told_apart AS (
    SELECT *, has_pair AND coalesce(json_type(raw, '$.chosen') <> 'ARRAY'
        OR lower(coalesce(raw->>'$.chosen[0].role', raw->>'$.chosen[0].from'))
            NOT IN ('user', 'human', 'system', 'developer'), true) AS goes_on
    FROM flagged
), rows AS MATERIALIZED (
    SELECT * REPLACE (CASE WHEN list_has_any(keys, {list(FOREIGN)}) OR marked OR (has_pair AND has_talk)
        OR contains(raw, 'Human:') OR contains(raw, 'User:') OR (has_pair AND (
            json_type(raw, '$.chosen') = 'OBJECT' OR json_type(raw, '$.chosen[0]') = 'VARCHAR'))
        THEN json_object({", ".join(f"'{name}', {value}" for name, value in _FIELDS.items())})::VARCHAR
        ELSE raw END AS raw),
    list_contains(keys, 'tools') AND coalesce(json_type(raw, '$.tools'), 'NULL') <> 'NULL'
        AND trim(raw->>'$.tools') NOT IN ('', '[]', 'null')
        OR list_contains(keys, 'functions') AND json_array_length(raw, '$.functions') > 0
        OR list_contains(keys, 'input') AND json_array_length(raw, '$.input.tools') > 0 AS tools,
    list_has_any(keys, ['images', 'videos', 'audios', 'image', 'video', 'audio']) AND greatest(
        {", ".join(f"json_array_length(raw, '$.{n}')" for n in ("images", "videos", "audios"))},
        {", ".join(f"CASE WHEN {check_given(n)} THEN 1 END" for n in ("image", "video", "audio"))}
        ) > 0 AS media
    FROM told_apart
)"""
