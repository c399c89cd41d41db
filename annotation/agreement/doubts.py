"""Say what a fit doubts about an annotator: one rule for every command that names people to look at.

list_doubts({"p_below_half": 0.97, "p_ties_often": 0.2})   -> [("reliability below a half", 0.97)]
"""

from collections.abc import Mapping
from typing import Any

from ...schemas.support.text import SURE

DOUBTS = {
    "p_below_half": "reliability below a half",
    "p_ties_often": "ties at least twice as readily as most",
    "p_ties_seldom": "ties at most half as readily as most",
}


def list_doubts(found: Mapping[str, Any]) -> list[tuple[str, float]]:
    """List the doubts with a probability above SURE, and that probability.

    `found` has the probabilities by the names of DOUBTS; fits of earlier versions lack those of ties.
    """
    return [(words, found[name]) for name, words in DOUBTS.items() if found.get(name, 0.0) > SURE]
