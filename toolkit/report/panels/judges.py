"""What a panel of models is worth: independent judges by signal, beside how many there are."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from ....schemas.support.text import clean
from ..intervals import IntervalLine, measure_intervals, paint_intervals
from ..picture import PERCENT, Mark, Picture, format_decimal
from ..svg import CSS, MUTED, SERIES, draw
from .panel import Panel


def draw_judges(found: Mapping[str, Any], height: float = 0) -> Picture:
    """Draw how many independent judges the models are worth, with 90 % intervals, beside their number."""
    panels = found["panels"]
    rows = [
        IntervalLine(clean(part, 22), p["n_eff"]["low"], p["n_eff"]["median"], p["n_eff"]["high"], False)
        for part, p in panels.items()
    ]
    most = max(panel["judges"] for panel in panels.values())

    def paint(axes: Axes) -> None:
        paint_intervals(axes, rows)
        for y, panel in enumerate(panels.values()):
            axes.plot([panel["judges"]], [y], "s", color=MUTED, markersize=7, markeredgewidth=0)
        axes.set(xlabel="independent judges  →")
        axes.set_xlim(0, most + 0.5)

    taste, apart = found["taste"], found["apart"]
    between = f"{format_decimal(taste['low'])} to {format_decimal(taste['high'])}"
    words = (
        "Models that judge share mistakes, so several tell less than as many people would. The fit gives "
        f"them a taste in common, {format_decimal(taste['mean'])} standard deviations of quality "
        f"(90{PERCENT} interval {between}), and takes it out of the labels."
    )
    if own := found.get("own"):
        liked = own["preference"]
        words += (
            f" They put what they wrote themselves {format_decimal(liked['mean'])} (90{PERCENT} interval "
            f"{format_decimal(liked['low'])} to {format_decimal(liked['high'])}) above what people say."
        )
    if not found["people"]:
        words += " No person judged the same answers, so taste cannot be told from quality: p is wide."
    elif apart["pairs"]:
        words += (
            f" Their majority and people’s differ in {apart['differ']:,} of {apart['pairs']:,} pairs; in "
            f"{apart['with_people']:,} of these p is on people’s side."
        )
    title = "What the models that judged are worth"
    return Picture(
        "judges",
        title,
        words,
        draw(
            "judges",
            title,
            "; ".join(
                f"{clean(part, 30)}: {panel['judges']} models worth {panel['n_eff']['median']:g} "
                f"independent ones ({panel['n_eff']['low']:g} to {panel['n_eff']['high']:g})"
                for part, panel in panels.items()
            )
            + ".",
            max(height, measure_intervals(len(rows)), 160),
            paint,
        ),
        (
            Mark("o", CSS[SERIES[0]], f"worth, with its 90{PERCENT} interval"),
            Mark("s", CSS[MUTED], "number of models"),
        ),
    )


PANEL = Panel(
    "judges",
    lambda view: bool(view.findings.get("judges")),
    lambda view, height: [draw_judges(view.findings["judges"], height)],
)
