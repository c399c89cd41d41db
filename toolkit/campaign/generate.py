"""Completions that a model was asked for, as a source of their own: kind generated, read as generate.

    completions  prompt 5f0c…  "Think of …"  origin model  author openai:gpt-4o-mini
        context {"purpose": "candidates", "temperature": 1.2, "seed": 0, "draw": 2, "request": "3f2c…", …}

A completion, the reply that it was and the source's counts are written in one transaction, so a run that is
killed knows what it has. What is there is told by prompt and request; a reply that another source already
has makes a completion without asking again.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.licenses import NONE_STATED, License
from ...schemas.recipe import Recipe, read_recipe
from ...schemas.support.nearest import nearest
from ...schemas.tables import COMPLETIONS, SOURCES
from ..dataset.choose.pairs import assign_part_sql
from ..store.connection import Store, insert, query, run, transaction
from ..store.where import Where, check_where
from .campaigns import check_name
from .replies import keep_replies, known_replies

READER = "generate"
CANDIDATES, REJECTED = "candidates", "rejected-candidates"
_PROMPTS = """SELECT key, messages, context, "group", language, task, source FROM prompts"""


@dataclass(frozen=True)
class Asked:
    """One request for a completion: its digest, the prompt, and how it samples."""

    request: str
    prompt: str


@dataclass(frozen=True)
class Plan:
    """What completions are made of: by which model, into which source, why and how worded."""

    source: str
    author: str
    purpose: str
    template: str
    license: License


def select_prompts(con: Store, sql: str) -> pl.DataFrame:
    """Prompts whose keys a SELECT gives, in its order, each once: columns of `prompts` that wording needs.

    Raises AnnotationError where it is no single SELECT, has no column `key`, or names no prompts.
    """
    try:
        statements = con.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise AnnotationError("--prompts: expected one SELECT, such as SELECT key FROM prompts")
        found = query(con, statements[0].query)
    except duckdb.Error as error:
        raise AnnotationError(f"--prompts: {str(error).strip()}") from error
    if "key" not in found.columns:
        hint = nearest("key", found.columns, "it has")
        raise AnnotationError(f"--prompts: the SELECT has no column 'key', keys of prompts; {hint}")
    keys = found.select(pl.col("key").cast(pl.String)).drop_nulls().unique(maintain_order=True)
    rows = _in_order(con, keys)
    if rows.height < keys.height:
        lost = keys.join(rows, on="key", how="anti")["key"]
        raise AnnotationError(
            f"--prompts: {len(lost):,} of {keys.height:,} keys are no prompts, such as '{lost[0]}'; "
            "of completions select prompt AS key"
        )
    return _some(rows, "the SELECT gives no rows")


def filter_prompts(
    con: Store, sources: Sequence[str] = (), task: str | None = None, language: str | None = None
) -> pl.DataFrame:
    """Prompts of sources, a task, a language, like `select_prompts`; all where nothing is said.

    Raises AnnotationError for one that no prompt is of, with the nearest.
    """
    check_where(con, Where(tuple(sources), task, language), "--source-of")
    return _some(_filtered(con, sources, task, language), "no prompt is of all that was asked for")


def recipe_prompts(con: Store, path: Path, purpose: str) -> pl.DataFrame:
    """Prompts that a recipe builds from, worded as it says; for rejected candidates those of its pairs."""
    recipe = read_recipe(path)
    where = "true" if purpose == CANDIDATES else f"{assign_part_sql(recipe)} <> 'sft'"
    rows = _filtered(con, recipe.sources, recipe.task, None, where)
    return _worded(_some(rows, f"{path}: no prompts of its sources and task"), recipe)


def _filtered(
    con: Store, sources: Sequence[str], task: str | None, language: str | None, where: str = "true"
) -> pl.DataFrame:
    return query(
        con,
        f"""{_PROMPTS} WHERE {where} AND (len($sources::VARCHAR[]) = 0 OR list_contains($sources, source))
        AND ($task IS NULL OR task = $task) AND ($language IS NULL OR language = $language)
        ORDER BY source, path, line, key""",
        {"sources": list(sources), "task": task, "language": language},
    )


def _in_order(con: Store, keys: pl.DataFrame) -> pl.DataFrame:
    con.register("keys", keys.with_row_index("nth").to_arrow())
    try:
        return query(con, f"SELECT p.* FROM ({_PROMPTS}) p JOIN keys USING (key) ORDER BY nth")
    finally:
        con.unregister("keys")


def _some(rows: pl.DataFrame, none: str) -> pl.DataFrame:
    if rows.is_empty():
        raise AnnotationError(f"--prompts: {none}; preceptor status lists what the store holds")
    return rows


def _worded(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """The last message as the recipe words it, since that is what a model will learn to answer."""

    def word(row: dict[str, Any]) -> list[dict[str, str]]:
        *before, last = row["messages"]
        text = recipe.wording(row["language"]).replace("{prompt}", last["content"], 1)
        return [*before, {"role": last["role"], "content": text}]

    worded = [word(row) for row in rows.select("messages", "language").iter_rows(named=True)]
    return rows.with_columns(pl.Series("messages", worded, rows.schema["messages"]))


def check_source(con: Store, plan: Plan) -> None:
    """AnnotationError where the source's name is none, belongs to what was not generated, or to what is
    under another licence.
    """
    name = plan.source
    check_name("--source", name)
    for reader, license in run(con, "SELECT reader, license FROM sources WHERE name = ?", [name]):
        if reader != READER:
            raise AnnotationError(
                f"'{name}' is a source read as {reader}, not one of completions that a model was asked for; "
                "choose another --source"
            )
        if NONE_STATED not in (license, plan.license.id) and license != plan.license.id:
            raise AnnotationError(
                f"source '{name}' is under {license}, not {plan.license.id}: choose another --source for "
                "completions under another licence"
            )


def license_of(con: Store, plan: Plan) -> str:
    """The licence that the source's completions are or will be under."""
    found = run(con, "SELECT license FROM sources WHERE name = ?", [plan.source])
    return str(found[0][0]) if found and plan.license.id == NONE_STATED else plan.license.id


def missing(con: Store, plan: Plan, asked: Sequence[Asked]) -> tuple[list[Asked], pl.DataFrame]:
    """Of what is asked for, what has no completion yet; and the last reply to each that was asked before."""
    have = set(
        run(
            con,
            "SELECT context->>'request', prompt FROM completions WHERE source = ? AND author = ?",
            [plan.source, plan.author],
        )
    )
    open_ = [one for one in asked if (one.request, one.prompt) not in have]
    known = known_replies(con, plan.author, list({one.request for one in open_}))
    return open_, known.group_by("request", maintain_order=True).last()


def store_generated(
    con: Store,
    plan: Plan,
    replies: Sequence[dict[str, Any]],
    prompts: dict[str, list[str]],
    language: str,
    new: bool = True,
) -> int:
    """Write replies, the completions that they are, and the source's counts, all or none; completions added.

    `replies` are rows of `replies` without source, purpose, model, prompt and template; `prompts` are the
    prompts' keys by request. With `new` false the replies are there already.
    """
    with transaction(con):
        if new:
            keep_replies(con, _reply_rows(plan, replies, prompts))
        rows = [row for reply in replies for row in _completions(plan, reply, prompts[reply["request"]])]
        added = insert(con, COMPLETIONS, pl.DataFrame(rows, infer_schema_length=None)) if rows else 0
        _count(con, plan, language)
    return added


def _reply_rows(plan: Plan, replies: Iterable[dict[str, Any]], prompts: dict[str, list[str]]) -> pl.DataFrame:
    rows = [reply | {"prompt": prompts[reply["request"]][0]} for reply in replies]
    said = {"source": plan.source, "purpose": "generate", "model": plan.author, "template": plan.template}
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        **{name: pl.lit(value) for name, value in said.items()}
    )


def _completions(plan: Plan, reply: dict[str, Any], prompts: Sequence[str]) -> list[dict[str, Any]]:
    if reply["answer"] is None:
        return []
    sampling = json.loads(reply["sampling"])
    said = sampling.pop("said", {})
    context = {
        "purpose": plan.purpose,
        **sampling,
        "template": plan.template,
        "request": reply["request"],
        "prompt_tokens": reply["prompt_tokens"],
        "completion_tokens": reply["completion_tokens"],
        **said,
    }
    known = json.dumps({k: v for k, v in context.items() if v is not None}, ensure_ascii=False)
    row = {
        "source": plan.source,
        "content": reply["raw"],
        "origin": "model",
        "author": plan.author,
        "context": known,
        "path": plan.author,
        "line": sampling["draw"] + 1,
    }
    return [row | {"prompt": prompt, "ref": f"{prompt}-{reply['request']}"} for prompt in prompts]


def _count(con: Store, plan: Plan, language: str) -> None:
    """The source's row, made with its first replies, and its counts."""
    insert(
        con,
        SOURCES,
        pl.DataFrame(
            {
                "name": [plan.source],
                "kind": ["generated"],
                "language": [language],
                "license": [plan.license.id],
                "redistribution": [plan.license.redistribution],
                "commercial_use": [plan.license.commercial_use],
                "share_alike": [plan.license.share_alike],
                "sha256": [""],
                "reader": [READER],
                "notes": [f"written by {plan.author} as {plan.purpose}"],
                "rows": [0],
                "rejects": [0],
                "ingested_at": [datetime.now(UTC)],
            }
        ),
    )
    run(
        con,
        """UPDATE sources SET rows = (SELECT count(*) FROM completions WHERE source = $name),
        ingested_at = $now WHERE name = $name""",
        {"name": plan.source, "now": datetime.now(UTC)},
    )
