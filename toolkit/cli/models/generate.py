"""`preceptor generate`: completions of prompts by a model."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import Common, common
from .options import asked_backend, limits_of, model_options, say_estimate, say_line, say_spent, watching

if TYPE_CHECKING:
    import polars as pl

    from ....annotation.models.asking import EarlierReply, Spent
    from ....annotation.models.backends.backend import Backend
    from ....annotation.models.requests import Reply, Request
    from ...campaign.generate import Plan
    from ...store.connection import Store

_PURPOSES = ("candidates", "rejected-candidates")


@click.command()
@click.option(
    "--prompts",
    metavar="SQL|RECIPE",
    help="Prompts to complete: a SELECT with a column 'key', or a recipe's YAML; all if left out.",
)
@click.option("--source-of", multiple=True, help="Prompts of this source only; repeat.")
@click.option("--task", help="Prompts of this task only.")
@click.option("--language", help="Prompts in this language only.")
@click.option("--k", type=click.IntRange(1), default=1, show_default=True, help="Completions of each prompt.")
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="0: always the likeliest words.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Only words within this share of probability.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Of a completion; what is longer is cut off and marked.",
)
@click.option("--stop", multiple=True, help="Text that ends a completion; repeat.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the first draw; the next one has the next seed.",
)
@click.option(
    "--prompt-template",
    "template_name",
    metavar="FILE",
    help="Jinja file that words what is sent; the prompt's messages as they are if left out.",
)
@click.option(
    "--as",
    "purpose",
    type=click.Choice(_PURPOSES),
    default="candidates",
    show_default=True,
    help="rejected-candidates: from the model before it learns preferences, to a recipe's pairs.",
)
@click.option("--source", help="Name of the source they become; made of the model's name if left out.")
@click.option(
    "--license", "license_id", help="Of the completions: SPDX id; without one they are not published."
)
@click.option("--retry-failed", is_flag=True, help="Ask again what came to nothing in an earlier run.")
@model_options
@common
def generate(
    settings: Common,
    /,
    prompts: str | None,
    template_name: str | None,
    purpose: str,
    source: str | None,
    license_id: str | None,
    retry_failed: bool,
    k: int,
    dry_run: bool,
    **how: Any,
) -> None:
    """Ask a model for completions of prompts, and keep them as a source of their own.

    What a run has, it keeps: run again after a stop, only what is missing is asked for; with a larger --k,
    only the new draws. Every reply is kept, also one that is empty or cannot be read. A template knows
    messages, prompt (the last message), context, group, language and task.
    """
    from ....annotation.models.templates import read_template
    from ....annotation.models.writing import write_requests
    from ....schemas.licenses import read_license
    from ...campaign.generate import Plan, check_source
    from ...store.connection import open_store

    template = read_template(template_name) if template_name else None
    license = read_license(license_id)
    backend = asked_backend(how)
    name = source or _source_name(backend.name, purpose)
    plan = Plan(name, backend.name, purpose, template.digest if template else "none", license)
    with open_store(settings.store, read_only=dry_run) as con:
        check_source(con, plan)
        rows = _prompts(con, prompts, purpose, how)
        requests = list(write_requests(_with_context(rows), template, _sampling(how), k))
        if how["temperature"] == 0 and k > 1:
            say_line(f"note: at temperature 0 all {k} draws of a prompt will be about the same")
        _run(con, plan, backend, requests, rows, retry_failed, how | {"dry_run": dry_run})


def _source_name(author: str, purpose: str) -> str:
    made = re.sub(r"[^a-z0-9._]+", "-", author.partition(":")[2].lower()).strip("-.")
    return made + ("-rejected" if purpose != _PURPOSES[0] else "")


def _sampling(how: dict[str, Any]) -> Any:
    from ....annotation.models.requests import Sampling

    return Sampling(*(how[name] for name in ("temperature", "top_p", "max_tokens", "seed", "stop")))


def _prompts(con: "Store", prompts: str | None, purpose: str, how: dict[str, Any]) -> "pl.DataFrame":
    """Key, messages, context, group, language and task of the prompts that are meant."""
    from ...campaign.generate import filter_prompts, recipe_prompts, select_prompts

    filters = {"--source-of": how["source_of"], "--task": how["task"], "--language": how["language"]}
    if prompts is None:
        return filter_prompts(con, how["source_of"], how["task"], how["language"])
    given = next((name for name, value in filters.items() if value), None)
    if given:
        raise click.UsageError(
            f"{given} is for when --prompts is left out; say it in the SELECT or the recipe"
        )
    if re.match(r"(select|from|with)\b", prompts.strip(), re.IGNORECASE):
        return select_prompts(con, prompts)
    if not prompts.endswith((".yaml", ".yml")) and not Path(prompts).is_file():
        raise click.UsageError(
            f"--prompts '{prompts}': expected a SELECT, such as \"SELECT key FROM prompts "
            "WHERE source = 'bridge'\", or a recipe's YAML"
        )
    return recipe_prompts(con, Path(prompts), purpose)


def _with_context(rows: "pl.DataFrame") -> list[dict[str, Any]]:
    import json

    return [row | {"context": json.loads(row["context"] or "null")} for row in rows.iter_rows(named=True)]


def _run(
    con: "Store",
    plan: "Plan",
    backend: "Backend",
    requests: "list[Request]",
    rows: "pl.DataFrame",
    retry_failed: bool,
    how: dict[str, Any],
) -> None:
    """Ask for what is missing, or say what it would take."""
    from ....annotation.models.requests import digest
    from ....schemas.licenses import NONE_STATED
    from ...campaign.campaigns import set_license
    from ...campaign.generate import Asked, license_of, missing, store_generated

    asked = [Asked(digest(request), request.about) for request in requests]
    by_digest = {one.request: request for one, request in zip(asked, requests, strict=True)}
    open_, known = missing(con, plan, asked)
    prompts: dict[str, list[str]] = {}
    for one in open_:
        prompts.setdefault(one.request, []).append(one.prompt)
    replies = {row["request"]: row for row in known.iter_rows(named=True)}
    answered = [row for row in replies.values() if row["answer"] is not None]
    failed = {name: _earlier(row) for name, row in replies.items() if row["answer"] is None}
    left = {name for name in prompts if name not in replies or (retry_failed and name in failed)}
    todo = [by_digest[name] for name in prompts if name in left]
    click.echo(
        f"{len(asked):,} completions of {rows.height:,} prompts: {len(asked) - len(open_):,} are there, "
        f"{len(todo):,} to be asked for" + (f", {len(answered):,} known from replies" if answered else "")
    )
    if failed and not retry_failed:
        click.echo(f"{len(failed):,} came to nothing before and are left (--retry-failed asks again)")
    if license_of(con, plan) == NONE_STATED:
        say_line(
            f"note: source '{plan.source}' has no licence, so none of it is ever published; "
            "--license SPDX-ID says under which its model's output is"
        )
    if how["dry_run"]:
        say_estimate(backend, todo)
        return
    if plan.license.id != NONE_STATED:
        set_license(con, plan.source, plan.license)  # of an earlier run that did not say
    languages = rows["language"].unique().to_list()
    language = languages[0] if len(languages) == 1 else "und"
    added = store_generated(con, plan, answered, prompts, language, new=False) if answered else 0
    if not todo:
        click.echo(
            "nothing was sent" + (f"; {added:,} completions added to source '{plan.source}'" if added else "")
        )
        return
    spent, more = _ask(con, plan, backend, todo, prompts, failed, language, how)
    say_spent(spent)
    click.echo(
        f"{added + more:,} completions added to source '{plan.source}'"
        + (f", {spent.failed:,} came to nothing (kept in replies)" if spent.failed else "")
    )


def _earlier(row: dict[str, Any]) -> "EarlierReply":
    from ....annotation.models.asking import EarlierReply

    return EarlierReply(row["nth"], row["raw"], row["error"], tell=False)


def _ask(
    con: "Store",
    plan: "Plan",
    backend: "Backend",
    todo: "list[Request]",
    prompts: dict[str, list[str]],
    failed: "dict[str, EarlierReply]",
    language: str,
    how: dict[str, Any],
) -> "tuple[Spent, int]":
    from ....annotation.models.asking import ask
    from ....annotation.models.requests import make_row
    from ....annotation.models.writing import read_completion
    from ...campaign.generate import store_generated

    added = 0

    def keep(replies: "list[Reply]") -> None:
        nonlocal added
        added += store_generated(con, plan, [make_row(reply) for reply in replies], prompts, language)

    with watching(backend, len(todo)) as watch:
        spent = ask(
            backend,
            todo,
            check=read_completion,
            keep=keep,
            limits=limits_of(how),
            say=say_line,
            watch=watch,
            earlier=failed,
        )
    return spent, added
