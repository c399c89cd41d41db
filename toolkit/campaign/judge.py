"""Let a model annotate a campaign: its questions, its kept replies, its answers.

    question 5f0c… about a and b; replies: (a, b) first, (b, a) second -> answer {"preference": "a"}

By default a judge has its own campaign, named after rubric and model; in a campaign of people it gets
their questions.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ...annotation.models.asking import (
    AS_USUAL,
    AskOptions,
    CostEstimate,
    Spent,
    ask_missing,
    check_limits,
    estimate_cost,
    find_missing,
)
from ...annotation.models.backends.backend import Backend
from ...annotation.models.backends.hf_likelihood import KIND, count_copied, judge_by_likelihood
from ...annotation.models.backends.registry import WRITING
from ...annotation.models.backends.text_scores import NORMALISE
from ...annotation.models.judge.answers import JudgingMethod
from ...annotation.models.judge.requests import JudgeWording, judge_by_letters, read_examples
from ...annotation.models.judge.verdicts import Shown, Verdicts, list_orders, reach_verdicts
from ...annotation.models.memory import KnownReplies
from ...annotation.models.requests import LIKELIEST, Request, Sampling, hash_request
from ...annotation.models.templates import read_template
from ...schemas.errors import AnnotationError
from ...schemas.licenses import License
from ...schemas.rubric import Rubric
from ..store.connection import Store, query
from ..store.where import EVERYWHERE, Where, check_names
from .answers import MODEL, Taken, take_answers
from .campaigns import check_campaign, check_same_rubric, set_license
from .questions import Chosen, Golden, add_questions, read_questions
from .replies import ReplyTable

SELECTS = ("coverage", "random")
CAME_BY = "judge"
_ALL = 10**9  # questions: as many as there are


@dataclass(frozen=True)
class JudgeOptions:
    """Options of judging: questions and wording."""

    campaign: str | None = None
    """The campaign whose questions it answers; None: its own."""
    n: int | None = None
    """Number of questions; None: all."""
    select: str = "coverage"
    """How the `n` questions of its own campaign are chosen: one of SELECTS."""
    seed: int = 0
    """Random seed of that choice."""
    where: Where = EVERYWHERE
    license: License | None = None
    """Licence of its votes and ratings; None: unchanged."""
    examples: Path | None = None
    """JSON Lines of examples, for a model that writes."""
    template: Path | None = None
    """Jinja file of the request, for a model that writes; None: the packaged one."""
    reason: bool = True
    """Ask for a reason before the verdict."""
    sampling: Sampling = LIKELIEST
    normalise: str | None = None
    """Divisor of log-probabilities, for a model that does not write: one of NORMALISE."""
    tie_margin: float | None = None
    """Largest difference in nats, so divided, that is a tie, for a model that does not write."""
    dry_run: bool = False
    """Estimate tokens and cost; do not change the store."""


@dataclass(frozen=True)
class CampaignQuestions:
    """Questions for a judge, columns as of questions.read_questions."""

    campaign: str
    questions: pl.DataFrame
    chosen: Chosen | None
    """Questions added to the judge's own campaign; None for another campaign."""


@dataclass(frozen=True)
class JudgeResult:
    """Result of a judge's run."""

    model: str
    campaign: str
    questions: int
    estimate: CostEstimate | None = None
    """Estimate of a dry run; all fields below are empty then."""
    spent: Spent | None = None
    """None if every reply was kept already."""
    taken: Taken | None = None
    verdicts: Verdicts | None = None
    failed: int = 0
    """Requests whose replies are all unusable."""


def judge(
    con: Store,
    rubric: Rubric,
    backend: Backend,
    options: JudgeOptions = JudgeOptions(),
    asking: AskOptions = AS_USUAL,
) -> JudgeResult:
    """Let a model answer a campaign's questions by a rubric, as one more annotator.

    Replies are kept when they arrive, and never requested again. Raises AnnotationError if there is nothing
    to ask, options do not fit the model, there is a cost cap and no price, or the back-end refuses or does
    not answer; answers are taken from the replies that came before.
    """
    check_limits(backend, asking.limits)
    method = choose_method(rubric, backend, options)
    asked = _choose_questions(con, rubric, backend.name, options)
    requests = _make_requests(asked.questions, method)
    about = ("prompt", "completion_a", "completion_b")
    memory = ReplyTable(con, backend.name, asked.campaign, "judge", method.template, about)
    missing = find_missing(list(requests.values()), memory, asking)
    _say_first(asked, len(requests), len(missing.requests), method, asking)
    total = asked.questions.height
    if options.dry_run:
        estimate = estimate_cost(backend, missing.requests)
        return JudgeResult(backend.name, asked.campaign, total, estimate)
    if options.license:
        set_license(con, asked.campaign, options.license)
    spent = None
    try:
        spent = ask_missing(backend, list(requests.values()), memory, method.check, asking).spent
    finally:  # take the kept replies, also if the others failed
        digests = {shown: hash_request(request) for shown, request in requests.items()}
        known = memory.find(list(digests.values()))
        taken, verdicts = _take(con, rubric, method, backend.name, asked, digests, known)
    return JudgeResult(backend.name, asked.campaign, total, None, spent, taken, verdicts, len(known.failed))


def choose_method(rubric: Rubric, backend: Backend, options: JudgeOptions = JudgeOptions()) -> JudgingMethod:
    """Choose how a model judges: by its written answers, or by log-probability if it does not write.

    Raises AnnotationError for an option that does not fit the model, a template or examples that cannot be
    read, and a rating rubric for a model that does not write.
    """
    if not backend.writes:
        for option, value in (("--examples", options.examples), ("--prompt-template", options.template)):
            if value:
                raise AnnotationError(f"{option}: {KIND}:… is shown no rubric, only the texts")
        return judge_by_likelihood(rubric, options.normalise or NORMALISE[0], options.tie_margin or 0.0)
    for option, given in (("--normalise", options.normalise), ("--tie-margin", options.tie_margin)):
        if given is not None:
            raise AnnotationError(f"{option} belongs to models named {KIND}:…")
    template = read_template(options.template or f"judge-{rubric.kind}")
    examples = read_examples(options.examples, rubric) if options.examples else ()
    return judge_by_letters(JudgeWording(rubric, template, examples, options.reason, options.sampling))


def _choose_questions(con: Store, rubric: Rubric, model: str, options: JudgeOptions) -> CampaignQuestions:
    if options.campaign:
        return read_campaign_questions(con, options.campaign, rubric, options.n, options.where)
    return choose_own_questions(
        con, rubric, model, options.n, options.select, options.seed, options.where, options.dry_run
    )


def _make_requests(questions: pl.DataFrame, method: JudgingMethod) -> dict[Shown, Request]:
    """Make requests by completions shown; `about` has the keys of the prompt and of these completions."""
    requests: dict[Shown, Request] = {}
    for row in questions.iter_rows(named=True):
        texts = {row["completion_a"]: row["content_a"], row["completion_b"]: row["content_b"]}
        for shown in list_orders(row["completion_a"], row["completion_b"], method.both):
            of = [texts[key] for key in shown if key is not None]
            requests.setdefault(shown, method.make(row["messages"], of, (row["prompt"], *shown)))
    return requests


def _say_first(
    asked: CampaignQuestions, requests: int, missing: int, method: JudgingMethod, asking: AskOptions
) -> None:
    asking.say(
        f"campaign {asked.campaign}: {asked.questions.height:,} questions, "
        f"{requests:,} requests, {missing:,} of them to be sent"
    )
    notes = list(asked.chosen.notes if asked.chosen else ())
    if not method.both and (copies := count_copied(asked.questions.iter_rows(named=True))):
        notes.append(
            f"in {copies:,} of them the prompt holds one of the texts, which is then the likelier "
            f"one whatever it is worth: use a model that writes ({', '.join(WRITING)})"
        )
    for note in notes:
        asking.say(f"note: {note}")


def _take(
    con: Store,
    rubric: Rubric,
    method: JudgingMethod,
    model: str,
    asked: CampaignQuestions,
    digests: Mapping[Shown, str],
    known: KnownReplies,
) -> tuple[Taken, Verdicts]:
    """Take the model's answers from all kept replies."""
    answers = known.read_answers()
    said = {shown: answers[name] for shown, name in digests.items() if name in answers}
    found = reach_verdicts(rubric, asked.questions.iter_rows(named=True), said, method.both)
    at = {shown: known.answered[name]["at"] for shown, name in digests.items() if name in answers}
    given = [one | {"at": max(at[shown] for shown in one["shown"])} for one in found.given]
    return take_verdicts(con, asked.campaign, model, given), found


def name_campaign(rubric: Rubric, model: str) -> str:
    """Name a judge's own campaign: pairwise-preference-openai-gpt-4o-mini."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", f"{rubric.name}-{model}").strip("-")


def choose_own_questions(
    con: Store,
    rubric: Rubric,
    model: str,
    n: int | None,
    select: str = "coverage",
    seed: int = 0,
    where: Where = EVERYWHERE,
    dry_run: bool = False,
) -> CampaignQuestions:
    """Choose the questions of the judge's own campaign, which is begun or grows to `n`; None: all.

    With `dry_run` the store does not change. Raises AnnotationError if there is nothing to ask.
    """
    campaign = name_campaign(rubric, model)
    con.begin()
    try:
        chosen = add_questions(con, campaign, rubric, n or _ALL, select, seed, Golden(0, 0), where)
        asked = _select_questions(campaign, read_questions(con, campaign), n, where)
    except BaseException:
        con.rollback()
        raise
    (con.rollback if dry_run else con.commit)()
    return CampaignQuestions(campaign, asked, chosen if n else replace(chosen, notes=()))


def read_campaign_questions(
    con: Store, campaign: str, rubric: Rubric, n: int | None, where: Where
) -> CampaignQuestions:
    """Read the first `n` questions of a campaign; add none.

    Raises AnnotationError if there is no such campaign, or it was begun with another rubric.
    """
    check_campaign(con, campaign)
    check_same_rubric(con, campaign, rubric)
    questions = _select_questions(campaign, read_questions(con, campaign), n, where)
    return CampaignQuestions(campaign, questions, None)


def _select_questions(campaign: str, questions: pl.DataFrame, n: int | None, where: Where) -> pl.DataFrame:
    """Select the first `n` questions about what is asked for."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for option, value, column in where.name_options():
        wanted.setdefault((option, "source_of" if column == "source" else column), []).append(value)
    for (option, column), values in wanted.items():
        have = questions[column].unique().sort()
        kind, where_asked = column.removesuffix("_of"), f"in campaign '{campaign}'"
        check_names(option, values, have, kind, where_asked, AnnotationError)
        questions = questions.filter(pl.col(column).is_in(values))
    return questions.head(n) if n else questions


def take_verdicts(con: Store, campaign: str, model: str, given: Iterable[Mapping[str, Any]]) -> Taken:
    """Take a model's answers: question (key), given (JSON), comment, at (when it replied).

    If a run uses replies of an earlier run with the same settings, its answers replace younger ones: the
    last run decides.
    """
    rows = [{name: row[name] for name in ("question", "given", "comment", "at")} for row in given]
    stands = dict(
        query(
            con,
            """SELECT question, a."at" FROM answers a JOIN annotators p ON p.key = a.annotator
            WHERE a.source = ? AND superseded_at IS NULL AND p.kind = ? AND p.pseudonym = ?""",
            [campaign, MODEL, model],
        ).rows()
    )
    now = datetime.now(UTC)
    for row in rows:
        if row["question"] in stands and stands[row["question"]] > row["at"]:
            row["at"] = now
    schema: dict[str, Any] = {
        "question": pl.String,
        "given": pl.String,
        "comment": pl.String,
        "at": pl.Datetime("us", "UTC"),
    }
    answers = pl.DataFrame(rows, schema=schema).with_columns(annotator=pl.lit(model))
    return take_answers(con, campaign, answers, kind=MODEL, came_by=CAME_BY)
