"""Asks a judge for `preceptor evaluate`: pairs in both orders, ratings; its replies are kept.

{"request": "1f…", "model": "openai:m", "nth": 1, "raw": "Well … {…}", "answer": "{…}", "error": null, …}
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....schemas.errors import EvaluationError
from ...evaluation.metrics.judged import FIRST, SCORE, SECOND, TIE, Messages, Pair
from .options import ModelOptions, say_line, watching

if TYPE_CHECKING:
    from ....annotation.models.asking import Spent
    from ....annotation.models.backends.backend import Backend
    from ....annotation.models.budget import Limits
    from ....annotation.models.judge.answers import JudgingMethod
    from ....annotation.models.judge.verdicts import Shown
    from ....annotation.models.requests import Request
    from ....annotation.rubrics.rubric import Rubric
    from ...evaluation.config import Config

_SIDES = {"a": FIRST, "b": SECOND, "tie": TIE}


@dataclass
class Judge:
    """A judge with its rubric, and the file of what it said; `pairs` and `ratings` are what metrics take."""

    rubric: "Rubric"
    way: "JudgingMethod"
    backend: "Backend"
    limits: "Limits"
    path: Path
    tries: int = 3
    spent: "list[Spent]" = field(default_factory=list)
    """What was asked, in order."""
    judged: int = 0
    """Pairs with an answer of use in both orders."""
    disagree: int = 0
    """Those of them whose orders tell otherwise: ties."""

    @property
    def kind(self) -> str:
        """Of the rubric: pairwise or rating."""
        return self.rubric.kind

    @property
    def about(self) -> dict[str, str | int]:
        """Its name, its rubric's and that one's digest; pairs, and those that its orders disagree on."""
        return {
            "model": self.backend.name,
            "rubric": self.rubric.name,
            "rubric_digest": self.rubric.digest,
            "pairs": self.judged,
            "orders_disagree": self.disagree,
        }

    def pairs(self, pairs: Sequence[Pair]) -> list[str | None]:
        """first, second or tie for each pair, of both orders; None where there is no answer of use."""
        from ....annotation.models.judge.verdicts import list_orders, reach_verdicts

        _check_kind(self.rubric, "pairwise")
        questions = [
            {"key": str(n), "completion_a": f"{n}a", "completion_b": f"{n}b"} for n in range(len(pairs))
        ]
        requests: dict[Shown, Request] = {}
        for n, (messages, first, second) in enumerate(pairs):
            texts = {f"{n}a": first, f"{n}b": second}
            for shown in list_orders(f"{n}a", f"{n}b", self.way.both):
                requests[shown] = self.way.make(_plain(messages), [texts[key or ""] for key in shown], None)
        said = self._answers(requests)
        found = reach_verdicts(replace(self.rubric, tie=True), questions, said, self.way.both)
        self.judged += len(found.given)
        self.disagree += found.disagree
        given = {int(one["question"]): _SIDES[json.loads(one["given"])["preference"]] for one in found.given}
        return [given.get(n) for n in range(len(pairs))]

    def ratings(self, texts: Sequence[tuple[Messages, str]]) -> list[dict[str, float] | None]:
        """The summary score and what each criterion earns, 0 to 1; None where there is no answer of use."""
        import polars as pl

        from ....annotation.rubrics.rubric import summary

        _check_kind(self.rubric, "rating")
        requests: dict[Shown, Request] = {
            (str(n), None): self.way.make(_plain(messages), [text], None)
            for n, (messages, text) in enumerate(texts)
        }
        said = self._answers(requests)
        names = [criterion.name for criterion in self.rubric.criteria]
        found = [(n, said[str(n), None]) for n in range(len(texts)) if (str(n), None) in said]
        values = pl.DataFrame(
            [{name: answer[name] for name in names} for _, answer in found],
            schema=dict.fromkeys(names, pl.Int64),
        )
        scores = summary(self.rubric, values).to_list()
        made: list[dict[str, float] | None] = [None] * len(texts)
        for (n, answer), score in zip(found, scores, strict=True):
            earned = {c.name: c.scores[answer[c.name] - 1] for c in self.rubric.criteria}
            made[n] = {SCORE: score} | earned
        return made

    def _answers(self, requests: "Mapping[Shown, Request]") -> "dict[Shown, dict[str, Any]]":
        """Answers of use, by what was shown; those that are not kept yet are asked for."""
        from ....annotation.models.asking import AskOptions, ask_missing
        from ....annotation.models.memory import ReplyFile
        from ....annotation.models.requests import digest

        digests = {shown: digest(request) for shown, request in requests.items()}
        memory = ReplyFile(self.path, self.backend.name)
        with watching(self.backend) as watch:
            options = AskOptions(self._left(), self.tries, say=say_line, watch=watch)
            asked = ask_missing(self.backend, list(requests.values()), memory, self.way.check, options)
        if asked.spent:
            self.spent.append(asked.spent)
        if asked.spent and asked.spent.left_out:
            raise EvaluationError(
                f"{self.backend.name}: {asked.spent.left_out:,} of {asked.missing:,} requests were not sent, "
                "as a limit was reached; what came is kept: run the same command again to go on"
            )
        answers = asked.known.read_answers()
        return {shown: answers[name] for shown, name in digests.items() if name in answers}

    def _left(self) -> "Limits":
        """The run's limits less what was spent."""
        most, cost = self.limits.max_requests, self.limits.max_cost
        sent = sum(one.requests for one in self.spent)
        paid = sum(one.cost or 0.0 for one in self.spent)
        return replace(
            self.limits,
            max_requests=None if most is None else max(0, most - sent),
            max_cost=None if cost is None else max(0.0, cost - paid),
        )


def with_judge(config: "Config", model: str | None) -> "Config":
    """The evaluation with the judge of the command line; EvaluationError where there is nothing to ask it."""
    from ...evaluation.metrics.registry import METRICS

    if model is None:
        return config
    if not any(METRICS[name].needs == "judge" for name in config.values.metrics):
        known = ", ".join(name for name, kind in METRICS.items() if kind.needs == "judge")
        raise EvaluationError(f"--judge: no metric of {config.path} asks a judge; those that do: {known}")
    if config.values.judge is None:
        raise EvaluationError(
            f"--judge: {config.path} does not say by what it judges: add judge: {{rubric: NAME}} (preceptor "
            "rubric list), or --set 'judge={rubric: NAME}'"
        )
    judge = config.values.judge.model_copy(update={"model": model})
    return replace(config, values=config.values.model_copy(update={"judge": judge}))


def judge_of(
    config: "Config", models: ModelOptions, spent: "list[Spent]"
) -> "tuple[Callable[[Path], Judge] | None, str | None]":
    """What makes the judge, of a file for its replies, and the kind of its rubric; (None, None) without one.

    `spent` holds what the models took, which the limits are for as well.
    """
    wanted = config.values.judge
    if wanted is None or wanted.model is None:
        return None, None
    made = make_judge(
        wanted.model,
        wanted.rubric,
        models.limits,
        Path(),
        wanted.base_url or models.base_url,
        models.prices,
        wanted.tries,
        wanted.max_tokens,
        spent,
    )
    return lambda path: replace(made, path=path), made.kind


def make_judge(
    model: str,
    rubric_name: str,
    limits: "Limits",
    path: Path,
    base_url: str | None = None,
    prices: Path | None = None,
    tries: int = 3,
    max_tokens: int = 512,
    spent: "list[Spent] | None" = None,
) -> Judge:
    """A judge by its name (openai:…, hf:…, hf-likelihood:…) and rubric.

    `spent` holds what else the limits are for. AnnotationError where a name is wrong, or a cost cap has no
    price to go by.
    """
    from ....annotation.models.asking import check_limits
    from ....annotation.models.backends.hf_likelihood import judge_by_likelihood
    from ....annotation.models.backends.registry import find_backend
    from ....annotation.models.judge.requests import JudgeWording, judge_by_letters
    from ....annotation.models.requests import Sampling
    from ....annotation.models.templates import read_template
    from ....annotation.rubrics.rubric import read_rubric

    rubric = read_rubric(rubric_name)
    asker = find_backend(model, base_url, prices)
    if not asker.writes:
        way = judge_by_likelihood(rubric)
    else:
        asked = JudgeWording(
            rubric, read_template(f"judge-{rubric.kind}"), sampling=Sampling(max_tokens=max_tokens)
        )
        way = judge_by_letters(asked)
    check_limits(asker, limits)
    return Judge(rubric, way, asker, limits, path, tries, [] if spent is None else spent)


def _check_kind(rubric: "Rubric", kind: str) -> None:
    if rubric.kind != kind:
        what, other = (
            ("metrics judged and judged_references", "rated")
            if kind == "pairwise"
            else ("metric rated", "judged")
        )
        raise EvaluationError(
            f"{what}: need a {kind} rubric, and '{rubric.name}' is not (its metric is {other}); "
            "name another as judge: {rubric: …} (preceptor rubric list)"
        )


def _plain(messages: Messages) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]
