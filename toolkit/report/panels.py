"""Figures of many small drawings: predictive checks by signal, rank histograms by parameter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ...schemas.support.text import clean
from ..fusion.likelihoods.registry import LIKELIHOODS
from ..fusion.sampling.rank_histograms import BINS, compute_band
from .picture import PERCENT, Mark, Picture, format_share
from .svg import CSS, FLAG, INK, MUTED, SERIES, ZONE, Paint, draw_panels

COLUMNS = 2
PANELS = 8  # of checks drawn at most
BARS = 12  # categories that have room for a label each

Check = dict[str, Any]  # as `predictive_checks` returns them


def measure_checks(found: Sequence[Check]) -> float:
    """Compute the height in points of the panels of these checks."""
    return _height(min(len({c["signal"] for c in found}), PANELS))


def draw_checks(found: Sequence[Check], height: float = 0) -> Picture:
    """Draw posterior predictive checks: per signal the data's shares as bars, replicated data as bands."""
    signals = list(dict.fromkeys(c["signal"] for c in found))
    panels = [[c for c in found if c["signal"] == signal] for signal in _worst(found, signals)]
    failed = sum(not c["holds"] for c in found)
    verdict = (
        f"every bar ends where the middle 98{PERCENT} of them do, so the model could have produced these data"
        if not failed
        else f"{failed} of {len(found)} bars {'ends' if failed == 1 else 'end'} outside the middle "
        f"98{PERCENT} of them: there the model misses something in the data"
    )
    less = (
        f" Shown are the {PANELS} of {len(signals)} signals that fit worst." if len(signals) > PANELS else ""
    )
    turns = (
        " Turns are drawn anew try by try, only where a learner did try; the bars leave out the learners "
        "who gave up."
        if any(c["signal"] == "outcomes:turns" for c in found)
        else ""
    )
    marks = [Mark("s", CSS[SERIES[0]], "the data"), Mark("-", CSS[INK], f"90{PERCENT} of replicated data")]
    if failed:
        marks.append(Mark("X", CSS[FLAG], "the data, outside"))
    title = "Would the model produce these data?"
    return Picture(
        "checks",
        title,
        "Where a bar, a share of the data, ends inside its band, data drawn anew from the fitted model look "
        f"alike. Here {verdict}.{turns}{less}",
        draw_panels(
            "checks",
            title,
            f"{len(found)} posterior predictive checks, {len(found) - failed} of them hold. "
            + " ".join(_in_words(panel) for panel in panels),
            max(height, _height(len(panels))),
            [_check_panel(panel) for panel in panels],
            COLUMNS,
        ),
        tuple(marks),
    )


def _worst(found: Sequence[Check], signals: list[str]) -> list[str]:
    """At most PANELS signals, in their order: those with a check furthest out of its interval."""

    def departure(signal: str) -> float:
        checks = np.array([(c["data"], c["low"], c["high"]) for c in found if c["signal"] == signal])
        data, low, high = checks.T
        return float(np.max(abs(data - (low + high) / 2) / np.maximum((high - low) / 2, 1e-9)))

    kept = sorted(signals, key=departure, reverse=True)[:PANELS]
    return [signal for signal in signals if signal in kept]


def _signal(check: Check) -> tuple[str, str]:
    """Name a signal in words, and what its categories are."""
    kind, _, scale = check["signal"].partition(":")
    axes = LIKELIHOODS[kind].axes if kind in LIKELIHOODS else {}
    return clean(scale or kind, 24), axes.get(scale, axes.get("", ""))


def _category(check: Check) -> str:
    """Name a category; first and second are the sides of the pair, not the order of showing."""
    kind = check["signal"].partition(":")[0]
    labels = LIKELIHOODS[kind].labels if kind in LIKELIHOODS else {}
    return labels.get(check["category"], clean(check["category"], 12))


def _in_words(panel: Sequence[Check]) -> str:
    name, _ = _signal(panel[0])
    shares = (
        f"{_category(c)} {format_share(c['data'])} ({' to '.join(map(format_share, c['band'][:2]))})"
        for c in panel
    )
    return f"{name}, data and band: {', '.join(shares)}."


def _check_panel(panel: Sequence[Check]) -> Paint:
    name, of = _signal(panel[0])
    x = np.arange(len(panel))
    data = np.array([c["data"] for c in panel])
    low, high = np.array([c["band"] for c in panel]).T

    def paint(axes: Axes) -> None:
        for i, c in enumerate(panel):
            axes.bar(i, data[i], 0.72, color=SERIES[0] if c["holds"] else FLAG, alpha=0.6, linewidth=0)
            if not c["holds"]:
                axes.plot([i], [data[i]], "X", color=FLAG, markersize=7, markeredgewidth=0, zorder=4)
        axes.vlines(x, low, high, colors=INK, alpha=0.5, linewidth=5, zorder=3)
        axes.set_title(f"{name} · {panel[0]['n']:,}", color=INK)
        axes.set_xlabel(of, fontsize=10)
        step = -(-len(panel) // BARS)
        axes.set_xticks(x[::step], [_category(c) for c in panel[::step]])
        axes.set_xlim(-0.6, len(panel) - 0.4)
        axes.set_ylim(0, max(0.05, float(high.max()), float(data.max())) * 1.08)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=PERCENT))

    return paint


def measure_ranks(found: Sequence[dict[str, Any]]) -> float:
    """Compute the height in points of the rank histograms."""
    return _height(len(found), 95)


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
        f"been elsewhere. Here {format_share(inside / total)} of {total:,} counts lie in their band; "
        f"where the chains agree about 90{PERCENT} or more do.",
        draw_panels(
            "ranks",
            title,
            f"Rank histograms of {len(counts[0])} chains in {BINS} bins. "
            + " ".join(
                f"{clean(one['parameter'], 40)}: R-hat {one['r_hat']:.3f}, counts {c.min()} to {c.max()}, "
                f"band {low:.0f} to {high:.0f}."
                for one, c, (low, high) in zip(found, counts, bands, strict=True)
            ),
            max(height, measure_ranks(found)),
            [_rank_panel(one, c, band) for one, c, band in zip(found, counts, bands, strict=True)],
            COLUMNS,
        ),
        (
            *(Mark("s", CSS[SERIES[i]], f"chain {i + 1}") for i in range(min(len(counts[0]), len(SERIES)))),
            Mark("s", CSS[ZONE], f"90{PERCENT} band"),
        ),
    )


def _rank_panel(one: dict[str, Any], counts: Any, band: tuple[float, float]) -> Paint:
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


def _height(panels: int, row: float = 120) -> float:
    return 20.0 + row * -(-panels // COLUMNS)
