"""`preceptor judge`: a model answers a campaign's questions by a rubric, as one more annotator."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....annotation.models.backends.text_scores import NORMALISE
from ....schemas.support.numbers import format_count
from ..options import Choice, Common, add_option_record, add_where_options, make_table, open_stdout
from .judge_audit import audit
from .options import (
    ModelOptions,
    add_model_options,
    open_backends,
    say_estimate,
    say_failed,
    say_line,
    watch_spending,
)

if TYPE_CHECKING:
    from ....annotation.models.asking import Spent
    from ....annotation.models.judge.verdicts import Verdicts
    from ....schemas.rubric import Rubric
    from ...campaign.answers import Taken
    from ...campaign.judge import JudgeOptions, JudgeResult
    from ...store.where import Where

SELECTS = ("coverage", "random")


@dataclass(frozen=True)
class _JudgeArguments:
    """The command's own options as they are given."""

    rubric_name: str | None
    campaign: str | None
    n: int | None
    select: str
    select_seed: int
    where: "Where"
    examples: Path | None
    prompt_template: Path | None
    no_reason: bool
    tries: int
    license_id: str | None
    retry_failed: bool
    max_tokens: int
    temperature: float
    normalise: str | None
    tie_margin: float | None
    no_seed: bool


_OPTIONS = (
    click.option(
        "--rubric",
        "rubric_name",
        metavar="NAME",
        help="Rubric that says what is asked: its name (preceptor rubric list) or its YAML file.",
    ),
    click.option(
        "--campaign", help="Campaign whose questions the model answers. Default: a campaign of its own."
    ),
    click.option("--n", "-n", "n", type=click.IntRange(1), help="Number of questions. Default: all."),
    click.option(
        "--select",
        type=Choice(SELECTS),
        default="coverage",
        show_default=True,
        help="How questions of a campaign of its own are chosen, if --n is less than all.",
    ),
    click.option(
        "--select-seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Random seed of that choice.",
    ),
    add_where_options(),
    click.option(
        "--examples",
        type=click.Path(path_type=Path, dir_okay=False),
        help='Examples for the model, as JSON Lines: {"prompt": "…", "first": "…", "second": "…", '
        '"answer": "first", "reason": "…"}; if one text is rated: "completion" in place of the '
        "two, and an answer for each criterion.",
    ),
    click.option(
        "--prompt-template",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Jinja template of your own of what is sent.",
    ),
    click.option("--no-reason", is_flag=True, help="Do not ask for a reason before the verdict."),
    click.option(
        "--tries",
        type=click.IntRange(1, 10),
        default=3,
        show_default=True,
        help="Maximum number of replies to a request. After each reply that cannot be used, the "
        "model is asked again and told what was wrong.",
    ),
    click.option(
        "--license",
        "license_id",
        help="Licence of the votes and ratings, as an SPDX id. Without one they are not published.",
    ),
    click.option("--retry-failed", is_flag=True, help="Ask again for what failed in an earlier run."),
    click.option(
        "--max-tokens",
        type=click.IntRange(1),
        default=512,
        show_default=True,
        help="Maximum number of tokens of a reply.",
    ),
    click.option(
        "--temperature",
        type=click.FloatRange(0),
        default=0.0,
        show_default=True,
        help="Sampling temperature; 0: always the most likely token.",
    ),
    click.option(
        "--normalise",
        type=Choice(NORMALISE),
        help="For hf-likelihood: divide the log-probability by the number of these. Default: characters.",
    ),
    click.option(
        "--tie-margin",
        type=click.FloatRange(0),
        help="For hf-likelihood: largest difference that is a tie, in nats per character or token "
        "(see --normalise). Default: 0.",
    ),
    click.option("--no-seed", is_flag=True, help="Send no seed, for servers that refuse it."),
)


@click.group(invoke_without_command=True)
@add_option_record("given", _JudgeArguments, *_OPTIONS)
@add_model_options
@click.pass_context
def judge(context: click.Context, /, given: _JudgeArguments, asked: ModelOptions) -> None:
    """Let a model judge completions by a rubric, as one more annotator.

    Pairs are always judged in both orders. If the two orders disagree, the model chose by position, and its
    vote is a tie. The model is an annotator of kind model: preceptor annotate agreement compares it with
    people, and preceptor fuse estimates how reliable it is. Replies are stored: a run that was stopped
    continues where it was, and nothing is asked twice. A reply that was cut off or filtered is no verdict;
    if requests failed, the exit code is 1. The texts that a judge reads may try to influence it. They are
    enclosed in marks and named as data, which lowers that risk but does not remove it (see preceptor judge
    audit).

    --model hf-likelihood:FOLDER writes no text: it prefers the completion of a pair that is more likely
    after the prompt. A template of your own can use title, guidelines, examples, dialogue, first and second
    or completion (these texts within their marks), choices, wordings, reason, form and mark.
    """
    if context.invoked_subcommand:
        return
    if not (given.rubric_name and asked.models):
        raise click.UsageError("--rubric and --model are needed (or a subcommand: preceptor judge --help)")
    _judge(context.ensure_object(Common), given.rubric_name, given, asked)


judge.add_command(audit)


def _judge(settings: Common, rubric_name: str, given: _JudgeArguments, asked: ModelOptions) -> None:
    from ....annotation.models.asking import AskOptions
    from ....annotation.rubrics.rubric import read_rubric
    from ...campaign.judge import judge as run
    from ...store.connection import open_store

    rubric = read_rubric(rubric_name)
    options = _options(given, asked.dry_run)
    (backend,) = open_backends(asked)
    with open_store(settings.store) as con, watch_spending(backend) as watch:
        asking = AskOptions(asked.limits, given.tries, given.retry_failed, say=say_line, watch=watch)
        result = run(con, rubric, backend, options, asking)
    if result.estimate:
        say_estimate(backend.name, result.estimate)
    else:
        _say(rubric, result)
        say_failed(result.spent)


def _options(given: _JudgeArguments, dry_run: bool) -> "JudgeOptions":
    from ....annotation.models.requests import Sampling
    from ....schemas.licenses import read_license
    from ...campaign.judge import JudgeOptions

    return JudgeOptions(
        given.campaign,
        given.n,
        given.select,
        given.select_seed,
        given.where,
        read_license(given.license_id) if given.license_id else None,
        given.examples,
        given.prompt_template,
        not given.no_reason,
        Sampling(given.temperature, max_tokens=given.max_tokens, seed=None if given.no_seed else 0),
        given.normalise,
        given.tie_margin,
        dry_run,
    )


def _say(rubric: "Rubric", result: "JudgeResult") -> None:
    rows = _spent_rows(result.spent)
    if result.taken and result.verdicts:
        rows = [*_judged_rows(rubric, result, result.taken, result.verdicts), *rows]
    out = open_stdout()
    out.print(make_table(result.model, ("", ""), [(name, text) for name, text in rows]))
    out.print(f"next: preceptor annotate agreement --source {result.campaign}")


def _judged_rows(
    rubric: "Rubric", result: "JudgeResult", taken: "Taken", found: "Verdicts"
) -> list[tuple[str, str]]:
    counts = ((taken.new, "new"), (taken.superseded, "changed"), (taken.unchanged, "as before"))
    changed = ", ".join(f"{n:,} {what}" for n, what in counts if n)
    total = result.questions
    rows = [("judged", f"{len(found.given):,} of {total:,} questions{f' ({changed})' if changed else ''}")]
    if found.positions:
        becomes = "ties" if rubric.tie else "no vote, since the rubric takes no tie"
        pairs = sum(found.positions.values())
        shares = (f"{name} {n / pairs:.1%}" for name, n in found.positions.items())
        rows += [("orders disagree", f"{found.disagree:,} ({becomes})"), ("positions", ", ".join(shares))]
    if found.no_vote > found.disagree:
        rows.append(("no vote", f"{found.no_vote:,}: ties, which the rubric does not take"))
    if result.failed:
        failed = format_count(result.failed, "request")
        rows.append(("failed", f"{failed}; what came is kept, --retry-failed asks again"))
    if found.missing:
        rows.append(("without an answer", format_count(found.missing, "question")))
    return rows


def _spent_rows(spent: "Spent | None") -> list[tuple[str, str]]:
    from ....annotation.models.prices import describe_cost

    if spent is None:
        return [("sent", "nothing: every reply is there already")]
    left = f", {spent.left_out:,} left out: run it again for them" if spent.left_out else ""
    requests = format_count(spent.requests, "request")
    return [
        ("sent", f"{requests}, {format_count(spent.replies, 'reply', 'replies')}{left}"),
        ("tokens", f"{spent.prompt_tokens:,} in, {spent.completion_tokens:,} out"),
        ("cost", describe_cost(spent.cost, spent.unsure)),
    ]
