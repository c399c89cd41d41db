"""Ask a model for completions, and store them as a source: kind generated, reader generate.

    completions  prompt 5f0c…  "Think of …"  origin model  author openai:gpt-4o-mini
        context {"purpose": "candidates", "temperature": 1.2, "seed": 0, "draw": 2, "request": "3f2c…", …}

A completion, its reply and the source's counts are written in one transaction, so a killed run can resume.
Existing completions are known by prompt and request; a reply that another source already has becomes a
completion without a new request.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from ...annotation.models.asking import (
    AS_USUAL,
    AskOptions,
    CostEstimate,
    MissingRequests,
    Spent,
    ask_missing,
    check_limits,
    estimate_cost,
    find_missing,
)
from ...annotation.models.backends.backend import Backend
from ...annotation.models.backends.endings import REASONING
from ...annotation.models.backends.registry import WRITING
from ...annotation.models.memory import KnownReplies, sort_replies
from ...annotation.models.requests import Reply, Request, Sampling, hash_request, make_row
from ...annotation.models.templates import read_template
from ...annotation.models.writing import read_completion, write_requests
from ...schemas.errors import AnnotationError
from ...schemas.licenses import NONE_STATED, License, read_license
from ...schemas.tables import COMPLETIONS, SOURCES
from ..store.connection import Store, insert, run, transaction
from ..store.where import EVERYWHERE, Where
from .campaigns import check_name, set_license
from .prompts import CANDIDATES, choose_prompts
from .replies import find_replies, keep_replies

READER = "generate"
_SAMPLING = Sampling(temperature=1.0)


@dataclass(frozen=True)
class GenerateOptions:
    """Options of asking for completions and of storing them."""

    prompts: str | None = None
    """A SELECT with a column `key`, or a recipe's YAML file; None: all prompts that match `where`."""
    where: Where = EVERYWHERE
    draws: int = 1
    """Completions of each prompt."""
    sampling: Sampling = _SAMPLING
    template: str | None = None
    """Jinja file that words the request; None: the prompt's messages, unchanged."""
    purpose: str = CANDIDATES
    """CANDIDATES or REJECTED."""
    source: str | None = None
    """Name of their source; None: made from the model's name."""
    license: License | None = None
    """Licence of the completions; without one they are not published."""
    dry_run: bool = False
    """Estimate tokens and cost; send and write nothing."""


@dataclass(frozen=True)
class CompletionCounts:
    """Numbers of completions wanted, stored, and to be requested."""

    wanted: int
    prompts: int
    present: int
    """Completions that the source has already."""
    missing: int
    """Completions to be asked for."""
    known: int
    """Completions that usable replies make, which the source does not have yet."""
    failed: int
    """Completions whose requests failed in an earlier run."""
    requests: int = 0
    """Requests to be sent: fewer than `missing` if prompts are equal, such as those of two sources."""


@dataclass(frozen=True)
class GenerateResult:
    """Result of a run: a source and the number of completions added."""

    source: str
    counts: CompletionCounts
    estimate: CostEstimate | None = None
    """Estimate of a dry run."""
    spent: Spent | None = None
    """None if nothing was sent."""
    added: int = 0


@dataclass(frozen=True)
class CompletionPlan:
    """A plan of completions: model, source, purpose and template."""

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

    Only missing completions are requested; `announce` is called with the counts before that. Raises
    AnnotationError if the model does not write, prompts, template or source do not fit, there is a cost cap
    and no price, or the back-end refuses or does not answer; replies that came before are kept.
    """
    if not backend.writes:
        raise AnnotationError(
            f"{backend.name}: writes no completions; give a model named {' or '.join(WRITING)}"
        )
    check_limits(backend, asking.limits)
    template = read_template(options.template) if options.template else None
    source = options.source or name_source(backend.name, options.purpose)
    worded = template.digest if template else "none"
    plan = CompletionPlan(
        source, backend.name, options.purpose, worded, options.license or read_license(None)
    )
    check_source(con, plan)
    rows = choose_prompts(con, options.prompts, options.where, options.purpose)
    prompts = [row | {"context": json.loads(row["context"] or "null")} for row in rows.iter_rows(named=True)]
    requests = list(write_requests(prompts, template, options.sampling, options.draws))
    if options.sampling.temperature == 0 and options.draws > 1:
        asking.say(f"note: at temperature 0 all {options.draws} draws of a prompt will be about the same")
    languages = rows["language"].unique().to_list()
    memory = _SourceMemory(con, plan, languages[0] if len(languages) == 1 else "und")
    absent = memory.find_absent(requests)
    asking = replace(asking, correct=False)
    missing = find_missing(absent, memory, asking)
    answered = list(missing.known.answered.values())
    counts = _count_completions(requests, absent, missing, rows.height)
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


def _count_completions(
    requests: Sequence[Request], absent: Sequence[Request], missing: MissingRequests, prompts: int
) -> CompletionCounts:
    """Count completions by what becomes of them; present, missing, known and failed add up to wanted."""
    names = [hash_request(request) for request in absent]
    asked = {hash_request(request) for request in missing.requests}
    todo = sum(name in asked for name in names)
    known = sum(name in missing.known.answered for name in names)
    present, failed = len(requests) - len(absent), len(absent) - todo - known
    return CompletionCounts(len(requests), prompts, present, todo, known, failed, len(asked))


def name_source(author: str, purpose: str) -> str:
    """Name the source of a model's completions: openai:gpt-4o-mini -> gpt-4o-mini."""
    made = re.sub(r"[^a-z0-9._]+", "-", author.partition(":")[2].lower()).strip("-.")
    return made + ("" if purpose == CANDIDATES else "-rejected")


@dataclass
class _SourceMemory:
    """A memory that keeps each reply together with its completions."""

    con: Store
    plan: CompletionPlan
    language: str
    added: int = 0
    """Number of completions added so far."""
    prompts: dict[str, list[str]] = field(default_factory=dict)
    """Keys of the prompts of missing completions, by digest of the request."""

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
            name = hash_request(request)
            if (name, request.about) not in have:
                absent.append(request)
                self.prompts.setdefault(name, []).append(request.about)
        return absent

    def find(self, digests: Sequence[str]) -> KnownReplies:
        """Find the model's kept replies of all sources."""
        return sort_replies(find_replies(self.con, self.plan.author, digests).iter_rows(named=True))

    def keep(self, replies: Sequence[Reply]) -> None:
        """Keep replies and their completions."""
        self.store([make_row(reply) for reply in replies])

    def store(self, rows: Sequence[Mapping[str, Any]], new: bool = True) -> None:
        """Write rows of `replies` (only if `new`) and their completions."""
        self.added += store_generated(self.con, self.plan, rows, self.prompts, self.language, new)


def check_source(con: Store, plan: CompletionPlan) -> None:
    """Check that completions can be stored under the plan's source name.

    Raises AnnotationError if the name is not valid, or the source has another reader or licence.
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
    """Find the licence of the source's completions."""
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
    """Write replies, their completions and the source's counts, all or none; return the number added.

    `replies` are rows of `replies` without source, purpose, model, prompt and template; `prompts` are the
    prompts' keys by request. If `new` is false, the replies are stored already.
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
    said.pop(REASONING, None)  # it stays in `replies`
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
    """Insert the source's row with its first replies, and update its counts."""
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
