r"""Tell how a model's reply ended, and keep its reasoning apart from its answer.

split_reasoning("<think>A? B?</think>\nA")        # ("A", "A? B?", False)
split_reasoning("<think>The format is {…")        # ("", "The format is {…", True): cut within it
describe_ending("length", 512)                    # "cut off after --max-tokens 512; …"
"""

import re

REFUSAL, ERROR, REASONING, LENGTH, FILTER = "refusal", "error", "reasoning", "length", "content_filter"
CUT = frozenset({LENGTH, "max_tokens", "MAX_TOKENS", "model_length"})
"""Finish reasons of a reply that was cut off, as servers spell them."""
FILTERED = frozenset({FILTER, "safety", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "recitation"})
FAILED = frozenset({ERROR, "abort", "cancelled"})

_TAG = re.compile(r"<(/?)(?:seed:)?think(?:ing)?>|\[(/?)THINK\]|◁(/?)think▷", re.IGNORECASE)


def split_reasoning(text: str) -> tuple[str, str, bool]:
    """Split a text into the answer, the reasoning, and true if it ends within reasoning.

    Reasoning stands between <think> and </think> (or <thinking>, [THINK], ◁think▷), also several times and
    nested. A </think> without a beginning ends reasoning that began in the prompt. A text without such marks
    is returned unchanged.
    """
    answer: list[str] = []
    thought: list[str] = []
    depth = at = 0
    for mark in _TAG.finditer(text):
        closes = any(mark.groups())
        piece = text[at : mark.start()]
        at = mark.end()
        if closes and not depth:
            thought += [*answer, piece]
            answer = []
        else:
            (thought if depth else answer).append(piece)
            depth = max(0, depth - 1) if closes else depth + 1
    if not at:
        return text, "", False
    (thought if depth else answer).append(text[at:])
    return "".join(answer).strip(), "\n".join(filter(None, map(str.strip, thought))), depth > 0


def find_ending(finish: object) -> str | None:
    """Return how a reply ended if not by itself: LENGTH, FILTER or ERROR; None if by itself, or not known."""
    for names, ending in ((CUT, LENGTH), (FILTERED, FILTER), (FAILED, ERROR)):
        if finish in names:
            return ending
    return None


def describe_ending(ending: str, max_tokens: int | None = None) -> str:
    """Describe why a reply that did not end by itself is no answer, and what to do."""
    limit = f"--max-tokens {max_tokens}; give it more" if max_tokens else "the server's limit of tokens"
    return {
        LENGTH: f"cut off after {limit}",
        FILTER: "ended by the server's content filter",
        ERROR: "ended by an error of the server",
        REASONING: "it ended within its reasoning, before an answer",
    }[ending]
