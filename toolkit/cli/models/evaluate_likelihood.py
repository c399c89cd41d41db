"""How likely a model of this process holds texts, for `preceptor evaluate`.

score = scores("hf:models/spock", backend.scores, {})
score([(messages, "Right!")])                # one Score, or None where it is longer than the model takes
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .options import LINE_EVERY, say_line

if TYPE_CHECKING:
    from ....annotation.models.backends.text_scores import ScoreTexts, TextScore
    from ....annotation.models.requests import Message
    from ...evaluation.metrics.likelihood import Score, Text


def scores(name: str, score: "ScoreTexts", worded: "Mapping[str, Sequence[Message]]") -> "Score":
    """A function from texts to their scores; the weights are read when it is first called.

    `worded` are the messages that are sent in place of a prompt's, by `prompt_key`, where a template words
    them.
    """
    from ...evaluation.metrics.likelihood import prompt_key

    done, told = 0, time.monotonic()

    def ask(texts: "Sequence[Text]") -> "Sequence[TextScore | None]":
        nonlocal done, told
        if not done:
            say_line(f"{name}: how likely are the dataset's texts?")
        found = score([(worded.get(prompt_key(messages), messages), text) for messages, text in texts])
        done += len(found)
        if time.monotonic() - told > LINE_EVERY:
            told = time.monotonic()
            say_line(f"{name}: {done:,} texts so far")
        return found

    return ask
