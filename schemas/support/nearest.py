"""Hints for misspelt names: the nearest right name, or all of them.

suggest("glue", ["gleu", "exact"], "known metrics")     -> "did you mean 'gleu'?"
suggest("x", ["gleu", "exact"], "known metrics")        -> "known metrics: gleu, exact"
find_nearest("glue", ["gleu", "exact"])                 -> "gleu"
"""

import difflib
from collections.abc import Iterable


def find_nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Find the known name most similar to `name`; None if all similarities (0 to 1) are below `cutoff`."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def suggest(name: str, known: Iterable[str], what: str, between: str = ": ") -> str:
    """Suggest the nearest known name; if none is near, list all after `what` and `between`."""
    have = list(known)
    near = find_nearest(name, have)
    return f"did you mean '{near}'?" if near else f"{what}{between}{', '.join(have) or 'none yet'}"
