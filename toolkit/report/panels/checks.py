"""Would the model produce these data: posterior predictive checks, a small drawing per signal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ....schemas.support.text import clean
from ...fusion.likelihoods.registry import LIKELIHOODS
from ..picture import PERCENT, Mark, Picture, format_share
from ..svg import CSS, FLAG, INK, SERIES, Paint, draw_grid, measure_grid
from .panel import FitView, Panel

DRAWINGS = 8  # of checks drawn at most
BARS = 12  # categories that have room for a label each

Check = dict[str, Any]  # as `check_predictions` returns them


def measure_checks(found: Sequence[Check]) -> float:
    """Compute the height in points of the drawings of these checks."""
    return measure_grid(min(len({c["signal"] for c in found}), DRAWINGS))


def draw_checks(found: Sequence[Check], height: float = 0) -> Picture:
    """Draw posterior predictive checks: per signal the data's shares as bars, replicated data as bands."""
    signals = list(dict.fromkeys(c["signal"] for c in found))
    drawings = [[c for c in found if c["signal"] == signal] for signal in _worst(found, signals)]
    failed = sum(not c["holds"] for c in found)
    verdict = (
        f"every bar ends where the middle 98{PERCENT} of them do, so the model could have produced these data"
        if not failed
        else f"{failed} of {len(found)} bars {'ends' if failed == 1 else 'end'} outside the middle "
        f"98{PERCENT} of them: there the model misses something in the data"
    )
    less = (
        f" Shown are the {DRAWINGS} of {len(signals)} signals that fit worst."
        if len(signals) > DRAWINGS
        else ""
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
        draw_grid(
            "checks",
            title,
            f"{len(found)} posterior predictive checks, {len(found) - failed} of them hold. "
            + " ".join(_in_words(one) for one in drawings),
            max(height, measure_grid(len(drawings))),
            [_check_paint(one) for one in drawings],
        ),
        tuple(marks),
    )


def _worst(found: Sequence[Check], signals: list[str]) -> list[str]:
    """At most DRAWINGS signals, in their order: those with a check furthest out of its interval."""

    def departure(signal: str) -> float:
        checks = np.array([(c["data"], c["low"], c["high"]) for c in found if c["signal"] == signal])
        data, low, high = checks.T
        return float(np.max(abs(data - (low + high) / 2) / np.maximum((high - low) / 2, 1e-9)))

    kept = sorted(signals, key=departure, reverse=True)[:DRAWINGS]
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


def _in_words(checks: Sequence[Check]) -> str:
    name, _ = _signal(checks[0])
    shares = (
        f"{_category(c)} {format_share(c['data'])} "
        f"({format_share(c['band'][0])} to {format_share(c['band'][1])})"
        for c in checks
    )
    return f"{name}, data and band: {', '.join(shares)}."


def _check_paint(checks: Sequence[Check]) -> Paint:
    name, of = _signal(checks[0])
    x = np.arange(len(checks))
    data = np.array([c["data"] for c in checks])
    low, high = np.array([c["band"] for c in checks]).T

    def paint(axes: Axes) -> None:
        for i, c in enumerate(checks):
            axes.bar(i, data[i], 0.72, color=SERIES[0] if c["holds"] else FLAG, alpha=0.6, linewidth=0)
            if not c["holds"]:
                axes.plot([i], [data[i]], "X", color=FLAG, markersize=7, markeredgewidth=0, zorder=4)
        axes.vlines(x, low, high, colors=INK, alpha=0.5, linewidth=5, zorder=3)
        axes.set_title(f"{name} · {checks[0]['n']:,}", color=INK)
        axes.set_xlabel(of, fontsize=10)
        step = -(-len(checks) // BARS)
        axes.set_xticks(x[::step], [_category(c) for c in checks[::step]])
        axes.set_xlim(-0.6, len(checks) - 0.4)
        axes.set_ylim(0, max(0.05, float(high.max()), float(data.max())) * 1.08)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=PERCENT))

    return paint


def _banded(view: FitView) -> list[Check]:
    """The fit's checks; those of earlier versions hold no bands."""
    return [c for c in view.diagnostics["checks"] if "band" in c]


PANEL = Panel(
    "checks",
    lambda view: bool(_banded(view)),
    lambda view, height: [draw_checks(_banded(view), height)],
    lambda view: measure_checks(_banded(view)),
    beside=("annotators", "ranks"),
)
