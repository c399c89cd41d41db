"""Draw intervals below each other: a bar with a dot per row, or thin lines where there are many rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .svg import FLAG, INK, SERIES

NAMED = 40  # rows that have room for a line and a name each
LINES = 150  # rows drawn at most where there are more: evenly spread over their order


@dataclass(frozen=True)
class IntervalLine:
    """One line of an interval plot."""

    label: str
    low: float
    value: float
    high: float
    flagged: bool


def measure_intervals(rows: int) -> float:
    """Compute the height in points of a plot of so many rows."""
    return 70.0 + (19 if rows <= 24 else 15) * max(rows, 3) if rows <= NAMED else 420.0


def paint_intervals(axes: Axes, rows: Sequence[IntervalLine]) -> None:
    """Paint the rows from the top: a bar and a name each, or thin lines if there are more than NAMED."""
    if len(rows) <= NAMED:
        _paint_bars(axes, rows)
    else:
        _paint_thin(axes, rows)


def _paint_bars(axes: Axes, rows: Sequence[IntervalLine]) -> None:
    """Paint a bar with a dot per row, from the top."""
    for y, row in enumerate(rows):
        colour, shape = (FLAG, "X") if row.flagged else (SERIES[0], "o")
        axes.hlines(y, row.low, row.high, colors=colour, alpha=0.35, linewidth=5, capstyle="round")
        axes.plot(
            [row.value],
            [y],
            shape,
            color=colour,
            markersize=7 if row.flagged else 5.5,
            markeredgewidth=0,
            zorder=3,
        )
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.2, -0.8)
    axes.grid(visible=False, axis="y")
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(FLAG if row.flagged else INK)


def _paint_thin(axes: Axes, rows: Sequence[IntervalLine]) -> None:
    """Paint thin lines without names, evenly spread over the order, each at its rank."""
    at = np.unique(np.linspace(1, len(rows), min(LINES, len(rows))).astype(int))
    for flagged, colour, shape in ((False, SERIES[0], "o"), (True, FLAG, "X")):
        part = [rank for rank in at if rows[rank - 1].flagged == flagged]
        low, value, high = (
            [getattr(rows[rank - 1], side) for rank in part] for side in ("low", "value", "high")
        )
        axes.hlines(part, low, high, colors=colour, alpha=0.35, linewidth=1.4)
        axes.plot(
            value, part, shape, color=colour, markersize=5 if flagged else 2.6, markeredgewidth=0, zorder=3
        )
    axes.set_ylim(len(rows) * 1.01 + 1, -len(rows) * 0.01)
    axes.grid(visible=False, axis="y")
    axes.set_ylabel("rank")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}" if rank >= 1 else ""))
