"""How likely a model of this process holds texts, for `preceptor evaluate`.

score = scores("models/spock", {})
score([(messages, "Right!")])                # one Score, or None where it is longer than the model takes
"""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from .options import LINE_EVERY, say_line

if TYPE_CHECKING:
    from ....annotation.models.backends.hf_likelihood import TextScore as Found
    from ....annotation.models.requests import Message
    from ...evaluation.metrics.likelihood import Score, Text


def scores(name: str, worded: "Mapping[str, Sequence[Message]]") -> "Score":
    """A function from texts to their scores; the weights are read when it is first called.

    `worded` are the messages that are sent in place of a prompt's, by `prompt_key`, where a template words
    them. Weights are in single precision on a CPU, whatever they are kept in.
    """
    from ....annotation.models.backends.hf import find_model, load_model
    from ...evaluation.metrics.likelihood import prompt_key

    done, told = 0, time.monotonic()

    @cache
    def place() -> Any:
        say_line(f"hf:{name}: how likely are the dataset's texts?")
        return find_model(name)

    def ask(texts: "Sequence[Text]") -> "list[Found | None]":
        nonlocal done, told
        given = [(worded.get(prompt_key(messages), messages), text) for messages, text in texts]
        found = _fitting(*load_model(place(), exact=True), given)
        done += len(found)
        if time.monotonic() - told > LINE_EVERY:
            told = time.monotonic()
            say_line(f"hf:{name}: {done:,} texts so far")
        return found

    return ask


def _fitting(model: Any, tokenizer: Any, texts: Sequence[tuple[Any, str]]) -> "list[Found | None]":
    """None of those that are too long, which are found one by one."""
    from ....annotation.models.backends.hf_likelihood import score_texts

    try:
        return list(score_texts(model, tokenizer, texts))
    except ValueError:
        if len(texts) == 1:
            return [None]
    return [found for text in texts for found in _fitting(model, tokenizer, [text])]
