r"""Tell how a model's reply ended, and keep its reasoning apart from its answer.

split_reasoning("<think>A? B?</think>\nA")        # ("A", "A? B?", False)
split_reasoning("<think>The format is {…")        # ("", "The format is {…", True): cut within it
split_reasoning("A<|im_end|>")                    # ("A", "", False): end tokens are no text
describe_ending("length", 512)                    # "cut off after --max-tokens 512; …"
"""

import re

REFUSAL, ERROR, REASONING, LENGTH, FILTER = "refusal", "error", "reasoning", "length", "content_filter"
CUT = frozenset({LENGTH, "max_tokens", "MAX_TOKENS", "model_length"})
"""Finish reasons of a reply that was cut off, as servers spell them."""
FILTERED = frozenset({FILTER, "safety", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "recitation"})
FAILED = frozenset({ERROR, "abort", "cancelled"})

_TAG = re.compile(r"<(/?)(?:seed:)?think(?:ing)?>|\[(/?)THINK\]|◁(/?)think▷", re.IGNORECASE)

_END = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|endoftext|end_of_text|end|return|call|END_OF_TURN_TOKEN)\|>"
    r"|<end_of_turn>|<｜end▁of▁sentence｜>|</s>\s*\Z"
)
"""Tokens with which chat templates end a turn. </s> inside a text ends what <s> began."""
_BEGIN = re.compile(r"\s*(?:<\|im_start\|>\s*assistant|<\|start\|>\s*assistant)(?!\w)\s*")
_CHANNEL = re.compile(
    r"(?:<\|start\|>\s*assistant[^<]*)?<\|channel\|>\s*(\w+)[^<]*(?:<\|\w+\|>[^<]*)??<\|message\|>"
)


def split_reasoning(text: str) -> tuple[str, str, bool]:
    """Split a text into the answer, the reasoning, and true if it ends within reasoning.

    Reasoning stands between <think> and </think> (or <thinking>, [THINK], ◁think▷), also several times and
    nested. A </think> without a beginning ends reasoning that began in the prompt. Of the channels of gpt-oss
    (<|channel|>analysis<|message|>) only `final` is the answer. The answer ends at the first end token, such
    as <|im_end|>; what a model wrote after it is kept with the reasoning. A text without such marks is
    returned unchanged.
    """
    begun = _BEGIN.match(text)
    if _CHANNEL.search(text):
        final, thought, open_end = _split_channels(text)
    else:
        final, thought = _cut_at_end(text[begun.end() :] if begun else text)
        open_end = False
    answer, reasoning, within = _split_marks(final)
    return answer, "\n".join(filter(None, (reasoning, thought))), within or open_end


def _split_channels(text: str) -> tuple[str, str, bool]:
    """Split gpt-oss's channels: `final`, all others, and true if there is no `final`."""
    marks = [*_CHANNEL.finditer(text)]
    final: list[str] = []
    thought: list[str] = [text[: marks[0].start()]]
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        piece, rest = _cut_at_end(text[mark.end() : following.start() if following else len(text)])
        (final if mark[1] == "final" else thought).append(piece)
        thought.append(rest)
    return "".join(final).strip(), "\n".join(filter(None, map(str.strip, thought))), not final


def _cut_at_end(text: str) -> tuple[str, str]:
    """Cut a text at its first end token; also returns what follows, without further ones."""
    found = _END.search(text)
    if not found:
        return text, ""
    rest = _END.sub(" ", _TAG.sub(" ", text[found.end() :]))
    return re.sub(r"(?:</s>|\s)+\Z", "", text[: found.start()]).strip(), rest.strip()


def _split_marks(text: str) -> tuple[str, str, bool]:
    """Split at marks of reasoning, such as <think> and </think>."""
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
