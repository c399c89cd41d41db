"""Did the chains see the same values: rank histograms, a small drawing per parameter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ....schemas.support.text import clean
from ...fusion.sampling.rank_histograms import BINS, compute_band
from ..picture import PERCENT, Mark, Picture, format_share
from ..svg import CSS, INK, MUTED, SERIES, ZONE, Paint, draw_grid, measure_grid
from .panel import FitView, Panel


def measure_ranks(found: Sequence[dict[str, Any]]) -> float:
    """Compute the height in points of the rank histograms."""
    return measure_grid(len(found), 95)


def draw_ranks(found: Sequence[dict[str, Any]], height: float = 0) -> Picture:
    """Draw rank histograms (Vehtari et al. 2021), a line per chain, of rho and the parameters that count."""
    bands = [compute_band(one["counts"], one["ess"]) for one in found]
    counts = [np.array(one["counts"]) for one in found]
    inside = sum(int(((c >= low) & (c <= high)).sum()) for c, (low, high) in zip(counts, bands, strict=True))
    total = sum(c.size for c in counts)
    title = "Did the chains see the same values?"
    return Picture(
        "ranks",
        title,
        "Each line is a chain: how many of its draws lie in each twentieth of the draws of all chains, from "
        "the lowest to the highest; lines that wander about in the band agree, one that leans or bulges has "
        f"been elsewhere. Here {format_share(inside / total)} of {total:,} counts lie in their band; where "
        f"the chains agree about 90{PERCENT} or more do.",
        draw_grid(
            "ranks",
            title,
            f"Rank histograms of {len(counts[0])} chains in {BINS} bins. "
            + " ".join(
                f"{clean(one['parameter'], 40)}: R-hat {one['r_hat']:.3f}, counts {c.min()} to {c.max()}, "
                f"band {low:.0f} to {high:.0f}."
                for one, c, (low, high) in zip(found, counts, bands, strict=True)
            ),
            max(height, measure_ranks(found)),
            [_rank_paint(one, c, band) for one, c, band in zip(found, counts, bands, strict=True)],
        ),
        (
            *(Mark("s", CSS[SERIES[i]], f"chain {i + 1}") for i in range(min(len(counts[0]), len(SERIES)))),
            Mark("s", CSS[ZONE], f"90{PERCENT} band"),
        ),
    )


def _rank_paint(one: dict[str, Any], counts: Any, band: tuple[float, float]) -> Paint:
    def paint(axes: Axes) -> None:
        axes.axhspan(*band, color=ZONE, linewidth=0)
        axes.axhline(counts[0].sum() / BINS, color=MUTED, linewidth=1, dashes=(4, 3))
        for i, chain in enumerate(counts):
            axes.stairs(
                chain, np.arange(BINS + 1), baseline=None, color=SERIES[i % len(SERIES)], linewidth=1.3
            )
        axes.set_title(clean(one["parameter"], 27), color=INK, fontsize=10)
        axes.set_xlabel(f"R-hat {one['r_hat']:.3f}, ESS {one['ess']:,}", fontsize=10)
        axes.set(xlim=(0, BINS), ylim=(0, max(float(counts.max()), band[1]) * 1.1), xticks=[])
        axes.grid(visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))

    return paint


def _ranks(view: FitView) -> list[dict[str, Any]]:
    """The fit's rank counts; fits of earlier versions hold none."""
    found: list[dict[str, Any]] = view.diagnostics.get("ranks", [])
    return found


PANEL = Panel(
    "ranks",
    lambda view: bool(_ranks(view)),
    lambda view, height: [draw_ranks(_ranks(view), height)],
    lambda view: measure_ranks(_ranks(view)),
)
