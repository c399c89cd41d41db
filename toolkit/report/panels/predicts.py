"""How well the fit predicts votes that it has not seen: said and happened, by the likelier side."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..picture import PERCENT, Picture, format_share
from ..svg import MUTED, SERIES, draw
from .panel import Panel


def draw_predictions(found: Mapping[str, Any]) -> Picture:
    """Draw the reliability curve of `findings["predicts"]`, each point as large as its votes are many."""
    curve = found["curve"]
    said, happened = ([one[name] for one in curve] for name in ("said", "happened"))
    sizes = [one["n"] for one in curve]
    half = [1.645 * (max(h * (1 - h), 0.01) / n) ** 0.5 for h, n in zip(happened, sizes, strict=True)]
    floor = min(0.5, *happened) - 0.05 if curve else 0.45

    def paint(axes: Axes) -> None:
        axes.plot([0.5, 1], [0.5, 1], color=MUTED, linewidth=1)
        axes.errorbar(said, happened, half, fmt="none", ecolor=SERIES[0], elinewidth=1)
        widths = [20 + 180 * n / max(sizes) for n in sizes]
        axes.scatter(said, happened, widths, color=SERIES[0], linewidths=0, zorder=3)
        axes.set(xlim=(0.49, 1.01), ylim=(floor, 1.05), xlabel="probability of the likelier side  →")
        axes.set_title("↑  how often it won")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=PERCENT))

    title = "What is said of votes not seen, and what happens"
    scores = f"Brier score {found['brier']:.3f}, expected calibration error {found['ece']:.3f}"
    rough = f" {format_share(found['refit'])} of these are rough." if found["refit"] >= 0.005 else ""
    return Picture(
        "predicts",
        title,
        f"{found['decided']:,} votes with a winner, each predicted without itself (an annotator's votes on "
        "a prompt are left out together). Points on the line are right as often as they say; below it the "
        f"fit is too sure. Bars are 90{PERCENT} intervals. {scores}.{rough}",
        draw(
            "predicts",
            title,
            f"Reliability curve of {found['decided']} votes in {len(curve)} bins of the probability of the "
            f"likelier side. {scores}.",
            330,
            paint,
        ),
    )


PANEL = Panel(
    "predicts",
    lambda view: bool((view.findings.get("predicts") or {}).get("curve")),
    lambda view, _height: [draw_predictions(view.findings["predicts"])],
)
