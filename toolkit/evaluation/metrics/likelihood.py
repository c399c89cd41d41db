"""Measure what a model finds likely: pairs by their texts' log-probabilities, perplexities of references.

    score([((user("How do I add?"),), "Find a common denominator.")])   # -21.4 nats, 6 tokens, 26 characters
    measure_preferred(items, score)["preferred"]    # share of pairs whose chosen text is the likelier one

No answers are needed. Perplexity is exp(nats per token), so models with different tokenizers are compared by
bits per character instead. A text longer than the model's context has no score: its pair or reference does
not count, and a figure …_too_long gives the share of such texts.
"""

import math
from collections.abc import Sequence

import numpy as np

from ....annotation.models.backends.text_scores import ScoreTexts, TextScore
from ....schemas.errors import EvaluationError
from .statistics import FEW, TOO_LONG, Counts, Figures, Item, Statistics, divide_sums
from .tutor_states import read_turns

SCAFFOLDING, TELLING = frozenset({"1", "4"}), frozenset({"2", "5"})


def measure_preferred(items: Sequence[Item], score: ScoreTexts) -> Figures:
    """Measure the share of pairs whose chosen text is likelier than the rejected one; a tie is a half.

    Figures: `preferred`; `preferred_too_long`, the share of texts without a score, if there are any. Texts
    are compared by nats per character, because a longer text is less likely whatever it says. A repeated pair
    counts once.
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
    return {"preferred": Statistics(rows, divide_sums)} | _too_long("preferred", found)


def measure_perplexity(items: Sequence[Item], score: ScoreTexts) -> Figures:
    """Measure the bits per character of the references and their perplexity, exp(mean nats per token).

    Figures: `bits_per_character`, `perplexity`; `perplexity_too_long`, the share of references without a
    score, if there are any. Bits come first and so decide: a tokenizer with shorter tokens lowers perplexity.
    """
    found = _scores(items, [list(dict.fromkeys(item.references)) for item in items], score)
    rows = np.zeros((len(items), 3))
    for n, of in enumerate(found):
        for one in filter(None, of):
            rows[n] += [-one.log_probability, one.tokens, one.characters]
    bits = rows[:, [0, 2]] / [math.log(2), 1]
    return {
        "bits_per_character": Statistics(bits, divide_sums),
        "perplexity": Statistics(rows[:, :2], _perplexity),
    } | _too_long("perplexity", found)


def measure_scaffolding(items: Sequence[Item], score: ScoreTexts) -> Figures:
    """Measure the perplexity of tutors' turns that scaffold, of those that tell, and their log ratio.

    Figures: `scaffolding_preference`, ln(telling / scaffolding), above 0 if the model finds scaffolding
    likelier; `scaffolding_perplexity`; `telling_perplexity`; `scaffolding_too_long`, the share of turns
    without a score, if there are any. The action code of each reference (SPOCK) gives its side: 1 and 4
    scaffold, 2 and 5 tell. Several codes count if all are of one side. Figures of a side with fewer than FEW
    prompts are NaN, because their interval would be too narrow.
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
        "scaffolding_preference": Statistics(
            rows, lambda sums: divide_sums(sums[:, 2:]) - divide_sums(sums[:, :2])
        ),
        "scaffolding_perplexity": Statistics(rows[:, :2], _perplexity),
        "telling_perplexity": Statistics(rows[:, 2:], _perplexity),
    } | _too_long("scaffolding", found)


def check_pairs(items: Sequence[Item]) -> None:
    """Raise EvaluationError if no prompt has a rejected text."""
    if not any(item.rejected for item in items):
        raise EvaluationError(
            "metric preferred: the dataset's config sft has no rejected texts; choose "
            "--set dataset_config=preference"
        )


def check_turns(items: Sequence[Item]) -> None:
    """Raise EvaluationError if no reference is a tutor's structured turn."""
    found = read_turns([text for item in items for text in item.references])
    if not any(found["valid"]):
        raise EvaluationError(
            "metrics states and scaffolding: no reference is a tutor's structured turn (a JSON object with "
            "Evaluation of Student Response, Action Based on Evaluation …); leave them out of metrics"
        )


def _scores(
    items: Sequence[Item], texts: Sequence[Sequence[str]], score: ScoreTexts
) -> list[Sequence[TextScore | None]]:
    """Score each item's texts, in order."""
    found = iter(score([(item.messages, text) for item, of in zip(items, texts, strict=True) for text in of]))
    return [[next(found) for _ in of] for of in texts]


def _too_long(metric: str, found: Sequence[Sequence[TextScore | None]]) -> Figures:
    """Make the share of texts without a score; empty if all have one."""
    rows = np.array([[sum(one is None for one in of), len(of)] for of in found], dtype=float)
    return {f"{metric}_{TOO_LONG}": Statistics(rows, divide_sums)} if rows[:, 0].any() else {}


def _by_character(one: TextScore) -> float:
    return one.log_probability / max(1, one.characters)


def _perplexity(sums: Counts) -> Counts:
    made: Counts = np.exp(np.minimum(divide_sums(sums), 700.0))  # exp of more overflows
    return made


def _side(codes: str | None) -> int | None:
    """Return 0 for codes that scaffold, 1 for codes that tell, None for others."""
    several = set((codes or "").split(","))
    return 0 if several <= SCAFFOLDING else 1 if several <= TELLING else None
