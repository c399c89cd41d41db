"""What `preceptor fuse` says of how explanations came to learners."""

from collections.abc import Mapping
from typing import Any

from ....schemas.support.numbers import format_count

MEANINGS = {
    "drawn": "drawn on both sides: causal",
    "logged": "on outcomes of which a side was not drawn: observed only",
    "judged": "on votes and ratings alone",
    "text": "on texts alone on a side",
    "prior": "on nothing on a side",
}


def describe_assigned(found: Mapping[str, Any]) -> str:
    """Describe how many outcomes are of drawn explanations, what pairs stand on, and how far logs mislead."""
    if not found["drawn"]:
        return (
            f"none of {format_count(found['logged'], 'outcome')} is of an explanation drawn by chance: "
            "what helps is observed, and may owe something to who got which"
        )
    pairs = ", ".join(
        f"{found['pairs'][name]:,} {MEANINGS[name]}" for name in MEANINGS if found["pairs"].get(name)
    )
    misled = "; ".join(
        f"outcomes that were not drawn mislead about {measure} by {one['mean']:.2f} log-odds "
        f"({one['low']:.2f} to {one['high']:.2f})"
        for measure, one in found["misled"].items()
    )
    said = (
        f"{found['drawn']:,} outcomes of explanations drawn by chance, {found['logged']:,} of others; of "
        f"{format_count(sum(found['pairs'].values()), 'pair')} {pairs}"
    )
    return f"{said}; {misled}" if misled else said
