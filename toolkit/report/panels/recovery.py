"""Does the fit find what is known: inferred against known effectiveness."""

import polars as pl
from matplotlib.axes import Axes

from ..picture import DOTS, PERCENT, Mark, Picture, format_share
from ..svg import CSS, FLAG, MUTED, SERIES, draw
from .panel import FitView, Panel


def draw_recovery(recovered: pl.DataFrame) -> Picture:
    """Draw inferred against known effectiveness; columns completion, mean, low, high and truth."""
    rows = recovered.with_columns(pl.col("truth").is_between("low", "high").alias("inside"))
    inside, n = int(rows["inside"].sum()), rows.height
    shown = rows.head(DOTS)

    def paint(axes: Axes) -> None:
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, dashes=(4, 3))
        for hit, colour, shape in ((True, SERIES[0], "o"), (False, FLAG, "X")):
            part = shown.filter(inside=hit)
            axes.vlines(part["truth"], part["low"], part["high"], colors=colour, alpha=0.3, linewidth=1.2)
            axes.plot(
                part["truth"],
                part["mean"],
                shape,
                color=colour,
                markeredgewidth=0,
                markersize=4.5 if hit else 6.5,
            )
        axes.set(xlabel="known effectiveness  →")
        axes.set_title("↑  inferred effectiveness")

    title = "Does the fit find what is known?"
    return Picture(
        "recovery",
        title,
        "Dots near the dashed line were found well; where signals are few, means lean towards zero. These "
        f"signals were drawn from known values, so the fit can be marked: {inside:,} of {n:,} known values "
        f"({format_share(inside / max(n, 1))}) lie inside their 90{PERCENT} interval; about "
        f"90{PERCENT} should.",
        draw(
            "recovery",
            title,
            f"Inferred against known effectiveness of {n} completions, with 90{PERCENT} intervals.",
            330,
            paint,
        ),
        (
            Mark("o", CSS[SERIES[0]], f"inside the 90{PERCENT} interval"),
            Mark("X", CSS[FLAG], "outside"),
        ),
    )


def _draw(view: FitView, _height: float) -> list[Picture]:
    return [] if view.recovered is None else [draw_recovery(view.recovered)]


PANEL = Panel("recovery", lambda view: view.recovered is not None and view.recovered.height > 0, _draw)
