"""`preceptor why KEY`: trace a row back: pair -> fit -> signals -> file and line -> licence.

KEY is the key of a row of any config of a built dataset (in its _meta table, or in signals), or of a
completion, signal, question or answer of the store. Its first digits are enough. A dataset's keys are its
own: those of the store are computed from them, which takes the key file that it was built with. Texts and
licences that are no longer in the store, because their source was replaced, are read from the dataset.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...schemas.errors import StoreError
from ...schemas.tables import SIGNALS, SignalType
from ..privacy.published_keys import find_dataset_key, find_stored_keys
from ..privacy.traces import list_datasets
from ..store.connection import Store, open_files, query
from ..store.folders import shorten_path
from .folder import list_shards, read_manifest, select_rows

Found = dict[str, Any]


def _said_sql(signal: SignalType) -> str:
    """SELECT the signals of one type about the completions in $c, in words, with annotators' remarks."""
    first, other = (*signal.completions, "NULL")[:2]
    about = " OR ".join(f"list_contains($c, {column})" for column in signal.completions)
    rows = f"""SELECT key, '{signal.kind}' AS kind, {first} AS completion, {other} AS other,
        {signal.said} AS said, {signal.person} AS person, source, path, line, "at"
        FROM {signal.name} WHERE {about}"""
    if not signal.annotator:
        return f"SELECT *, NULL AS comment FROM ({rows})"
    return f"""SELECT s.* REPLACE (a.pseudonym AS person), w.comment FROM ({rows}) s
        LEFT JOIN annotators a ON a.key = s.person
        LEFT JOIN remarks w ON w.source = s.source AND w.position = s.line AND w.annotator = s.person"""


_SIGNALS = f"""
WITH remarks AS (
    SELECT a.source, q.position, a.annotator, a.comment FROM answers a JOIN questions q ON q.key = a.question
    WHERE a.superseded_at IS NULL AND a.comment IS NOT NULL
        AND (list_contains($c, q.completion_a) OR list_contains($c, q.completion_b)))
{" UNION ALL BY NAME ".join(map(_said_sql, SIGNALS))}
ORDER BY kind DESC, source, path, line, key"""


def why(con: Store, key: str, folders: Sequence[Path] = ()) -> Found:
    """Collect the origins of a row, as plain values ready for JSON.

    Looks in `folders`, or in those of the store's builds and beside these. Raises StoreError
    if no key, or more than one, begins with `key`.
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
    keys_of = row.pop("keys_of", None)
    if keys_of:
        _restore_keys(con, rows, keys_of)
    place = row.pop("place", None)
    for other in rows[1:]:
        other.pop("place", None)
        other.pop("keys_of", None)
    wanted = [
        row[name]
        for name in ("chosen_completion", "rejected_completion", "completion", "other")
        if row.get(name)
    ]
    signals = query(con, _SIGNALS, {"c": wanted}).to_dicts()
    found = {
        "rows": rows,
        "prompt": _prompt(con, wanted),
        "completions": _completions(con, wanted),
        "fit": _fit(con, row.get("fit")),
        "signals": signals,
        "sources": _licences(con, wanted, {s["source"] for s in signals}),
    }
    return found | _read_lost(found, row, wanted, place) if place else found


def _read_lost(found: Found, row: Found, wanted: list[str], place: tuple[Path, str, int]) -> Found:
    """Read from a dataset what the store no longer has of a row: its prompt, completions and sources.

    Returns them with those that the store has. Each that was read has the folder as `read_from`.
    """
    folder, file, number = place
    texts = {}
    path = folder / row["config"] / f"{file}.parquet"
    if path.is_file() and row["config"] != "signals":
        with open_files([path]) as memory:
            (texts,) = query(
                memory,
                f"FROM ({select_rows([str(path)])}) WHERE file_row_number = $number",
                {"number": number},
            ).to_dicts()
    said = {
        row.get(column): texts[name]
        for name, column in (
            ("chosen", "chosen_completion"),
            ("rejected", "rejected_completion"),
            ("completion", "completion"),
        )
        if name in texts
    }
    have = {one["key"] for one in found["completions"]}
    lost = [
        {"key": key, "content": _last(said[key]), "read_from": shorten_path(folder)}
        for key in wanted
        if key in said and key not in have
    ]
    prompt = found["prompt"]
    if not prompt and "prompt" in texts:
        about = {name: row.get(name) for name in ("task", "group")}
        prompt = {"content": _last(texts["prompt"]), "read_from": shorten_path(folder)} | about
    known = {source["name"] for source in found["sources"]}
    used = set(row.get("sources") or [row["source"]]) - known
    sources = [
        s | {"read_from": shorten_path(folder)}
        for s in read_manifest(folder).get("sources", [])
        if s["name"] in used
    ]
    return {
        "prompt": prompt,
        "completions": sorted([*found["completions"], *lost], key=lambda one: wanted.index(one["key"])),
        "sources": [*found["sources"], *sources],
    }


def _last(said: Any) -> str:
    """Return the text of a column of a dataset: plain, or the last message."""
    return str(said if isinstance(said, str) else said[-1]["content"])


def _rows(con: Store, key: str, folders: Sequence[Path]) -> list[Found]:
    """Find the rows with the key in datasets: dataset, config, split and the columns of their meta data.

    The key of the dataset's keys is added as keys_of: None where they are the store's own.
    """
    found = []
    for folder in list(folders) or list_datasets(con):
        manifest = read_manifest(folder)
        for config in manifest["counts"]:
            files = list_shards(folder, f"{config}_meta") or list_shards(folder, config)
            if not files:
                continue
            with open_files(files) as memory:
                rows = query(
                    memory, f"FROM ({select_rows(files)}) WHERE starts_with(key, $key)", {"key": key}
                )
            if rows.is_empty():
                continue
            about = {"place": None, "keys_of": find_dataset_key(manifest)}
            for whole in rows.drop("filename").to_dicts():
                place = (folder, whole.pop("file"), whole.pop("file_row_number"))
                row = {"dataset": shorten_path(folder), "config": config} | whole | about | {"place": place}
                named = "chosen_completion" in row or "completion" in row
                found.append(row | ({} if named else {"completion": row["key"]}))
    return found


def _restore_keys(con: Store, rows: list[Found], key: str) -> None:
    """Put the store's keys in place of those that only the dataset has, where the store still has them.

    The key of the row stays; that of the judgement or exercise that it is is added as `signal`, `exercise`.
    """
    completions = ("chosen_completion", "rejected_completion", "completion", "other")
    wanted = [row.get(name) for row in rows for name in completions]
    known = find_stored_keys(con, wanted, key, "SELECT key FROM completions")
    fits = find_stored_keys(con, [row.get("fit") for row in rows], key, "SELECT key FROM fits")
    prompts = find_stored_keys(con, [row.get("prompt") for row in rows], key, "SELECT key FROM prompts")
    groups = find_stored_keys(
        con, [row.get("group") for row in rows], key, 'SELECT DISTINCT "group" AS key FROM prompts'
    )
    said = " UNION ALL ".join(f"SELECT key FROM {signal.name}" for signal in SIGNALS)
    signals = find_stored_keys(con, [row["key"] for row in rows if row["config"] == "signals"], key, said)
    shown = [row["key"] for row in rows if row["config"] == "exercises"]
    exercises = find_stored_keys(con, shown, key, "SELECT key FROM exercises")
    places = {**dict.fromkeys(completions, known), "fit": fits, "prompt": prompts, "group": groups}
    for row in rows:
        for name, stored in places.items():
            if row.get(name) is not None:
                row[name] = stored.get(row[name], row[name])
        if row["key"] in signals:
            row["signal"] = signals[row["key"]]
        if row["key"] in exercises:
            row["exercise"] = exercises[row["key"]]


_ANSWERED = """(SELECT a.key, completion_a, completion_b
    FROM answers a JOIN questions q ON q.key = a.question)"""


def _stored(con: Store, key: str) -> list[Found]:
    """Find at most three rows whose key begins so: key, config (their kind), completion, other."""
    places = [
        ("completion", "completions", "key", "NULL"),
        *((signal.kind, signal.name, *(*signal.completions, "NULL")[:2]) for signal in SIGNALS),
        ("question", "questions", "completion_a", "completion_b"),
        ("answer", _ANSWERED, "completion_a", "completion_b"),
    ]
    selects = (
        f"""SELECT key, '{kind}' AS config, {completion} AS completion, {other} AS other
        FROM {rows} WHERE starts_with(key, $key)"""
        for kind, rows, completion, other in places
    )
    rows = query(con, f"{' UNION ALL '.join(selects)} ORDER BY key LIMIT 3", {"key": key})
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
    """Read the fit; only its key and `missing` if it is no longer in the store."""
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
    """Read the sources of texts and signals, with their licences."""
    return query(
        con,
        """SELECT name, license, redistribution, commercial_use, share_alike, url, revision, sha256
        FROM sources WHERE list_contains($heard::VARCHAR[], name)
            OR name IN (SELECT source FROM completions WHERE list_contains($c, key))
            OR name IN (SELECT q.source FROM prompts q JOIN completions c ON c.prompt = q.key
                WHERE list_contains($c, c.key)) ORDER BY name""",
        {"c": completions, "heard": sorted(heard)},
    ).to_dicts()
