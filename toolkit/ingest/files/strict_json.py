"""JSON in SQL as strict parsers see it, its keys without regard to how they are spelt.

{"Action Based on the Evaluation": "3"}  ->  names: [actionbasedonevaluation], values: ["3"]
"""

# With 0 for every string, only punctuation, numbers, true, false and null are left.
_STRINGS = r""""(?:[^"\\]|\\.)*\""""
_LAX = r"(?i),\s*[\]}]|nan|inf"


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
