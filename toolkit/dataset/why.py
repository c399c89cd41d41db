"""`preceptor why KEY`: a row's way back: pair -> fit -> votes, ratings, outcomes -> file and line -> licence.

KEY is that of a row of any config of a built dataset (in its _meta table, or in signals), or of a
completion, vote, rating, outcome, question or answer of the store; its first digits do.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...schemas.errors import StoreError
from ..store.connection import Store, query, scratch
from .folder import read_manifest, rows_sql, shards

Found = dict[str, Any]

_SIGNALS = """
WITH remarks AS (
    SELECT a.source, q.position, a.annotator, a.comment FROM answers a JOIN questions q ON q.key = a.question
    WHERE a.superseded_at IS NULL AND a.comment IS NOT NULL
        AND (list_contains($c, q.completion_a) OR list_contains($c, q.completion_b)))
SELECT v.key, 'vote' AS kind, v.completion_a AS completion, v.completion_b AS other,
    CASE v.choice WHEN 'tie' THEN 'tie' WHEN 'a' THEN v.completion_a ELSE v.completion_b END AS said,
    a.pseudonym AS person, v.source, v.path, v.line, v."at", w.comment
    FROM votes v LEFT JOIN annotators a ON a.key = v.annotator
    LEFT JOIN remarks w ON w.source = v.source AND w.position = v.line AND w.annotator = v.annotator
    WHERE list_contains($c, v.completion_a) OR list_contains($c, v.completion_b)
UNION ALL BY NAME
SELECT r.key, 'rating' AS kind, r.completion, r.criterion || ': ' || r.value || ' of ' || r.levels AS said,
    a.pseudonym AS person, r.source, r.path, r.line, r."at", w.comment
    FROM ratings r LEFT JOIN annotators a ON a.key = r.annotator
    LEFT JOIN remarks w ON w.source = r.source AND w.position = r.line AND w.annotator = r.annotator
    WHERE list_contains($c, r.completion)
UNION ALL BY NAME
SELECT key, 'outcome' AS kind, completion, measure || ': ' || printf('%g', value)
        || if(censored, ', still failing', '') AS said,
    learner AS person, source, path, line, "at" FROM outcomes WHERE list_contains($c, completion)
ORDER BY kind DESC, source, path, line, key"""


def why(con: Store, key: str, folders: Sequence[Path] = ()) -> Found:
    """Everything a row stands on, as plain values; StoreError where nothing has such a key.

    Looks in `folders`, or in those of all builds of the store that are still there.
    """
    rows = _rows(con, key, folders)
    if not rows:
        rows = _stored(con, key)
    keys = sorted({row["key"] for row in rows})
    if len(keys) > 1:
        raise StoreError(
            f"{key}: {len(keys)} rows have keys that begin so ({keys[0]}, {keys[1]} …); give more digits"
        )
    if not rows:
        raise StoreError(
            f"{key}: no row of a built dataset and nothing in the store has a key that begins so; keys "
            "stand in the _meta tables of a dataset (--dataset FOLDER names one that was moved)"
        )
    row = rows[0]
    wanted = [
        row[name]
        for name in ("chosen_completion", "rejected_completion", "completion", "other")
        if row.get(name)
    ]
    signals = query(con, _SIGNALS, {"c": wanted}).to_dicts()
    return {
        "rows": rows,
        "prompt": _prompt(con, wanted),
        "completions": _completions(con, wanted),
        "fit": _fit(con, row.get("fit")),
        "signals": signals,
        "sources": _licences(con, wanted, {s["source"] for s in signals}),
    }


def _rows(con: Store, key: str, folders: Sequence[Path]) -> list[Found]:
    """The key's rows in datasets: dataset, config, split, and what their meta data say."""
    places = list(folders) or [
        Path(out) for out in query(con, "SELECT DISTINCT out FROM builds ORDER BY 1")["out"]
    ]
    found = []
    with scratch() as memory:
        for folder in places:
            if not folders and not (folder / "manifest.json").is_file():
                continue  # moved or deleted since
            for config in read_manifest(folder)["counts"]:
                files = shards(folder, f"{config}_meta") or shards(folder, config)
                if not files:
                    continue
                rows = query(memory, f"FROM ({rows_sql(files)}) WHERE starts_with(key, $key)", {"key": key})
                for row in rows.drop("filename", "file", "file_row_number").to_dicts():
                    single = (
                        {}
                        if "chosen_completion" in row or "completion" in row
                        else {"completion": row["key"]}
                    )
                    found.append({"dataset": str(folder), "config": config} | row | single)
    return found


def _stored(con: Store, key: str) -> list[Found]:
    """What of the store has such a key."""
    rows = query(
        con,
        """SELECT key, 'completion' AS config, key AS completion, NULL AS other FROM completions
            WHERE starts_with(key, $key)
        UNION ALL SELECT key, 'vote', completion_a, completion_b FROM votes WHERE starts_with(key, $key)
        UNION ALL SELECT key, 'rating', completion, NULL FROM ratings WHERE starts_with(key, $key)
        UNION ALL SELECT key, 'outcome', completion, NULL FROM outcomes WHERE starts_with(key, $key)
        UNION ALL SELECT key, 'question', completion_a, completion_b FROM questions
            WHERE starts_with(key, $key)
        UNION ALL SELECT a.key, 'answer', completion_a, completion_b
            FROM answers a JOIN questions q ON q.key = a.question WHERE starts_with(a.key, $key)
        ORDER BY key LIMIT 3""",
        {"key": key},
    )
    return rows.to_dicts()


def _prompt(con: Store, completions: list[str]) -> Found | None:
    rows = query(
        con,
        """SELECT key, source, ref, task, "group", messages[-1].content AS content, path, line
        FROM prompts
        WHERE key IN (SELECT prompt FROM completions WHERE list_contains($c, key))""",
        {"c": completions},
    ).to_dicts()
    return rows[0] if rows else None


def _completions(con: Store, keys: list[str]) -> list[Found]:
    rows = query(
        con,
        """SELECT key, source, ref, origin, author, content, path, line FROM completions
        WHERE list_contains($c, key)""",
        {"c": keys},
    ).to_dicts()
    return sorted(rows, key=lambda row: keys.index(row["key"]))


def _fit(con: Store, key: str | None) -> Found | None:
    """The fit; what is left of it where it was forgotten."""
    if key is None:
        return None
    rows = query(
        con,
        "SELECT key, method, seed, converged, config, versions, fitted_at::VARCHAR AS fitted_at "
        "FROM fits WHERE key = ?",
        [key],
    ).to_dicts()
    if not rows:
        return {"key": key, "missing": True}
    (row,) = rows
    return row | {name: json.loads(row[name]) for name in ("config", "versions")}


def _licences(con: Store, completions: list[str], heard: set[str]) -> list[Found]:
    """The sources of texts and signals, with their terms."""
    return query(
        con,
        """SELECT name, license, redistribution, commercial_use, share_alike, url, revision, sha256
        FROM sources WHERE list_contains($heard::VARCHAR[], name)
            OR name IN (SELECT source FROM completions WHERE list_contains($c, key))
            OR name IN (SELECT q.source FROM prompts q JOIN completions c ON c.prompt = q.key
                WHERE list_contains($c, c.key)) ORDER BY name""",
        {"c": completions, "heard": sorted(heard)},
    ).to_dicts()
