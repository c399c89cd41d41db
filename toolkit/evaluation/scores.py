"""Score how likely local models find texts, worded as they are asked, and keep the scores.

score = make_scorer("hf:models/spock", backend.scores, {}, print)
score([(messages, "Right!")])               # [TextScore(…)], or [None] if it is longer than the model takes
score = keep_scores(Path("likelihoods.jsonl"), "hf:spock@3c0f", score)     # scores no text twice

    {"model": "hf:spock@3c…", "text": "9a…", "score": {"log_probability": -3.1, "tokens": 3, "characters": 6}}
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ...annotation.models.backends.backend import Say
from ...annotation.models.backends.text_scores import Messages, ScoreTexts, Text, TextScore
from ...schemas.keys import hash_key
from ...schemas.support.json_text.lines import add_lines, read_json_lines
from .metrics.tutor_states import replace_surrogates

_TOGETHER = 16  # texts scored between two writes
_LINE_EVERY = 30.0  # seconds between notices


def make_scorer(name: str, score: ScoreTexts, worded: Mapping[str, Messages], say: Say) -> ScoreTexts:
    """Wrap `score`: give notices of progress, and word prompts by a template.

    `name`: of the model, in notices. `worded`: the messages that replace a prompt's, by `hash_prompt`.
    """
    done, said_at = 0, time.monotonic()

    def ask(texts: Sequence[Text]) -> Sequence[TextScore | None]:
        nonlocal done, said_at
        if not done:
            say(f"{name}: how likely are the dataset's texts?")
        found = score([(worded.get(hash_prompt(messages), messages), text) for messages, text in texts])
        done += len(found)
        if time.monotonic() - said_at > _LINE_EVERY:
            said_at = time.monotonic()
            say(f"{name}: {done:,} texts so far")
        return found

    return ask


def hash_text(text: Text) -> str:
    """Compute the digest of a text with its prompt."""
    messages, completion = text
    return hash_key([hash_prompt(messages), replace_surrogates(completion)])


def hash_prompt(messages: Messages) -> str:
    """Compute the digest of a prompt's messages."""
    return hash_key([json.dumps([[m["role"], m["content"]] for m in messages])])


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
            made = list(zip(group, score([todo[name] for name in group]), strict=True))
            keep(made)
            known.update(made)
        return [known[name] for name in names]

    return ask


def keep_scores(file: Path, model: str, score: ScoreTexts) -> ScoreTexts:
    """Wrap `score`: keep its results in JSON Lines by the model's name, so that a stopped run can go on.

    Raises EvaluationError if the file has other content.
    """
    rows = [row for row in read_json_lines(file) if row.get("model") == model]
    known = {row["text"]: None if row["score"] is None else TextScore(**row["score"]) for row in rows}

    def keep(made: Sequence[tuple[str, TextScore | None]]) -> None:
        add_lines(
            file,
            ({"model": model, "text": text, "score": asdict(one) if one else None} for text, one in made),
        )

    return remember_scores(score, known, keep)
