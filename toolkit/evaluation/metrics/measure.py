"""All figures of one model: of its answers, of what it holds likely, of what a judge says.

left_out(["rated", "perplexity"], likelihood=True, judge=None, several=False)
# {"rated": "needs a judge: --judge openai:NAME, or judge: {model: …}"}
measured(["states", "preferred"], items, Measured(answers, score=score))
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ....schemas.support.json_lines import add_lines, read_lines
from .judged import JudgePairs, Rate, judged, judged_references, rated
from .likelihood import Figures, Known, Score, perplexity, preferred, remembering, scaffolding
from .registry import METRICS
from .statistics import Item

LIKELIHOOD: dict[str, Callable[[Sequence[Item], Score], Figures]] = {
    "preferred": preferred,
    "perplexity": perplexity,
    "scaffolding": scaffolding,
}


class Judging(Protocol):
    """A judge: what asks about pairs, and what has texts rated."""

    @property
    def kind(self) -> str:
        """Of its rubric: pairwise or rating."""

    @property
    def about(self) -> Mapping[str, str | int]:
        """Its name (model), its rubric's, its pairs and how many of them its orders disagree on."""

    @property
    def pairs(self) -> JudgePairs: ...  # noqa: D102
    @property
    def ratings(self) -> Rate: ...  # noqa: D102


@dataclass(frozen=True)
class Measured:
    """What there is of one model."""

    answers: Sequence[str] = ()
    """To all items; none where no metric needs any."""
    score: Score | None = None
    first: Sequence[str] = ()
    """The first model's answers, which others are judged against."""
    judge: Judging | None = None


def left_out(names: Sequence[str], likelihood: bool, judge: str | None, several: bool) -> dict[str, str]:
    """Metrics that cannot be had, with why: no judge (`judge` is the kind of its rubric), no likelihoods."""
    found = {}
    for name in names:
        needs, wanted = METRICS[name].needs, "rating" if name == "rated" else "pairwise"
        if needs == "likelihood" and not likelihood:
            found[name] = "needs the models' log-probabilities, which only those named hf: give"
        elif needs == "judge" and judge is None:
            found[name] = "needs a judge: --judge openai:NAME, or judge: {model: …} in the file"
        elif needs == "judge" and judge != wanted:
            found[name] = f"needs a judge with a {wanted} rubric, and that of the file is {judge}"
        elif name == "judged" and not several:
            found[name] = "holds models against the first one, and there is no other"
    return found


def wants_answers(names: Sequence[str]) -> bool:
    """Whether any of the metrics is made of answers."""
    return any(METRICS[name].needs != "likelihood" for name in names)


def measured(names: Sequence[str], items: Sequence[Item], of: Measured) -> Figures:
    """All figures, by name, in the order of the metrics; of a judge or likelihoods where there are any."""
    found: Figures = {}
    for name in names:
        kind = METRICS[name]
        if kind.metric:
            found |= kind.metric(items, of.answers)
        elif name in LIKELIHOOD:
            found |= LIKELIHOOD[name](items, of.score) if of.score else {}
        elif of.judge:
            found |= _by_judge(name, items, of, of.judge)
    return found


def _by_judge(name: str, items: Sequence[Item], of: Measured, judge: Judging) -> Figures:
    if name == "rated":
        return rated(items, of.answers, judge.ratings)
    if name == "judged":
        return judged(items, of.answers, of.first, judge.pairs)
    return judged_references(items, of.answers, judge.pairs)


def kept_scores(file: Path, model: str, score: Score) -> Score:
    """`score`, whose results are kept in a file by the model's name, so that a broken-off run goes on."""
    rows = [row for row in read_lines(file) if row.get("model") == model]
    known = {row["text"]: None if row["score"] is None else Known(**row["score"]) for row in rows}

    def keep(made: Sequence[tuple[str, Known | None]]) -> None:
        add_lines(
            file, ({"model": model, "text": key, "score": asdict(one) if one else None} for key, one in made)
        )

    return remembering(score, known, keep)
