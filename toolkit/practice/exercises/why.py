"""`preceptor why EXERCISE`: what an exercise was made of, and what proves its key.

{"key": "0a1b…", "kind": "cloze", "shown": "He ____ to school .", "answers": ["goes"], …,
 "sentence": {"text": "He go to school .", "path": "essays.m2", "line": 1, …},
 "corrections": [{"annotator": "0", "start": 1, "end": 2, "correction": "goes", …}], "sources": […]}
"""

from typing import Any

from ....schemas.errors import StoreError
from ...store.connection import Store, query

_SENTENCE = """SELECT key, source, path, line, document, text, original, level, first_language
FROM sentences WHERE key = ?"""
_CORRECTIONS = """SELECT annotator, start, "end", error_type, correction, as_written, path, line
FROM edits WHERE sentence = ? ORDER BY annotator, position"""
_SOURCE = "SELECT name, license, redistribution, url, revision FROM sources WHERE name = ?"


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
    sentence = query(con, _SENTENCE, [row["sentence"]]).to_dicts()
    return row | {
        "sentence": sentence[0] if sentence else {"key": row["sentence"], "missing": True},
        "corrections": query(con, _CORRECTIONS, [row["sentence"]]).to_dicts(),
        "sources": query(con, _SOURCE, [row["source"]]).to_dicts(),
    }
