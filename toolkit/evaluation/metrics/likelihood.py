"""What a model holds likely: pairs by their texts' log-probabilities, perplexities of references.

    score([((user("How do I add?"),), "Find a common denominator.")])   # -21.4 nats, 6 tokens, 26 characters
    preferred(items, score)["preferred"]       # share of pairs whose chosen text is the likelier one

No answers are needed. Perplexities are exp(nats a token), so that models whose tokenizers differ are compared
by bits a character instead. A text that is longer than the model takes has no score; what it belongs to does
not count, and a figure …_too_long says what share of the texts that is.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ....schemas.errors import EvaluationError
from ....schemas.keys import hash_key
from .statistics import FEW, Counts, Item, Statistics, ratio
from .tutor_states import read_turns, storable

SCAFFOLDING, TELLING = frozenset({"1", "4"}), frozenset({"2", "5"})
TOGETHER = 16  # texts that are scored between two writes


class Scored(Protocol):
    """How likely a completion is, with the end of its turn."""

    @property
    def log_probability(self) -> float: ...  # noqa: D102
    @property
    def tokens(self) -> int: ...  # noqa: D102
    @property
    def characters(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Known:
    """A score that is kept."""

    log_probability: float
    tokens: int
    characters: int


Text = tuple[Sequence[Mapping[str, str]], str]
"""A prompt's messages, and what may follow."""
Score = Callable[[Sequence[Text]], Sequence[Scored | None]]
"""Scores of texts under a model; None of one that is too long for it."""
Figures = dict[str, Statistics]


def preferred(items: Sequence[Item], score: Score) -> Figures:
    """The share of pairs whose chosen text is likelier, by character, than the rejected; equal ones are half.

    By character, since a longer text is less likely whatever it says. A pair that stands there twice is
    one.
    """
    pairs = [
        list(dict.fromkeys(zip(item.references, item.rejected, strict=True))) if item.rejected else []
        for item in items
    ]
    found = _scores(items, [[text for pair in of for text in pair] for of in pairs], score)
    rows = np.zeros((len(items), 2))
    for n, of in enumerate(found):
        for chosen, rejected in zip(of[::2], of[1::2], strict=True):
            if chosen and rejected:
                one, other = _by_character(chosen), _by_character(rejected)
                rows[n] += [0.5 if one == other else one > other, 1]
    return {"preferred": Statistics(rows, ratio)} | _too_long("preferred", found)


def perplexity(items: Sequence[Item], score: Score) -> Figures:
    """Bits a character of the references, and their perplexity, exp of mean nats a token.

    Bits come first, and so decide: a model that cuts words into more tokens has the lower perplexity for it.
    """
    found = _scores(items, [list(dict.fromkeys(item.references)) for item in items], score)
    rows = np.zeros((len(items), 3))
    for n, of in enumerate(found):
        for one in filter(None, of):
            rows[n] += [-one.log_probability, one.tokens, one.characters]
    bits = rows[:, [0, 2]] / [math.log(2), 1]
    return {
        "bits_per_character": Statistics(bits, ratio),
        "perplexity": Statistics(rows[:, :2], _perplexity),
    } | _too_long("perplexity", found)


def scaffolding(items: Sequence[Item], score: Score) -> Figures:
    """Perplexity of the tutor's turns that scaffold, of those that tell the solution, and their log ratio.

    By the action of each reference (SPOCK): 1 and 4 give a hint, 2 and 5 the step. One of several codes
    belongs to a side where all of them do. scaffolding_preference is ln(telling / scaffolding): above 0
    the model finds scaffolding likelier. Figures of a side that fewer than FEW prompts have are nan: draws
    of one turn would be an interval without width.
    """
    texts = [list(dict.fromkeys(item.references)) for item in items]
    actions = iter(read_turns([text for of in texts for text in of])["action"])
    sides = [[(text, side) for text in of if (side := _side(next(actions))) is not None] for of in texts]
    found = _scores(items, [[text for text, _ in of] for of in sides], score)
    rows = np.zeros((len(items), 4))
    for n, of in enumerate(found):
        for one, (_, side) in zip(of, sides[n], strict=True):
            if one:
                rows[n, 2 * side : 2 * side + 2] += [-one.log_probability, one.tokens]
    rare = np.repeat((rows[:, 1::2] > 0).sum(axis=0) < FEW, 2)
    rows[:, rare] = 0
    return {
        "scaffolding_preference": Statistics(rows, lambda sums: ratio(sums[:, 2:]) - ratio(sums[:, :2])),
        "scaffolding_perplexity": Statistics(rows[:, :2], _perplexity),
        "telling_perplexity": Statistics(rows[:, 2:], _perplexity),
    } | _too_long("scaffolding", found)


def needs_pairs(items: Sequence[Item]) -> None:
    """EvaluationError where no prompt has a rejected text."""
    if not any(item.rejected for item in items):
        raise EvaluationError(
            "metric preferred: the dataset's config sft has no rejected texts; choose "
            "--set dataset_config=preference"
        )


def needs_turns(items: Sequence[Item]) -> None:
    """EvaluationError where no reference is a tutor's structured turn."""
    found = read_turns([text for item in items for text in item.references])
    if not any(found["valid"]):
        raise EvaluationError(
            "metrics states and scaffolding: no reference is a tutor's structured turn (a JSON object with "
            "Evaluation of Student Response, Action Based on Evaluation …); leave them out of metrics"
        )


def text_key(text: Text) -> str:
    """Tells a text with its prompt from others."""
    messages, completion = text
    return hash_key([prompt_key(messages), storable(completion)])


def prompt_key(messages: Sequence[Mapping[str, str]]) -> str:
    """Tells a prompt from others."""
    return hash_key([json.dumps([[m["role"], m["content"]] for m in messages])])


def remembering(
    score: Score, known: dict[str, Known | None], keep: Callable[[Sequence[tuple[str, Known | None]]], None]
) -> Score:
    """`score`, which asks for no text that is in `known`, and gives what comes to `keep`, some at a time."""

    def ask(texts: Sequence[Text]) -> list[Known | None]:
        names = [text_key(text) for text in texts]
        todo = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
        left = list(todo)
        for at in range(0, len(left), TOGETHER):
            group = left[at : at + TOGETHER]
            made = list(zip(group, map(_known, score([todo[name] for name in group])), strict=True))
            keep(made)
            known.update(made)
        return [known[name] for name in names]

    return ask


def _known(one: Scored | None) -> Known | None:
    return None if one is None else Known(one.log_probability, one.tokens, one.characters)


def _scores(
    items: Sequence[Item], texts: Sequence[Sequence[str]], score: Score
) -> list[Sequence[Scored | None]]:
    """Of each item's texts, in order."""
    found = iter(score([(item.messages, text) for item, of in zip(items, texts, strict=True) for text in of]))
    return [[next(found) for _ in of] for of in texts]


def _too_long(metric: str, found: Sequence[Sequence[Scored | None]]) -> Figures:
    """The share of texts without a score; nothing where all have one."""
    rows = np.array([[sum(one is None for one in of), len(of)] for of in found], dtype=float)
    return {f"{metric}_too_long": Statistics(rows, ratio)} if rows[:, 0].any() else {}


def _by_character(one: Scored) -> float:
    return one.log_probability / max(1, one.characters)


def _perplexity(sums: Counts) -> Counts:
    made: Counts = np.exp(np.minimum(ratio(sums), 700.0))  # what is more is no number
    return made


def _side(codes: str | None) -> int | None:
    """0: scaffolding, 1: telling; None: something else."""
    several = set((codes or "").split(","))
    return 0 if several <= SCAFFOLDING else 1 if several <= TELLING else None
