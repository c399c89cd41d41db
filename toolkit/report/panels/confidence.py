"""How sure the pairs are: a histogram of the probability of the likelier side."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ...fusion.findings.summary import COIN_FLIP
from ..picture import PERCENT, Picture, format_share
from ..svg import MUTED, SERIES, ZONE, draw
from .panel import Panel


def draw_confidence(surer: pl.Series) -> Picture:
    """Draw a histogram of max(p, 1 - p) over pairs, the coin flips shaded."""
    values = surer.to_numpy().round(6)
    edges = np.linspace(0.5, 1, 21).round(6)
    counts, _ = np.histogram(values, edges)
    flips = int((values < COIN_FLIP).sum())
    share = flips / len(values)
    n_flip_bars = int((edges[:-1] < COIN_FLIP).sum())

    def paint(axes: Axes) -> None:
        top = float(counts.max()) * 1.22
        axes.axvspan(0.5, COIN_FLIP, color=ZONE, linewidth=0)
        bars = axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=SERIES[0], linewidth=0)
        for i, bar in enumerate(bars):
            bar.set(x=edges[i] + 0.0015, width=0.022, facecolor=MUTED if i < n_flip_bars else SERIES[0])
        axes.text(
            0.55, top * 0.97, f"coin flips\n{format_share(share)}", ha="center", va="top", linespacing=1.35
        )
        axes.set(xlim=(0.5, 1), ylim=(0, top), xlabel="probability of the likelier side  →")
        axes.set_title("↑  pairs")
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=PERCENT))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))

    title = "How sure the pairs are"
    return Picture(
        "confidence",
        title,
        "Pairs by the probability p that their likelier answer is better: the further to the right the bars "
        f"stand, the more the signals have decided. {flips:,} of {len(values):,} pairs "
        f"({format_share(share)}) are coin flips, below 60{PERCENT}, where a hard label would be wrong "
        "nearly as often as right.",
        draw(
            "confidence",
            title,
            f"Histogram of the probability of the likelier side over {len(values)} pairs; {flips} of them "
            f"lie below 60{PERCENT}, {int((values >= 0.9).sum())} at 90{PERCENT} or above.",
            330,
            paint,
        ),
    )


PANEL = Panel(
    "confidence", lambda view: view.surer.len() > 0, lambda view, _height: [draw_confidence(view.surer)]
)
