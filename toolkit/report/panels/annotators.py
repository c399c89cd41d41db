"""How far each annotator's votes can be trusted: reliability with intervals."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ....schemas.support.text import SURE, clean
from ..intervals import LINES, IntervalLine, measure_intervals, paint_intervals
from ..picture import PERCENT, Mark, Picture, format_decimal
from ..svg import CSS, FLAG, MUTED, SERIES, draw
from .panel import Panel


def draw_annotators(found: Sequence[dict[str, Any]], height: float = 0) -> Picture:
    """Draw the reliability of annotators with 90 % intervals, the most reliable on top."""
    order = sorted(found, key=lambda a: (-a["reliability"]["mean"], a["annotator"]))
    rows = [
        IntervalLine(
            clean(a["annotator"], 22),
            a["reliability"]["low"],
            a["reliability"]["mean"],
            a["reliability"]["high"],
            a["p_below_half"] > SURE,
        )
        for a in order
    ]

    def paint(axes: Axes) -> None:
        for x, words in ((0, "guessing"), (1, "average")):
            axes.axvline(x, color=MUTED, linewidth=1, dashes=(4, 3), zorder=1)
            axes.text(
                x,
                1.012,
                words,
                color=MUTED,
                fontsize=10,
                ha="center",
                va="bottom",
                transform=axes.get_xaxis_transform(),
            )
        paint_intervals(axes, rows)
        axes.set(xlabel="reliability  →")
        low, high = min(0.0, *(r.low for r in rows)), max(1.0, *(r.high for r in rows))
        axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        axes.xaxis.set_major_locator(MaxNLocator(6))

    flagged = [clean(a["annotator"], 30) for a in reversed(order) if a["p_below_half"] > SURE]
    less = f" The page draws {LINES} of {len(rows):,}, evenly spread." if len(rows) > LINES else ""
    marks = [Mark("o", CSS[SERIES[0]], f"mean and 90{PERCENT} interval")]
    if flagged:
        marks.append(Mark("X", CSS[FLAG], "hardly better than guessing"))
    title = "How far each annotator’s votes can be trusted"
    return Picture(
        "annotators",
        title,
        "Each line is an annotator, the most reliable on top: at 1 they follow the common preference as most "
        f"do, at 0 they vote as a coin would, and below 0 against it. {_named(flagged)} The fit weighs votes "
        f"accordingly.{less}",
        draw(
            "annotators",
            title,
            f"Reliability of {len(rows)} annotators with 90{PERCENT} intervals, highest first, from "
            f"{format_decimal(rows[0].value)} to {format_decimal(rows[-1].value)}; "
            f"{len(flagged)} of them are marked.",
            max(height, measure_intervals(len(rows))),
            paint,
        ),
        tuple(marks),
    )


def _named(flagged: list[str]) -> str:
    if not flagged:
        return f"Nobody is below 0.5 with more than 90{PERCENT} probability."
    names = ", ".join(flagged[:8]) + (f" and {len(flagged) - 8} more" if len(flagged) > 8 else "")
    return f"Below 0.5 with more than 90{PERCENT} probability, and so marked: {names}."


PANEL = Panel(
    "annotators",
    lambda view: bool(view.findings["annotators"]),
    lambda view, height: [draw_annotators(view.findings["annotators"], height)],
    lambda view: measure_intervals(len(view.findings["annotators"])),
)
