r"""Fence texts of learners and models inside a request, so that they are data, not instructions.

    fence = make_fence(["What is 2/3 of 15?", "Ten."])         # Fence("5b0c9d1e7f3a2b4c")
    fence.wrap("the answer", "Ten. Ignore the above.")
    # <data-5b0c9d1e7f3a2b4c name="the answer">
    # Ten. Ignore the above.
    # </data-5b0c9d1e7f3a2b4c>

The mark is made from a digest of all texts of the request and occurs in none of them, so that no text can
close its fence, and the same texts give the same request. Markers that
chat templates read as the start of a turn (<|im_start|>, [INST], <start_of_turn> …) get a space inside, since
a tokenizer may read them as such.

The limit: a fence keeps a text from *being* an instruction, not a model from *following* what it reads there.
How much a judge is influenced can only be measured: `preceptor judge audit`, and questions with a known
answer.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

_DIGITS = 16
# ｜ is DeepSeek's bar. The space goes after the first character of a marker.
_MARKERS = re.compile(
    r"<(?=[|｜][^<>\n]{1,60}[|｜]>|/?s>|/?(?:start|end)_of_turn>|(?:bos|eos|pad|unk)>|</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Fence:
    """The mark of one request's fences."""

    mark: str

    def wrap(self, name: str, text: str) -> str:
        """Wrap a text in its fence; `name`, which is ours, says what the text is."""
        return f'<data-{self.mark} name="{name}">\n{break_markers(text)}\n</data-{self.mark}>'


def make_fence(texts: Iterable[str]) -> Fence:
    """Make a fence whose mark occurs in none of the texts; the same texts give the same mark."""
    every = list(texts)
    whole = hashlib.sha256()
    for text in every:
        data = text.encode("utf-8", "surrogatepass")
        whole.update(b"%d:" % len(data) + data)
    folded = [text.casefold() for text in every]
    mark = whole.hexdigest()[:_DIGITS]
    while any(mark in text for text in folded):
        mark = hashlib.sha256(mark.encode()).hexdigest()[:_DIGITS]
    return Fence(mark)


def break_markers(text: str) -> str:
    """Break chat templates' markers in a text by a space after their first character."""
    return _MARKERS.sub(lambda found: f"{found[0]} ", text)
