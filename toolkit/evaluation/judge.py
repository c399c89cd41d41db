"""Have a judge compare answers in both orders and rate them, and keep its replies as JSON Lines.

{"request": "1f…", "model": "openai:m", "nth": 1, "raw": "Well … {…}", "answer": "{…}", "error": null, …}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from ...annotation.models.asking import AskOptions, Spent, ask_missing, check_limits
from ...annotation.models.backends.backend import Backend
from ...annotation.models.backends.hf_likelihood import judge_by_likelihood
from ...annotation.models.backends.registry import find_backend
from ...annotation.models.backends.text_scores import Messages
from ...annotation.models.budget import Limits
from ...annotation.models.judge.answers import JudgingMethod
from ...annotation.models.judge.requests import JudgeWording, judge_by_letters
from ...annotation.models.judge.verdicts import Shown, list_orders, reach_verdicts
from ...annotation.models.memory import ReplyFile
from ...annotation.models.requests import Request, Sampling, hash_request
from ...annotation.models.templates import read_template
from ...annotation.rubrics.rubric import read_rubric, score_ratings
from ...schemas.errors import EvaluationError
from ...schemas.rubric import Rubric
from .asking import SILENT, Callbacks, subtract_spent
from .config import EvaluationConfig, JudgeSettings
from .metrics.judged import FIRST, SCORE, SECOND, TIE, Pair
from .metrics.measure import list_judged

_SIDES = {"a": FIRST, "b": SECOND, "tie": TIE}


@dataclass
class RubricJudge:
    """A judge with its rubric and the file of its replies; metrics take `judge_pairs` and `rate_texts`."""

    rubric: Rubric
    method: JudgingMethod
    backend: Backend
    limits: Limits
    path: Path
    tries: int = 3
    spent: list[Spent] = field(default_factory=list)
    """Costs of askings, in order."""
    callbacks: Callbacks = SILENT
    judged: int = 0
    """Number of pairs with a usable answer in both orders."""
    disagree: int = 0
    """Number of those pairs on which the two orders disagree; they are ties."""

    @property
    def about(self) -> dict[str, str | int]:
        """The model, the rubric with its digest, and the counts of pairs, for metrics.json."""
        return {
            "model": self.backend.name,
            "rubric": self.rubric.name,
            "rubric_digest": self.rubric.digest,
            "pairs": self.judged,
            "orders_disagree": self.disagree,
        }

    def judge_pairs(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Judge each pair in both orders: first, second or tie; None without a usable answer.

        Raises EvaluationError if the rubric is not pairwise, or a limit kept requests from being sent.
        """
        _check_kind(self.rubric, "pairwise")
        questions = [
            {"key": str(n), "completion_a": f"{n}a", "completion_b": f"{n}b"} for n in range(len(pairs))
        ]
        requests: dict[Shown, Request] = {}
        for n, (messages, first, second) in enumerate(pairs):
            texts = {f"{n}a": first, f"{n}b": second}
            for shown in list_orders(f"{n}a", f"{n}b", self.method.both):
                requests[shown] = self.method.make(
                    _plain(messages), [texts[key or ""] for key in shown], None
                )
        said = self._answers(requests)
        found = reach_verdicts(replace(self.rubric, tie=True), questions, said, self.method.both)
        self.judged += len(found.given)
        self.disagree += found.disagree
        given = {int(one["question"]): _SIDES[json.loads(one["given"])["preference"]] for one in found.given}
        return [given.get(n) for n in range(len(pairs))]

    def rate_texts(self, texts: Sequence[tuple[Messages, str]]) -> list[dict[str, float] | None]:
        """Rate each text, 0 to 1: `score` (weighted mean) and each criterion; None without a usable answer.

        Raises EvaluationError if the rubric does not rate, or a limit kept requests from being sent.
        """
        _check_kind(self.rubric, "rating")
        requests: dict[Shown, Request] = {
            (str(n), None): self.method.make(_plain(messages), [text], None)
            for n, (messages, text) in enumerate(texts)
        }
        said = self._answers(requests)
        names = [criterion.name for criterion in self.rubric.criteria]
        found = [(n, said[str(n), None]) for n in range(len(texts)) if (str(n), None) in said]
        values = pl.DataFrame(
            [{name: answer[name] for name in names} for _, answer in found],
            schema=dict.fromkeys(names, pl.Int64),
        )
        scores = score_ratings(self.rubric, values).to_list()
        made: list[dict[str, float] | None] = [None] * len(texts)
        for (n, answer), score in zip(found, scores, strict=True):
            earned = {c.name: c.scores[answer[c.name] - 1] for c in self.rubric.criteria}
            made[n] = {SCORE: score} | earned
        return made

    def _answers(self, requests: Mapping[Shown, Request]) -> dict[Shown, dict[str, Any]]:
        """Get usable answers by what was shown; ask for those that are not kept yet."""
        memory = ReplyFile(self.path, self.backend.name)
        with self.callbacks.watching(self.backend) as watch:
            left = subtract_spent(self.limits, self.spent)
            options = AskOptions(left, self.tries, say=self.callbacks.say, watch=watch)
            asked = ask_missing(self.backend, list(requests.values()), memory, self.method.check, options)
        if asked.spent:
            self.spent.append(asked.spent)
            if asked.spent.left_out:
                raise EvaluationError(
                    f"{self.backend.name}: {asked.spent.left_out:,} of {asked.missing:,} requests were not "
                    "sent, as a limit was reached; what came is kept: run the same command again to go on"
                )
        answers = asked.known.read_answers()
        digests = {shown: hash_request(request) for shown, request in requests.items()}
        return {shown: answers[name] for shown, name in digests.items() if name in answers}


def add_judge(config: EvaluationConfig, model: str | None) -> EvaluationConfig:
    """Set the judge that the command line names, if any.

    Raises EvaluationError if no metric needs a judge, or the file names no rubric.
    """
    if model is None:
        return config
    if not set(list_judged()) & set(config.values.metrics):
        known = ", ".join(list_judged())
        raise EvaluationError(f"--judge: no metric of {config.path} asks a judge; those that do: {known}")
    if config.values.judge is None:
        raise EvaluationError(
            f"--judge: {config.path} does not say by what it judges: add judge: {{rubric: NAME}} (preceptor "
            "rubric list), or --set 'judge={rubric: NAME}'"
        )
    judge = config.values.judge.model_copy(update={"model": model})
    return replace(config, values=config.values.model_copy(update={"judge": judge}))


def make_judge(
    settings: JudgeSettings,
    path: Path,
    limits: Limits,
    base_url: str | None = None,
    prices: Path | None = None,
    spent: list[Spent] | None = None,
    callbacks: Callbacks = SILENT,
    trusting_code: bool = False,
) -> RubricJudge:
    """Make a judge whose replies are kept in the file `path`.

    `base_url` is used if the settings have none. `spent`: earlier askings that the limits are for, too.
    Raises AnnotationError if a name is wrong, or a cost cap has no price.
    """
    if settings.model is None:
        raise EvaluationError("a judge needs a model: --judge openai:NAME, or judge: {model: …} in the file")
    rubric = read_rubric(settings.rubric)
    backend = find_backend(settings.model, settings.base_url or base_url, prices, trusting_code=trusting_code)
    if backend.writes:
        sampling = Sampling(max_tokens=settings.max_tokens)
        template = read_template(f"judge-{rubric.kind}")
        method = judge_by_letters(JudgeWording(rubric, template, sampling=sampling))
    else:
        method = judge_by_likelihood(rubric)
    check_limits(backend, limits)
    spent = [] if spent is None else spent
    return RubricJudge(rubric, method, backend, limits, path, settings.tries, spent, callbacks)


def _check_kind(rubric: Rubric, kind: str) -> None:
    if rubric.kind != kind:
        names = list_judged(kind)
        raise EvaluationError(
            f"metric{'s' * (len(names) > 1)} {' and '.join(names)}: need a {kind} rubric, and "
            f"'{rubric.name}' is not (its metric is {list_judged(rubric.kind)[0]}); "
            "name another as judge: {rubric: …} (preceptor rubric list)"
        )


def _plain(messages: Messages) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]
