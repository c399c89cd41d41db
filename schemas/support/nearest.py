"""Hints for misspelt names: the nearest right name where one is near, else all of them.

suggest("glue", ["gleu", "exact"], "known metrics")     -> "did you mean 'gleu'?"
suggest("x", ["gleu", "exact"], "known metrics")        -> "known metrics: gleu, exact"
find_nearest("glue", ["gleu", "exact"])                 -> "gleu"
find_nearest("cpo", ["dpo", "ipo"])                     -> None: another method, not a misspelt one

Two names are near if at most three of ten letters differ (Damerau-Levenshtein; capitals and -, _, blanks and
dots aside), or if one begins or ends with the other and is at most twice as long.
"""

import re
from collections.abc import Iterable

from rapidfuzz.distance import OSA

ALIKE = 0.7
"""Least share of letters that two near names have in common, in order."""
SHORTEST = 4
"""Fewest letters of a name that another one may begin or end with."""

_SEPARATORS = re.compile(r"[\s_.\-]+")


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the known name nearest to `name`; None if none is near."""
    have = list(known)
    scored = [(_compare(_simplify(name), _simplify(one)), -place) for place, one in enumerate(have)]
    best, place = max(scored, default=(0.0, 0))
    return have[-place] if best >= ALIKE else None


def suggest(name: str, known: Iterable[str], what: str, between: str = ": ") -> str:
    """Suggest the nearest known name; if none is near, list all after `what` and `between`."""
    have = list(known)
    near = find_nearest(name, have)
    return f"did you mean '{near}'?" if near else f"{what}{between}{', '.join(have) or 'none yet'}"


def _simplify(name: str) -> str:
    return _SEPARATORS.sub("", name.casefold())


def _compare(a: str, b: str) -> float:
    """Compare two names: 0 to 1, at least ALIKE if they are near."""
    if not a or not b:
        return 0.0
    short, long = sorted((a, b), key=len)
    alike = OSA.normalized_similarity(a, b)
    if (
        len(short) >= SHORTEST
        and 2 * len(short) >= len(long)
        and (long.startswith(short) or long.endswith(short))
    ):
        return max(alike, ALIKE)
    return alike
