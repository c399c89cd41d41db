"""Rules of a recipe: an expression of columns, as SQL writes it, that pairs must satisfy.

    chosen_score > 0.8 and chosen_score > rejected_score

A recipe may come from a stranger, so the expression is parsed by DuckDB and only comparisons,
and/or/not, arithmetic, constants, the columns below and a few functions are let through.
"""

import json
from typing import Any

from ....schemas.errors import RecipeError
from ....schemas.published import OF_A_FIT
from ....schemas.support.nearest import suggest
from ...store.connection import Store, run

COLUMNS = {
    "chosen_score": "summary of the chosen one's ratings, 0 to 1: each criterion's mean by direction and "
    "weight; null where it was not rated",
    "rejected_score": "the same of the rejected one",
    "chosen_length": "characters of the chosen one",
    "rejected_length": "characters of the rejected one",
    **{column.name: column.meaning for column in OF_A_FIT},
    "p": "P(chosen is better); null without a fit, like the next five",
    "made": "how the pair was made, as preference_meta says",
    "task": "of the prompt",
    "language": "of the prompt",
}
_FUNCTIONS = ("+", "-", "*", "/", "abs", "greatest", "least", "coalesce", "round")
_CLASSES = ("COMPARISON", "CONJUNCTION", "CONSTANT", "COLUMN_REF", "OPERATOR", "BETWEEN", "FUNCTION")


def check_rule(con: Store, rule: str) -> str:
    """Check a recipe's rule and return it as DuckDB writes it.

    Raises RecipeError if it is not an expression of known columns and functions.
    """
    ((text,),) = run(con, "SELECT json_serialize_sql('SELECT 1 WHERE ' || $rule)", {"rule": rule})
    parsed = json.loads(text)
    if parsed["error"]:
        raise RecipeError(f"pairs.eligible: '{rule}' is no expression: {parsed['error_message']}")
    (statement, *others) = parsed["statements"]
    node = statement["node"]
    more = (node[name] for name in ("modifiers", "group_expressions", "having", "qualify", "sample"))
    if others or node["type"] != "SELECT_NODE" or any(more) or node["where_clause"] is None:
        raise RecipeError(f"pairs.eligible: '{rule}': expected one expression, such as p > 0.8")
    _check(node["where_clause"], rule)
    ((written,),) = run(con, "SELECT json_deserialize_sql($text::JSON)", {"text": text})
    expression: str = written.partition(" WHERE ")[2]
    return expression


def _check(node: Any, rule: str) -> None:
    """Raise RecipeError unless every part of the expression is one that is allowed."""
    if isinstance(node, list):
        for part in node:
            _check(part, rule)
        return
    if not isinstance(node, dict):
        return
    kind = node.get("class")
    if kind is not None and kind not in _CLASSES:
        raise RecipeError(
            f"pairs.eligible: '{rule}': {kind.lower()} is not taken; "
            "comparisons, and, or, not and arithmetic are"
        )
    if kind == "COLUMN_REF":
        name = ".".join(node["column_names"])
        if name not in COLUMNS:
            hint = suggest(name, COLUMNS, "known")
            raise RecipeError(f"pairs.eligible: unknown column '{name}': {hint}")
    if kind == "FUNCTION" and node["function_name"] not in _FUNCTIONS:
        raise RecipeError(
            f"pairs.eligible: function {node['function_name']} is not taken; known: {', '.join(_FUNCTIONS)}"
        )
    for value in node.values():
        _check(value, rule)
