"""Completions that a model was asked for, as a source of their own: kind generated, read as generate.

    completions  prompt 5f0c…  "Think of …"  origin model  author openai:gpt-4o-mini
        context {"purpose": "candidates", "temperature": 1.2, "seed": 0, "draw": 2, "request": "3f2c…", …}

A completion, the reply that it was and the source's counts are written in one transaction, so a run that is
killed knows what it has. What is there is told by prompt and request; a reply that another source already
has makes a completion without asking again.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ...annotation.models.asking import (
    AS_USUAL,
    AskOptions,
    CostEstimate,
    Spent,
    ask_missing,
    estimate_cost,
    find_missing,
)
from ...annotation.models.backends.backend import Backend
from ...annotation.models.memory import KnownReplies, sort_replies
from ...annotation.models.requests import Reply, Request, Sampling, digest, make_row
from ...annotation.models.templates import read_template
from ...annotation.models.writing import read_completion, write_requests
from ...schemas.errors import AnnotationError
from ...schemas.licenses import NONE_STATED, License, read_license
from ...schemas.recipe import Recipe, read_recipe
from ...schemas.support.nearest import nearest
from ...schemas.tables import COMPLETIONS, SOURCES
from ..dataset.choose.pairs import part_sql
from ..store.connection import Store, insert, query, run, transaction
from .campaigns import check_name, set_license
from .questions import Where, check_where
from .replies import find_replies, keep_replies

READER = "generate"
CANDIDATES, REJECTED = "candidates", "rejected-candidates"
EVERYWHERE = Where()
_SAMPLING = Sampling(temperature=1.0)
_PROMPTS = """SELECT key, messages, context, "group", language, task, source FROM prompts"""


@dataclass(frozen=True)
class GenerateOptions:
    """What a model is asked to complete, and what its completions become."""

    prompts: str | None = None
    """A SELECT with a column `key`, or a recipe's YAML file; None: all prompts that are of `where`."""
    where: Where = EVERYWHERE
    draws: int = 1
    """Completions of each prompt."""
    sampling: Sampling = _SAMPLING
    template: str | None = None
    """Jinja file that words what is sent; None: the prompt's messages as they are."""
    purpose: str = CANDIDATES
    """CANDIDATES or REJECTED."""
    source: str | None = None
    """Name of the source they become; None: made of the model's name."""
    license: License = field(default_factory=lambda: read_license(None))
    """Of the completions; without one they are not published."""
    dry_run: bool = False
    """Estimate what it would take; nothing is sent or written."""


@dataclass(frozen=True)
class CompletionCounts:
    """How many completions are wanted, and what has to be asked for."""

    wanted: int
    prompts: int
    present: int
    """Completions that the source has already."""
    missing: int
    """Requests to be sent."""
    known: int
    """Usable replies that are kept without being completions of this source yet."""
    failed: int
    """Requests of earlier runs without a usable reply."""


@dataclass(frozen=True)
class GenerateResult:
    """What came of a run: a source and how many completions were added to it."""

    source: str
    counts: CompletionCounts
    estimate: CostEstimate | None = None
    """Of a dry run."""
    spent: Spent | None = None
    """None where nothing was sent."""
    added: int = 0


@dataclass(frozen=True)
class CompletionPlan:
    """What completions are made of: by which model, into which source, why and how worded."""

    source: str
    author: str
    purpose: str
    template: str
    license: License


def generate(
    con: Store,
    backend: Backend,
    options: GenerateOptions = GenerateOptions(),
    asking: AskOptions = AS_USUAL,
    announce: Callable[[CompletionCounts], None] = lambda _: None,
) -> GenerateResult:
    """Ask a model for completions of prompts, and keep them as a source of their own.

    Only what is missing is asked for; `announce` is called with the counts before that. Raises
    AnnotationError where prompts, template or source do not fit, a cost cap has no price to go by, or, after
    all that came was kept, the back-end refuses or stays away.
    """
    template = read_template(options.template) if options.template else None
    source = options.source or name_source(backend.name, options.purpose)
    worded = template.digest if template else "none"
    plan = CompletionPlan(source, backend.name, options.purpose, worded, options.license)
    check_source(con, plan)
    rows = _choose_prompts(con, options)
    prompts = [row | {"context": json.loads(row["context"] or "null")} for row in rows.iter_rows(named=True)]
    requests = list(write_requests(prompts, template, options.sampling, options.draws))
    if options.sampling.temperature == 0 and options.draws > 1:
        asking.say(f"note: at temperature 0 all {options.draws} draws of a prompt will be about the same")
    languages = rows["language"].unique().to_list()
    memory = _SourceMemory(con, plan, languages[0] if len(languages) == 1 else "und")
    absent = memory.find_absent(requests)
    asking = replace(asking, correct=False)
    missing = find_missing(absent, memory, asking)
    answered, present = list(missing.known.answered.values()), len(requests) - len(absent)
    todo, failed = len(missing.requests), len(missing.known.failed)
    counts = CompletionCounts(len(requests), rows.height, present, todo, len(answered), failed)
    announce(counts)
    if find_license(con, plan) == NONE_STATED:
        asking.say(
            f"note: source '{source}' has no licence, so none of it is ever published; "
            "--license SPDX-ID says under which its model's output is"
        )
    if options.dry_run:
        return GenerateResult(source, counts, estimate_cost(backend, missing.requests))
    if plan.license.id != NONE_STATED:
        set_license(con, source, plan.license)  # of an earlier run that did not say
    if answered:
        memory.store(answered, new=False)
    spent = ask_missing(backend, absent, memory, read_completion, asking).spent
    return GenerateResult(source, counts, None, spent, memory.added)


def name_source(author: str, purpose: str) -> str:
    """Name the source of a model's completions: openai:gpt-4o-mini -> gpt-4o-mini."""
    made = re.sub(r"[^a-z0-9._]+", "-", author.partition(":")[2].lower()).strip("-.")
    return made + ("" if purpose == CANDIDATES else "-rejected")


def _choose_prompts(con: Store, options: GenerateOptions) -> pl.DataFrame:
    """Prompts that are meant: key, messages, context, group, language and task."""
    prompts, where = options.prompts, options.where
    if prompts is None:
        return filter_prompts(con, where)
    filters = {"--source-of": where.sources, "--task": where.task, "--language": where.language}
    given = next((name for name, value in filters.items() if value), None)
    if given:
        raise AnnotationError(
            f"{given} is for when --prompts is left out; say it in the SELECT or the recipe"
        )
    if re.match(r"(select|from|with)\b", prompts.strip(), re.IGNORECASE):
        return select_prompts(con, prompts)
    if not prompts.endswith((".yaml", ".yml")) and not Path(prompts).is_file():
        raise AnnotationError(
            f"--prompts '{prompts}': expected a SELECT, such as \"SELECT key FROM prompts "
            "WHERE source = 'bridge'\", or a recipe's YAML"
        )
    return read_recipe_prompts(con, Path(prompts), options.purpose)


@dataclass
class _SourceMemory:
    """The memory of a source of completions: a reply and the completions that it is are kept together."""

    con: Store
    plan: CompletionPlan
    language: str
    added: int = 0
    """Completions that were added so far."""
    prompts: dict[str, list[str]] = field(default_factory=dict)
    """Keys of the prompts by digest of the request, of completions that are not there yet."""

    def find_absent(self, requests: Sequence[Request]) -> list[Request]:
        """Find the requests that have no completion in the source yet."""
        have = set(
            run(
                self.con,
                "SELECT context->>'request', prompt FROM completions WHERE source = ? AND author = ?",
                [self.plan.source, self.plan.author],
            )
        )
        absent = []
        for request in requests:
            name = digest(request)
            if (name, request.about) not in have:
                absent.append(request)
                self.prompts.setdefault(name, []).append(request.about)
        return absent

    def find(self, digests: Sequence[str]) -> KnownReplies:
        """Find the model's kept replies, whichever source they were asked for."""
        return sort_replies(find_replies(self.con, self.plan.author, digests).iter_rows(named=True))

    def keep(self, replies: Sequence[Reply]) -> None:
        """Keep replies and the completions that they are."""
        self.store([make_row(reply) for reply in replies])

    def store(self, rows: Sequence[Mapping[str, Any]], new: bool = True) -> None:
        """Write rows of `replies` (with `new` false they are there already) and their completions."""
        self.added += store_generated(self.con, self.plan, rows, self.prompts, self.language, new)


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


def filter_prompts(con: Store, where: Where = EVERYWHERE) -> pl.DataFrame:
    """Select the prompts of sources, a task, a language, like `select_prompts`; all by default.

    Raises AnnotationError for one that no prompt is of, with the nearest.
    """
    check_where(con, where, "--source-of")
    return _some(
        _filtered(con, where.sources, where.task, where.language), "no prompt is of all that was asked for"
    )


def read_recipe_prompts(con: Store, path: Path, purpose: str) -> pl.DataFrame:
    """Prompts that a recipe builds from, worded as it says; for rejected candidates those of its pairs."""
    recipe = read_recipe(path)
    where = "true" if purpose == CANDIDATES else f"{part_sql(recipe)} <> 'sft'"
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


def check_source(con: Store, plan: CompletionPlan) -> None:
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


def find_license(con: Store, plan: CompletionPlan) -> str:
    """Find the licence that the source's completions are or will be under."""
    found = run(con, "SELECT license FROM sources WHERE name = ?", [plan.source])
    return str(found[0][0]) if found and plan.license.id == NONE_STATED else plan.license.id


def store_generated(
    con: Store,
    plan: CompletionPlan,
    replies: Sequence[Mapping[str, Any]],
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


def _reply_rows(
    plan: CompletionPlan, replies: Iterable[Mapping[str, Any]], prompts: dict[str, list[str]]
) -> pl.DataFrame:
    rows = [{**reply, "prompt": prompts[reply["request"]][0]} for reply in replies]
    said = {"source": plan.source, "purpose": "generate", "model": plan.author, "template": plan.template}
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        **{name: pl.lit(value) for name, value in said.items()}
    )


def _completions(
    plan: CompletionPlan, reply: Mapping[str, Any], prompts: Sequence[str]
) -> list[dict[str, Any]]:
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


def _count(con: Store, plan: CompletionPlan, language: str) -> None:
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
