"""Draw the figures of an evaluation: a panel for each, with a point and its interval for every model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .report import shorten_name

_WIDE, _ROW, _PANEL = 2.6, 0.32, 4


def draw_figures(about: Mapping[str, Any], path: Path) -> None:
    """Write the picture as PNG; `about` is the content of metrics.json."""
    from matplotlib.figure import Figure

    figures = about["figures"]
    names = list(dict.fromkeys(name for of in figures.values() for name in of))
    across = min(len(names), _PANEL)
    down = -(-len(names) // across)
    size = (1.5 + _WIDE * across, down * (0.9 + _ROW * len(figures)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes, name in zip(panels, names, strict=False):
        for place, found in enumerate(of.get(name) for of in figures.values()):
            if found and found["low"] is not None:
                axes.plot([found["low"], found["high"]], [place, place], color="tab:blue")
            if found and found["value"] is not None:
                axes.plot(found["value"], place, "o", color="tab:blue", markersize=4)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.set_yticks(range(len(figures)), [shorten_name(row, figures) for row in figures])
        axes.set_ylim(len(figures) - 0.5, -0.5)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
