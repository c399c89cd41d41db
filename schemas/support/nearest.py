"""What a misspelt name is answered with: the nearest right one, or all of them.

nearest("glue", ["gleu", "exact"], "known metrics")     -> "did you mean 'gleu'?"
nearest("x", ["gleu", "exact"], "known metrics")        -> "known metrics: gleu, exact"
"""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], what: str, between: str = ": ") -> str:
    """The hint for a wrong name; `what` says what the right ones are, where none is near;
    `between` stands between that and their list.
    """
    have = list(known)
    near = difflib.get_close_matches(name, have, n=1)
    return f"did you mean '{near[0]}'?" if near else f"{what}{between}{', '.join(have) or 'none yet'}"
