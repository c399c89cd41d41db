"""The structured turn of a SPOCK tutor: its decisions before it speaks, read in SQL.

    {"Evaluation of Student Response": "a", "Action Based on Evaluation": "1",
     "Subproblem State": "x", "Subproblem": "…", "Tutorbot": "…"}

Sonkar et al., CLASS (Findings of EMNLP 2023) and Pedagogical Alignment of Large Language Models
(Findings of EMNLP 2024). Evaluations are a to g, actions 1 to 12, states w to z. The physics variant
has Step Number, Step State (p to t) and Tutorbot Response. Keys and codes are defined here only, for
published data and for the output of models: the spelling of a key (case, spaces, a "the") does not
matter; "g) N/A", "b) Evaluating Correct Response" and "N/A" are codes, "a and b" is "a,b".
"""

from dataclasses import dataclass

# With 0 for every string, only punctuation, numbers, true, false and null are left.
_STRINGS = r""""(?:[^"\\]|\\.)*\""""
_LAX = r"(?i),\s*[\]}]|nan|inf"

BIOLOGY, PHYSICS = "biology", "physics"


@dataclass(frozen=True)
class Variant:
    """The published keys of a variant's turn, in order, the content of each, and its states."""

    keys: dict[str, str]
    states: str  # regular expression of one code
    no_state: str  # the code for "N/A"


_EVALUATION, _ACTION = "Evaluation of Student Response", "Action Based on Evaluation"
THOUGHTS = "Thoughts of Tutorbot"
VARIANTS = {
    BIOLOGY: Variant(
        {
            _EVALUATION: "evaluation",
            _ACTION: "action",
            "Subproblem State": "state",
            "Subproblem": "part",
            "Tutorbot": "response",
        },
        "[w-z]",
        "w",
    ),
    PHYSICS: Variant(
        {
            _EVALUATION: "evaluation",
            _ACTION: "action",
            "Step Number": "part",
            "Step State": "state",
            "Tutorbot Response": "response",
        },
        "[p-t]",
        "p",
    ),
}
# Plain names (see read_fields_sql) of a turn's parts, in either variant.
_NAMES = {
    "evaluation": (
        "evaluationofstudentresponse",
        "evaluationofstudentresponses",
        "evaluationofstudentsresponse",
    ),
    "action": ("actionbasedonevaluation", "actionsbasedonevaluation"),
    "state": ("subproblemstate", "stepstate"),
    "part": ("subproblem", "stepnumber"),
    "response": ("tutorbot", "tutorbotresponse"),
    "thoughts": ("thoughtsoftutorbot",),
}
_OF_PHYSICS, _OF_BIOLOGY = ("stepstate", "stepnumber"), ("subproblemstate", "subproblem", "tutorbot")


def read_state_sql(text: str) -> str:
    """Write a SQL expression that reads a structured turn: a STRUCT, never null.

    valid: `text` is strict JSON, an object; complete: it has evaluation, action, state, subproblem (or step)
    and response; repaired: a key, a code or a type is not as published, or a key is unknown, so that `turn`
    differs from the text. variant: biology or physics. evaluation, action, state: codes, several as "a,b",
    null if they cannot be recognised. part: the subproblem or step. thoughts, response: texts. turn:
    canonical JSON, published keys in order, codes in place of labels (as written if they are not recognised),
    without thoughts; null without a response.
    """
    valid = f"{check_json_sql('t')} AND CASE WHEN json_valid(t) THEN json_type(t) END = 'OBJECT'"
    codes = bind_sql(_codes(), "c", _result())
    parts = bind_sql(_parts(), "p", codes)
    fields = bind_sql(read_fields_sql("j.json"), "f", parts)
    parsed = bind_sql(f"{{'valid': {valid}, 'json': CASE WHEN {valid} THEN t::JSON END}}", "j", fields)
    return bind_sql(f"({text})::VARCHAR", "t", parsed)


def _parts() -> str:
    """Write SQL for the parts of the turn as text; blank is null."""
    filled = r"CASE WHEN regexp_matches(x, '\S') THEN x END"
    texts = {
        part: bind_sql(find_field_sql("f", *names) + "->>'$'", "x", filled) for part, names in _NAMES.items()
    }
    variant = f"""CASE WHEN list_has_any(f.names, {list(_OF_PHYSICS)}) THEN '{PHYSICS}'
        WHEN list_has_any(f.names, {list(_OF_BIOLOGY)}) THEN '{BIOLOGY}'
        WHEN list_contains(f.names, 'tutorbotresponse') THEN '{PHYSICS}' END"""
    held = ", ".join(f"'{part}': {text}" for part, text in texts.items())
    return f"{{{held}, 'variant': {variant}}}"


def _codes() -> str:
    states = " ".join(
        f"WHEN '{name}' THEN {_code('p.state', v.states, v.no_state)}" for name, v in VARIANTS.items()
    )
    return f"""{{'evaluation': {_code("p.evaluation", "[a-g]", "g")},
        'action': {_code("p.action", "1[0-2]|[1-9]", "12")}, 'state': CASE p.variant {states} END}}"""


def _code(text: str, code: str, nothing: str) -> str:
    """The code in a text, or several joined by commas; null if there is none."""
    code = f"(?:{code})"
    one = rf"\(?{code}[).]?"
    bare = rf"""regexp_replace(lower(trim({text}, e' \t\r\n')), '["''\[\]]', '', 'g')"""
    tidy = rf"regexp_replace(regexp_replace({bare}, '\s*(?:\n|\band\b)\s*', ', ', 'g'), '\s+', ' ', 'g')"
    found = rf"""CASE WHEN regexp_full_match(s, 'n\.?/?a\.?') THEN '{nothing}'
        WHEN regexp_full_match(s, '{one}(?: ?[,;/&+] ?{one})*')
            THEN array_to_string(regexp_extract_all(s, '{code}'), ',')
        WHEN regexp_matches(s, '^\(?{code}(?:[):]|\. | - )')
            THEN array_to_string(list_prepend(regexp_extract(s, '^\(?({code})', 1),
                regexp_extract_all(s, '[,;] ?\(?({code})\)', 1)), ',') END"""
    return bind_sql(tidy, "s", found)


def _result() -> str:
    known = " ".join(f"WHEN '{name}' THEN {[THOUGHTS, *variant.keys]}" for name, variant in VARIANTS.items())
    published = " AND ".join(
        f"p.{part} IS NOT DISTINCT FROM c.{part}" for part in ("evaluation", "action", "state")
    )
    whole = " AND ".join(f"p.{part} IS NOT NULL" for part in _NAMES if part != "thoughts")
    turns = " ".join(f"WHEN '{name}' THEN {_turn(variant)}" for name, variant in VARIANTS.items())
    return f"""{{'valid': j.valid, 'complete': coalesce(j.valid AND {whole}, false),
        'repaired': coalesce(j.valid AND NOT ({published}
            AND list_has_all(CASE p.variant {known} END, f.keys)
            AND len(list_filter(f."values", lambda v: json_type(v) <> 'VARCHAR')) = 0), false),
        'variant': p.variant, 'evaluation': c.evaluation, 'action': c.action, 'state': c.state,
        'part': p.part, 'thoughts': p.thoughts, 'response': p.response,
        'turn': CASE WHEN p.response IS NOT NULL THEN CASE p.variant {turns} END END}}"""


def _turn(variant: Variant) -> str:
    """The published keys in order; one that is missing stays out."""
    pairs = ", ".join(
        f"'{key}', coalesce(c.{part}, p.{part})"
        if part in ("evaluation", "action", "state")
        else f"'{key}', p.{part}"
        for key, part in variant.keys.items()
    )
    # A merge patch drops nulls.
    return f"json_merge_patch('{{}}', json_object({pairs}))::VARCHAR"


def convert_literal_sql(text: str) -> str:
    """Write SQL for the JSON of a Python dictionary literal, which the original's scripts read and write.

    A text that is not such a literal becomes some text that is not JSON.
    """
    quoted = """'(?s)''(?:[^''\\\\]|\\\\.)*''|"(?:[^"\\\\]|\\\\.)*"|[^''"]+'"""
    letter = r"""CASE c WHEN '\''' THEN '''' WHEN '\x' THEN '\u00' ELSE replace(c, '"', '\"') END"""
    inner = rf"list_transform(regexp_extract_all(x[2:-2], '(?s)\\.|[^\\]+'), lambda c: {letter})"
    names = r"replace(replace(replace(x, 'None', 'null'), 'True', 'true'), 'False', 'false')"
    return f"""array_to_string(list_transform(regexp_extract_all({text}, {quoted}), lambda x:
        CASE WHEN left(x, 1) IN ('''', '"') THEN '"' || array_to_string({inner}, '') || '"'
        ELSE regexp_replace({names}, ',(\\s*[}}\\]])', '\\1', 'g') END), '')"""


def check_json_sql(text: str) -> str:
    """Write a SQL condition: a text is strict JSON.

    json_valid also accepts a comma before a bracket, NaN and Infinity.
    """
    return (
        f"(coalesce(json_valid({text}), false) AND NOT "
        f"regexp_matches(regexp_replace({text}, '{_STRINGS}', '0', 'g'), '{_LAX}'))"
    )


def bind_sql(value: str, name: str, body: str) -> str:
    """Write `body` with `name` bound to `value`, which is evaluated once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def read_fields_sql(json: str) -> str:
    """Write SQL for a JSON object's keys, their plain names, and values, in order: a STRUCT of three lists.

    A plain name is the key's letters, in lower case, without "the".
    """
    plain = r"regexp_replace(lower(k), '(?:^|[^a-z])the[^a-z]|[^a-z]', '', 'g')"
    return (
        f"{{'keys': json_keys({json}), 'names': list_transform(json_keys({json}), lambda k: {plain}), "
        f"'values': json_extract({json}, '$.*')}}"
    )


def find_field_sql(fields: str, *names: str) -> str:
    """Write SQL for the value, as JSON, of the first of these names that the object has; else null."""
    found = (f"{fields}.values[list_position({fields}.names, '{name}')]" for name in names)
    return f"coalesce(NULL, {', '.join(found)})"
