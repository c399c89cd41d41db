"""`preceptor judge`: a model answers a campaign's questions by a rubric, as one more annotator."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import Common, stdout, table
from .judge_audit import audit
from .options import asked_backend, limits_of, model_options, say_estimate, say_line, usd, watching

if TYPE_CHECKING:
    from ....annotation.models.asking import Spent
    from ....annotation.models.backends.backend import Backend
    from ....annotation.models.judge.answers import JudgingMethod
    from ....annotation.models.judge.verdicts import Shown, Verdicts
    from ....annotation.models.requests import Reply, Request
    from ....annotation.rubrics.rubric import Rubric
    from ...campaign.answers import Taken
    from ...campaign.judge import Asked, Known
    from ...store.connection import Store

NORMALISE = ("characters", "tokens", "none")
SELECTS = ("coverage", "random")
LIKELIHOOD = "hf-likelihood:"


@click.group(invoke_without_command=True)
@click.option(
    "--rubric",
    "rubric_name",
    metavar="NAME",
    help="What is asked: a rubric's name (preceptor rubric list) or its YAML file.",
)
@click.option("--campaign", help="A campaign whose questions it answers; one of its own if left out.")
@click.option("--n", "-n", "n", type=click.IntRange(1), help="Questions; all there are if left out.")
@click.option(
    "--select",
    type=click.Choice(SELECTS),
    default="coverage",
    show_default=True,
    help="How questions of its own are chosen where --n leaves some out.",
)
@click.option("--select-seed", type=click.IntRange(0), default=0, show_default=True, help="Of that choice.")
@click.option("--source", "sources", multiple=True, help="Prompts of this source only; repeat.")
@click.option("--task", help="Prompts of this task only.")
@click.option("--language", help="Prompts in this language only.")
@click.option(
    "--examples",
    type=click.Path(path_type=Path, dir_okay=False),
    help='JSON Lines: {"prompt": "…", "first": "…", "second": "…", "answer": "first", "reason": '
    '"…"}; where one is rated "completion", and the answer by criterion.',
)
@click.option(
    "--prompt-template",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A Jinja template of your own for what is sent.",
)
@click.option("--no-reason", is_flag=True, help="Ask for no reason before the verdict.")
@click.option(
    "--tries",
    type=click.IntRange(1, 10),
    default=3,
    show_default=True,
    help="Replies to a request until it has failed; the model is told what was wrong.",
)
@click.option(
    "--license", "license_id", help="Of its votes and ratings: SPDX id; without one they are not published."
)
@click.option("--retry-failed", is_flag=True, help="Ask again what failed before.")
@click.option("--max-tokens", type=click.IntRange(1), default=512, show_default=True, help="Of a reply.")
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="0: always the likeliest words.",
)
@click.option(
    "--normalise",
    type=click.Choice(NORMALISE),
    help="Of hf-likelihood: log-probability by what; characters if left out.",
)
@click.option(
    "--tie-margin",
    type=click.FloatRange(0),
    help="Of hf-likelihood: nats, so divided, that are still a tie; 0 if left out.",
)
@model_options
@click.pass_context
def judge(context: click.Context, /, **how: Any) -> None:
    """Let a model judge completions by a rubric, as one more annotator.

    Pairs are always judged in both orders: where the orders disagree, the model chose by position, and
    its vote is a tie. It is an annotator of kind model, so that preceptor annotate agreement holds it
    against people and preceptor fuse learns how far to trust it. Replies are kept: a run that was stopped
    goes on where it was, and nothing is asked twice. The texts that a judge reads may try to sway it: they
    are fenced and named as data, which lowers that risk and does not end it (preceptor judge audit).

    --model hf-likelihood:FOLDER writes nothing: it holds that completion of a pair better which is likelier
    after the prompt. A template of your own knows title, guidelines, examples, dialogue (texts within their
    fences), first and second or completion (likewise), choices, wordings, reason, form and mark.
    """
    if context.invoked_subcommand:
        return
    if not (how["rubric_name"] and how["model"]):
        raise click.UsageError("--rubric and --model are needed (or a subcommand: preceptor judge --help)")
    _judge(context.ensure_object(Common), how)


judge.add_command(audit)


@dataclass(frozen=True)
class _Plan:
    """What is to be asked, and what is known of it."""

    asked: "Asked"
    requests: "dict[Shown, Request]"
    digests: "dict[Shown, str]"
    known: "Known"


@dataclass(frozen=True)
class _Ended:
    """What came of it; to `failed` requests there are replies, and none of use."""

    taken: "Taken"
    found: "Verdicts"
    failed: int


def _judge(settings: Common, how: dict[str, Any]) -> None:
    from ....annotation.rubrics.rubric import read_rubric
    from ....schemas.licenses import read_license
    from ...campaign.campaigns import set_license
    from ...store.connection import open_store

    rubric, license = read_rubric(how["rubric_name"]), read_license(how["license_id"])
    way = _way(rubric, how)
    backend = asked_backend(how)
    with open_store(settings.store) as con:
        plan = _plan(con, rubric, way, backend.name, how)
        todo = _todo(plan, how["tries"], how["retry_failed"])
        _say_first(plan, todo, way)
        if how["dry_run"]:
            say_estimate(backend, todo)
            return
        if how["license_id"]:
            set_license(con, plan.asked.campaign, license)
        spent = None
        try:
            spent = _ask(con, backend, way, plan, todo, how) if todo else None
        finally:  # what is there counts, also where the rest could not be had
            ended = _take(con, rubric, way, backend.name, plan)
    _say(rubric, backend.name, plan, spent, ended)


def _way(rubric: "Rubric", how: dict[str, Any]) -> "JudgingMethod":
    """By letters or by likelihood, as the model says."""
    from ....annotation.models.backends.hf_likelihood import judge_by_likelihood
    from ....annotation.models.judge.requests import JudgeWording, judge_by_letters, read_examples
    from ....annotation.models.requests import Sampling
    from ....annotation.models.templates import read_template

    if how["model"].startswith(LIKELIHOOD):
        for option in ("examples", "prompt_template"):
            if how[option]:
                raise click.UsageError(
                    f"--{option.replace('_', '-')}: {LIKELIHOOD}… is shown no rubric, only the texts"
                )
        return judge_by_likelihood(rubric, how["normalise"] or NORMALISE[0], how["tie_margin"] or 0.0)
    for option in ("normalise", "tie_margin"):
        if how[option] is not None:
            raise click.UsageError(f"--{option.replace('_', '-')} belongs to models named {LIKELIHOOD}…")
    template = read_template(how["prompt_template"] or f"judge-{rubric.kind}")
    examples = read_examples(how["examples"], rubric) if how["examples"] else ()
    sampling = Sampling(how["temperature"], max_tokens=how["max_tokens"])
    return judge_by_letters(JudgeWording(rubric, template, examples, not how["no_reason"], sampling))


def _plan(con: "Store", rubric: "Rubric", way: "JudgingMethod", model: str, how: dict[str, Any]) -> _Plan:
    from ....annotation.models.judge.verdicts import list_orders
    from ....annotation.models.requests import digest
    from ...campaign.judge import known, own_questions, questions_of
    from ...campaign.questions import Where

    where = Where(how["sources"], how["task"], how["language"])
    if how["campaign"]:
        asked = questions_of(con, how["campaign"], rubric, how["n"], where)
    else:
        asked = own_questions(
            con, rubric, model, how["n"], how["select"], how["select_seed"], where, how["dry_run"]
        )
    requests: dict[Shown, Request] = {}
    for row in asked.questions.iter_rows(named=True):
        texts = {row["completion_a"]: row["content_a"], row["completion_b"]: row["content_b"]}
        for shown in list_orders(row["completion_a"], row["completion_b"], way.both):
            of = [texts[key] for key in shown if key is not None]
            requests.setdefault(shown, way.make(row["messages"], of, (row["prompt"], *shown)))
    digests = {shown: digest(request) for shown, request in requests.items()}
    return _Plan(asked, requests, digests, known(con, model, list(digests.values())))


def _todo(plan: _Plan, tries: int, retry_failed: bool) -> "list[Request]":
    """Requests that have no reply of use, and have not failed."""
    from ...campaign.judge import unfinished

    known = plan.known
    return [
        request
        for shown, request in plan.requests.items()
        if (name := plan.digests[shown]) not in known.answers
        and (retry_failed or name not in known.faulty or unfinished(known.faulty[name], tries))
    ]


def _ask(
    con: "Store",
    backend: "Backend",
    way: "JudgingMethod",
    plan: _Plan,
    todo: "list[Request]",
    how: dict[str, Any],
) -> "Spent":
    from ....annotation.models.asking import EarlierReply, ask
    from ...campaign.judge import was_message

    faulty = plan.known.faulty
    earlier = {
        name: EarlierReply(row["nth"], row["raw"], row["error"] or "", was_message(row))
        for name, row in faulty.items()
    }
    before = max((row["nth"] for row in faulty.values()), default=0) if how["retry_failed"] else 0

    def keep(replies: "list[Reply]") -> None:
        _keep(con, plan.asked.campaign, backend.name, way.template, replies)

    with watching(backend, len(todo)) as watch:
        return ask(
            backend,
            todo,
            check=way.check,
            keep=keep,
            limits=limits_of(how),
            tries=before + how["tries"],
            say=say_line,
            watch=watch,
            earlier=earlier,
        )


def _keep(con: "Store", campaign: str, model: str, template: str, replies: "list[Reply]") -> None:
    import polars as pl

    from ....annotation.models.requests import make_row
    from ...campaign.replies import keep_replies
    from ...store.connection import transaction

    names = ("prompt", "completion_a", "completion_b")
    rows = [dict(zip(names, reply.request.about, strict=True)) | make_row(reply) for reply in replies]
    more = {"source": campaign, "purpose": "judge", "model": model, "template": template}
    frame = pl.DataFrame([row | more for row in rows], infer_schema_length=None)
    with transaction(con):
        keep_replies(con, frame)


def _take(con: "Store", rubric: "Rubric", way: "JudgingMethod", model: str, plan: _Plan) -> _Ended:
    """The model's answers from all replies that are there."""
    from ....annotation.models.judge.verdicts import reach_verdicts
    from ...campaign.judge import known, take_verdicts

    now = known(con, model, list(plan.digests.values()))
    said = {shown: now.answers[name] for shown, name in plan.digests.items() if name in now.answers}
    found = reach_verdicts(rubric, plan.asked.questions.iter_rows(named=True), said, way.both)
    given = [one | {"at": max(now.at[plan.digests[shown]] for shown in one["shown"])} for one in found.given]
    taken = take_verdicts(con, plan.asked.campaign, model, given)
    return _Ended(taken, found, len(now.faulty))


def _say_first(plan: _Plan, todo: "list[Request]", way: "JudgingMethod") -> None:
    from ....annotation.models.backends.hf_likelihood import count_copied

    say_line(
        f"campaign {plan.asked.campaign}: {plan.asked.questions.height:,} questions, "
        f"{len(plan.requests):,} requests, {len(todo):,} of them to be sent"
    )
    notes = list(plan.asked.chosen.notes if plan.asked.chosen else ())
    if not way.both and (copies := count_copied(plan.asked.questions.iter_rows(named=True))):
        notes.append(
            f"in {copies:,} of them the prompt holds one of the texts, which is then the likelier "
            "one whatever it is worth: use a model that writes (openai:, hf:)"
        )
    for note in notes:
        say_line(f"note: {note}")


def _say(rubric: "Rubric", model: str, plan: _Plan, spent: "Spent | None", ended: _Ended) -> None:
    from rich.markup import escape

    rows = [*_judged_rows(rubric, plan, ended), *_spent_rows(spent)]
    out = stdout()
    out.print(table(escape(model), ("", ""), [(name, escape(text)) for name, text in rows]))
    out.print(f"next: preceptor annotate agreement --source {plan.asked.campaign}", markup=False)


def _judged_rows(rubric: "Rubric", plan: _Plan, ended: _Ended) -> list[tuple[str, str]]:
    taken, found, failed = ended.taken, ended.found, ended.failed
    counts = ((taken.new, "new"), (taken.superseded, "changed"), (taken.unchanged, "as before"))
    changed = ", ".join(f"{n:,} {what}" for n, what in counts if n)
    total = plan.asked.questions.height
    rows = [("judged", f"{len(found.given):,} of {total:,} questions{f' ({changed})' if changed else ''}")]
    if found.positions:
        becomes = "ties" if rubric.tie else "no vote, since the rubric takes no tie"
        pairs = sum(found.positions.values())
        shares = (f"{name} {n / pairs:.1%}" for name, n in found.positions.items())
        rows += [("orders disagree", f"{found.disagree:,} ({becomes})"), ("positions", ", ".join(shares))]
    if found.no_vote > found.disagree:
        rows.append(("no vote", f"{found.no_vote:,}: ties, which the rubric does not take"))
    if failed:
        rows.append(("failed", f"{failed:,} requests; what came is kept, --retry-failed asks again"))
    if found.missing:
        rows.append(("without an answer", f"{found.missing:,} questions"))
    return rows


def _spent_rows(spent: "Spent | None") -> list[tuple[str, str]]:
    if spent is None:
        return [("sent", "nothing: every reply is there already")]
    left = f", {spent.left_out:,} left out: run it again for them" if spent.left_out else ""
    return [
        ("sent", f"{spent.requests:,} requests, {spent.replies:,} replies{left}"),
        ("tokens", f"{spent.prompt_tokens:,} in, {spent.completion_tokens:,} out"),
        ("cost", "no price is known" if spent.cost is None else usd(spent.cost)),
    ]
