"""Compare what a learner wrote with the accepted answers, tolerantly where that cannot hide the error.

    Goes.  goes                  right (case and full stop do not matter)
    ёлка   елка                  right
    its    accepted "it's"       wrong where "its" is the error that is exercised

An answer is compared letter by letter first, then with less and less regard to spaces, case, ё and
punctuation. A step is left out if by it a known wrong answer would be an accepted one.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

LONGEST = 2000  # letters of an answer
_QUOTES = str.maketrans(
    {"’": "'", "ʼ": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'}
)


def _even(text: str) -> str:
    """Spell what keyboards spell differently alike: Unicode's forms, quotes, dashes, runs of spaces."""
    text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    text = re.sub(r"[\u2010-\u2015\u2212]", "-", text)
    return " ".join(text.split())


def _close(text: str) -> str:
    """Take away spaces before and after punctuation, which tokenised texts have."""
    return re.sub(r"\s*([^\w\s])\s*", r"\1", _even(text))


def _fold(text: str) -> str:
    return _close(text).casefold().replace("ё", "е")


def _bare(text: str) -> str:
    """Leave out punctuation, too."""
    folded = _even(text).casefold().replace("ё", "е")
    return " ".join("".join(" " if unicodedata.category(c)[0] in "PS" else c for c in folded).split())


_STEPS: tuple[Callable[[str], str], ...] = (_even, _close, _fold, _bare)


def mark_answer(given: str, accepted: Sequence[str], wrong: Sequence[str] = ()) -> str:
    """Mark an answer: "right" (as accepted, but for spaces), "near" (accepted with tolerance) or "wrong".

    `wrong` are answers that are known to be wrong: wrong options, and what stands in the learner's text.
    """
    if given in accepted:
        return "right"
    for step in _STEPS:
        keys = {step(answer) for answer in accepted}
        if keys & {step(answer) for answer in wrong} or "" in keys:
            continue
        if step(given) in keys:
            return "right" if step in (_even, _close) else "near"
    return "wrong"
