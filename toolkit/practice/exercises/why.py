"""`preceptor why EXERCISE`: what an exercise was made of, and what proves its key.

Of sentences:

{"key": "0a1b…", "kind": "cloze", "shown": "He ____ to school .", "answers": ["goes"], …,
 "sentence": {"text": "He go to school .", "path": "essays.m2", "line": 1, …},
 "corrections": [{"annotator": "0", "start": 1, "end": 2, "correction": "goes", …}], "sources": […]}

Of completions:

{"key": "5b77…", "kind": "problem", "shown": "Natalia sold …", "answers": ["72"], …,
 "prompt": {"path": "test.jsonl", "line": 1, …},
 "completions": [{"role": "key", "content": "… Answer: 72", "path": "test.jsonl", …}], "sources": […]}
"""

from typing import Any

from ....schemas.errors import StoreError
from ...store.connection import Store, query

_SENTENCE = """SELECT key, source, path, line, document, text, original, level, first_language
FROM sentences WHERE key = ?"""
_CORRECTIONS = """SELECT annotator, start, "end", error_type, correction, as_written, path, line
FROM edits WHERE sentence = ? ORDER BY annotator, position"""
_PROMPT = """SELECT key, source, ref, task, "group", messages, path, line FROM prompts WHERE key = ?"""
# The key's completion, explanations, and completions about the same problem with a wrong option's words.
_COMPLETIONS = """
WITH x AS (FROM exercises WHERE key = ?)
SELECT CASE WHEN c.key = x.completion THEN 'key' WHEN list_contains(x.arms, c.key) THEN 'explanation'
    ELSE 'wrong' END AS role, c.key, c.source, c.content, c.origin, c.author, c.context, c.path, c.line
FROM x, completions c JOIN prompts q ON q.key = c.prompt JOIN prompts mine ON mine.key = x.prompt
WHERE q."group" = mine."group" AND (c.key = x.completion OR list_contains(x.arms, c.key)
    OR list_contains(x.distractors, c.content))
ORDER BY role, c.path, c.line, c.key"""
_SOURCES = "SELECT name, license, redistribution, url, revision FROM sources WHERE name IN ? ORDER BY name"


def explain_exercise(con: Store, key: str) -> dict[str, Any] | None:
    """Collect the origins of the exercise whose key begins so, as plain values; None if there is none.

    Raises StoreError if there are several.
    """
    rows = query(
        con, "FROM exercises WHERE starts_with(key, $key) ORDER BY key LIMIT 2", {"key": key}
    ).to_dicts()
    if len(rows) > 1:
        raise StoreError(
            f"{key}: several exercises have keys that begin so ({rows[0]['key']}, {rows[1]['key']}); "
            "give more digits"
        )
    if not rows:
        return None
    (row,) = rows
    found = row | {"sources": query(con, _SOURCES, [row["sources"]]).to_dicts()}
    if row["prompt"]:
        found |= {
            "prompt": _find(con, _PROMPT, row["prompt"]),
            "completions": query(con, _COMPLETIONS, [row["key"]]).to_dicts(),
        }
    if row["sentence"]:
        found |= {
            "sentence": _find(con, _SENTENCE, row["sentence"]),
            "corrections": query(con, _CORRECTIONS, [row["sentence"]]).to_dicts(),
        }
    return found


def _find(con: Store, select: str, key: str) -> dict[str, Any]:
    """Return the row with a key; {"key": …, "missing": True} if it is no longer there."""
    rows = query(con, select, [key]).to_dicts()
    return rows[0] if rows else {"key": key, "missing": True}
