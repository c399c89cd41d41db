"""Request completions of prompts, several draws of each, worded by a template or unchanged.

write_requests(prompts, None, Sampling(1.2, seed=0), 5)   # 5 requests a prompt; about: the prompt's key
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .asking import FinalError
from .requests import Message, Request, Sampling
from .templates import Template, render

VARIABLES = ("messages", "prompt", "context", "group", "language", "task")


def write_requests(
    prompts: Iterable[Mapping[str, Any]], template: Template | None, sampling: Sampling, draws: int
) -> Iterator[Request]:
    """Write `draws` requests for each prompt; `about` is the prompt's key.

    A prompt has key, messages (the last one the user's), context (its JSON, read, or None), group, language
    and task. Raises AnnotationError if the template does not fit them.
    """
    for prompt in prompts:
        messages = _messages(prompt, template)
        for draw in range(draws):
            yield Request(messages, sampling, draw, about=prompt["key"])


def _messages(prompt: Mapping[str, Any], template: Template | None) -> tuple[Message, ...]:
    """Messages to send. A template without `--- … ---` lines words the last one; earlier ones stay."""
    given = [{"role": m["role"], "content": m["content"] or ""} for m in prompt["messages"]]
    if template is None:
        return tuple(given)
    values = {
        "messages": given,
        "prompt": given[-1]["content"],
        "context": prompt["context"] or {},
        "group": prompt["group"],
        "language": prompt["language"],
        "task": prompt["task"],
    }
    made = render(template, **values)
    return made if template.whole else (*given[:-1], *made)


def read_completion(content: str) -> dict[str, Any]:
    """Read a completion: {"characters": 120}; raises FinalError if it is empty, as a retry would be."""
    if not content.strip():
        raise FinalError("the model said nothing")
    return {"characters": len(content)}
