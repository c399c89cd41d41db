"""The curves of `asking` as one drawing: accuracy by votes, with 90 % bands."""

import io
from collections.abc import Mapping, Sequence

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .curves import Curve

RESAMPLES = 400
STYLES = (("#777777", ":"), ("#b35c00", "--"), ("#1f5fa8", "-"))


def drawing(shown: Mapping[str, Mapping[str, Curve]], names: Sequence[str]) -> str:
    """The SVG: a panel for each of `shown`, a line for each of three orders.

    The same numbers give the same bytes.
    """
    out = io.StringIO()
    style = {
        "svg.hashsalt": "asking",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
    }
    with matplotlib.style.context(["default", style]):
        figure = Figure(figsize=(9.5, 5.6), layout="constrained")
        panels = figure.subplots(-(-len(shown) // 3), 3, squeeze=False).reshape(-1)
        for ax, (title, curves) in zip(panels, shown.items(), strict=False):
            _panel(ax, title, {name: curves[name] for name in names})
        for ax in panels[len(shown) :]:
            ax.set_axis_off()
        for ax in panels[::3]:
            ax.set_ylabel("pairs called right")
        panels[0].legend(loc="lower right", frameon=False)
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _panel(ax: Axes, title: str, curves: Mapping[str, Curve]) -> None:
    rng = np.random.default_rng(0)
    for (name, own), (colour, dashes) in zip(curves.items(), STYLES, strict=True):
        again = [own.accuracy(own.picks(rng)) for _ in range(RESAMPLES)]
        low, high = np.quantile(again, [0.05, 0.95], axis=0)
        ax.fill_between(own.votes, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(own.votes, own.accuracy(), dashes, color=colour, label=name)
    ax.set_title(title)
    ax.set_xlabel("votes")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(color="#dddddd", linewidth=0.6)
