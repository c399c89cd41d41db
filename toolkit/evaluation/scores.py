"""TextScore how likely a model of this process finds texts, and keep the scores.

score = make_scorer("models/spock", {})
score([(messages, "Right!")])               # [TextScore(…)], or [None] if it is longer than the model takes
score = keep_scores(Path("likelihoods.jsonl"), "hf:spock@3c0f", score)     # asks for no text twice

    {"model": "hf:spock@3c0f", "text": "9a…", "score": {"log_probability": -3.1, "tokens": 3, "characters":
    6}}
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from ...annotation.models.backends.backend import Say
from ...annotation.models.backends.hf import find_model, load_model
from ...annotation.models.backends.hf_likelihood import TextScore, score_texts
from ...annotation.models.requests import Message
from ...schemas.keys import key
from ...schemas.support.json_lines import add_lines, read_lines
from .metrics.likelihood import ScoreTexts, Text, TextLikelihood
from .metrics.tutor_states import replace_surrogates

_TOGETHER = 16  # texts scored between two writes
_LINE_EVERY = 30.0  # seconds between messages


def make_scorer(name: str, worded: Mapping[str, Sequence[Message]], say: Say = lambda _: None) -> ScoreTexts:
    """Make a function that scores texts under a local model; its first call loads the weights.

    `name`: folder, or NAME@COMMIT. `worded`: messages by digest of the prompt (`hash_prompt`) that replace
    the prompt's own, as a template words them. On a CPU weights are in single precision. Raises
    AnnotationError if there is no such model.
    """
    done, said_at = 0, time.monotonic()

    @cache
    def place() -> Any:
        say(f"hf:{name}: how likely are the dataset's texts?")
        return find_model(name)

    def score(texts: Sequence[Text]) -> list[TextScore | None]:
        nonlocal done, said_at
        given = [(worded.get(hash_prompt(messages), messages), text) for messages, text in texts]
        found = _score_fitting(*load_model(place(), exact=True), given)
        done += len(found)
        if time.monotonic() - said_at > _LINE_EVERY:
            said_at = time.monotonic()
            say(f"hf:{name}: {done:,} texts so far")
        return found

    return score


def _score_fitting(model: Any, tokenizer: Any, texts: Sequence[tuple[Any, str]]) -> list[TextScore | None]:
    """TextScore texts; None for those that are too long, which are found one by one."""
    try:
        return list(score_texts(model, tokenizer, texts))
    except ValueError:
        if len(texts) == 1:
            return [None]
    return [found for text in texts for found in _score_fitting(model, tokenizer, [text])]


def hash_text(text: Text) -> str:
    """Compute the digest of a text with its prompt."""
    messages, completion = text
    return key([hash_prompt(messages), replace_surrogates(completion)])


def hash_prompt(messages: Sequence[Mapping[str, str]]) -> str:
    """Compute the digest of a prompt's messages."""
    return key([json.dumps([[m["role"], m["content"]] for m in messages])])


def remember_scores(
    score: ScoreTexts,
    known: dict[str, TextScore | None],
    keep: Callable[[Sequence[tuple[str, TextScore | None]]], None],
) -> ScoreTexts:
    """Wrap `score`: skip texts whose digest is in `known`, and give new scores to `keep`, some at a time."""

    def ask(texts: Sequence[Text]) -> list[TextScore | None]:
        names = [hash_text(text) for text in texts]
        todo = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
        left = list(todo)
        for at in range(0, len(left), _TOGETHER):
            group = left[at : at + _TOGETHER]
            made = list(zip(group, map(_copy, score([todo[name] for name in group])), strict=True))
            keep(made)
            known.update(made)
        return [known[name] for name in names]

    return ask


def _copy(one: TextLikelihood | None) -> TextScore | None:
    return None if one is None else TextScore(one.log_probability, one.tokens, one.characters)


def keep_scores(file: Path, model: str, score: ScoreTexts) -> ScoreTexts:
    """Wrap `score`: keep its results in JSON Lines by the model's name, so that a stopped run can go on.

    Raises EvaluationError if the file holds something else.
    """
    rows = [row for row in read_lines(file) if row.get("model") == model]
    known = {row["text"]: None if row["score"] is None else TextScore(**row["score"]) for row in rows}

    def keep(made: Sequence[tuple[str, TextScore | None]]) -> None:
        add_lines(
            file, ({"model": model, "text": key, "score": asdict(one) if one else None} for key, one in made)
        )

    return remember_scores(score, known, keep)
