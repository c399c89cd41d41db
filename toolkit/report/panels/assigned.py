"""What the labels stand on: explanations drawn by chance, outcomes of others, judgements alone."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from ....schemas.support.numbers import format_count
from ..picture import PERCENT, Picture, format_decimal
from ..svg import SERIES, draw
from .panel import Panel

NAMES = {
    "drawn": "drawn by chance, both sides",
    "logged": "tried, not both drawn",
    "judged": "votes and ratings alone",
    "text": "text alone on a side",
    "prior": "nothing on a side",
}


def draw_assigned(found: Mapping[str, Any]) -> Picture:
    """Draw how many pairs stand on what, from `findings["assigned"]`."""
    bases = [name for name in NAMES if found["pairs"].get(name)]
    counts = [found["pairs"][name] for name in bases]

    def paint(axes: Axes) -> None:
        axes.barh(range(len(bases)), counts, height=0.6, color=SERIES[0])
        axes.set_yticks(range(len(bases)), [NAMES[name] for name in bases])
        axes.invert_yaxis()
        axes.set_xlim(0, max(counts) * 1.18)
        for place, n in enumerate(counts):
            axes.text(n, place, f" {n:,}", va="center")
        axes.set_xlabel("pairs  →")

    title = "What the labels stand on"
    prompts = ", ".join(
        f"{found['prompts'][name]:,} {NAMES[name]}" for name in NAMES if found["prompts"].get(name)
    )
    return Picture(
        "assigned",
        title,
        f"{_tell(found)} By the best of its pairs, prompts stand on: {prompts}.",
        draw(
            "assigned",
            title,
            "; ".join(f"{NAMES[name]}: {n:,}" for name, n in zip(bases, counts, strict=True)) + ".",
            90 + 34 * len(bases),
            paint,
        ),
    )


def _tell(found: Mapping[str, Any]) -> str:
    """Say how many outcomes were drawn, and how far the others mislead."""
    if not found["drawn"]:
        return (
            f"None of {format_count(found['logged'], 'outcome')} is of an explanation drawn by chance. "
            "What helps is observed: it may owe something to who got which explanation."
        )
    words = (
        f"{format_count(found['drawn'], 'outcome')} of explanations that were drawn by chance, "
        f"{found['logged']:,} of others. Where both sides were drawn, what helps is "
        "an effect of the explanation."
    )
    for measure, one in found["misled"].items():
        words += (
            f" Outcomes that were not drawn mislead about {measure} by {format_decimal(one['mean'])} "
            f"log-odds (90{PERCENT} interval {format_decimal(one['low'])} to {format_decimal(one['high'])}), "
            "as a standard deviation over completions; the fit allows for it."
        )
    return words


PANEL = Panel(
    "assigned",
    lambda view: bool((view.findings.get("assigned") or {}).get("pairs")),
    lambda view, _height: [draw_assigned(view.findings["assigned"])],
)
