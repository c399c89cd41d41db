"""Pictures of a fit: each a drawing with its title, key and caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from ...schemas.support.text import SURE, clean
from ..fusion.summary import COIN_FLIP
from .picture import PERCENT, Mark, Picture, format_decimal, format_share
from .svg import CSS, FLAG, INK, MUTED, SERIES, ZONE, draw

DOTS = 1500  # completions drawn at most; keys are hashes, so the first ones are a fair sample
NAMED = 40  # annotators with room for a line and a name each
LINES = 150  # annotators drawn at most where there are more: evenly spread over their order
_SHAPES = ("o", "s", "^", "D", "v")  # of the tasks: colour is never the only difference


@dataclass(frozen=True)
class IntervalLine:
    """One line of an interval plot."""

    label: str
    low: float
    value: float
    high: float
    flagged: bool


def draw_agreement(completions: pl.DataFrame, rho: dict[str, float]) -> Picture:
    """Draw expressed against observed effectiveness: a dot per completion.

    `completions` has expressed, observed, their sds, tried (by a learner) and task; `rho` mean, low and high.
    The line is the observed effectiveness expected from the expressed one by rho; its fan is rho's interval.
    """
    shown = completions.head(DOTS)
    styles = _task_styles(completions["task"])
    typical = np.median(completions.select("expressed_sd", "observed_sd").to_numpy(), axis=0)
    reach = float(np.abs(shown.select("expressed", "observed").to_numpy()).max(initial=0.8)) * 1.2

    def paint(axes: Axes) -> None:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="expressed: what people prefer  →")
        axes.set_title("↑  observed: what helps learners")
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, dashes=(4, 3))
        ends = np.array([-reach, 0, reach])
        axes.fill_between(ends, rho["low"] * ends, rho["high"] * ends, color=INK, alpha=0.09, linewidth=0)
        axes.plot(ends, rho["mean"] * ends, color=INK, linewidth=1.4)
        x, y = 0.96 * reach - typical[0], -0.84 * reach + typical[1]
        axes.errorbar([x], [y], typical[1], typical[0], color=MUTED, linewidth=1.2)
        for words, x, y, across, up in (
            ("helps more than it is liked", 0.02, 0.98, "left", "top"),
            ("liked more than it helps", 0.98, 0.02, "right", "bottom"),
        ):
            axes.text(
                x,
                y,
                words,
                color=MUTED,
                fontsize=10,
                style="italic",
                ha=across,
                va=up,
                transform=axes.transAxes,
            )
        for (task, tried), part in _parts(shown, list(styles)):
            colour, shape = styles[task]
            axes.plot(
                part["expressed"],
                part["observed"],
                shape,
                color=colour,
                markersize=5.5,
                markeredgewidth=0,
                alpha=0.8 if tried else 0.28,
            )

    between = f"{format_decimal(rho['low'])} to {format_decimal(rho['high'])}"
    marks = [Mark(shape, CSS[colour], clean(task, 30)) for task, (colour, shape) in styles.items()]
    if not shown["tried"].all():
        marks.append(Mark("o", "currentColor", "faint: no learner tried it", faint=True))
    marks.append(Mark("-", CSS[INK], f"ρ = {format_decimal(rho['mean'])} ({between})"))
    less = f" The page draws {DOTS:,} of {completions.height:,}." if completions.height > DOTS else ""
    title = "What people prefer, and what helps"
    return Picture(
        "agreement",
        title,
        f"Each dot is a completion (posterior means, log-odds scale; the cross at the lower right reaches "
        f"as far as the sd of a typical dot): on the dashed line people and learners agree about it. Over "
        f"all completions the two correlate by ρ = {format_decimal(rho['mean'])} (90{PERCENT} interval "
        f"{between}; the line and its fan): {_about(rho)}.{less}",
        draw(
            "agreement",
            title,
            f"Scatter plot of {completions.height} completions: expressed effectiveness from left to right, "
            "observed effectiveness from bottom to top, both on the log-odds scale. "
            f"Their correlation is {format_decimal(rho['mean'])}, 90{PERCENT} interval {between}.",
            330,
            paint,
        ),
        tuple(marks),
    )


def _about(rho: dict[str, float]) -> str:
    if rho["low"] > 0:
        return "what people prefer tends to help as well; at 1 it would be the same thing"
    if rho["high"] < 0:
        return "what people prefer tends to help less"
    return "zero lies inside, so what people prefer may say nothing about what helps"


def _task_styles(tasks: pl.Series) -> dict[str, tuple[str, str]]:
    """Colour and marker per task, the most frequent first; the fifth kind is all others."""
    counts = tasks.value_counts(name="n").sort(["n", tasks.name], descending=[True, False])
    names = counts[tasks.name].to_list()
    if len(names) > len(SERIES):
        names = [*names[: len(SERIES) - 1], "other tasks"]
    return dict(zip(names, zip(SERIES, _SHAPES, strict=True), strict=False))


def _parts(shown: pl.DataFrame, names: list[str]) -> list[tuple[tuple[str, bool], pl.DataFrame]]:
    """Completions by task and whether any learner tried them, the untried first (beneath)."""
    rows = shown.with_columns(
        pl.when(pl.col("task").is_in(names)).then("task").otherwise(pl.lit(names[-1])).alias("task"),
    )
    return [
        ((task, tried), part)
        for tried in (False, True)
        for task in names
        if not (part := rows.filter(task=task, tried=tried)).is_empty()
    ]


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
        said = f"coin flips\n{format_share(share)}"
        axes.text(0.55, top * 0.97, said, ha="center", va="top", linespacing=1.35)
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


def measure_annotators(n: int) -> float:
    """Compute the height in points of a plot of so many annotators."""
    return measure_lines(n) if n <= NAMED else 420.0


def draw_annotators(found: Sequence[dict[str, Any]], height: float = 0) -> Picture:
    """Draw the reliability of annotators with 90 % intervals, the most reliable on top."""
    order = sorted(found, key=lambda a: (-a["reliability"]["mean"], a["annotator"]))
    rows = [
        IntervalLine(
            clean(a["annotator"], 22),
            a["reliability"]["low"],
            a["reliability"]["mean"],
            a["reliability"]["high"],
            a["p_below_half"] > SURE,
        )
        for a in order
    ]

    def paint(axes: Axes) -> None:
        for x, words in ((0, "guessing"), (1, "average")):
            axes.axvline(x, color=MUTED, linewidth=1, dashes=(4, 3), zorder=1)
            axes.text(
                x,
                1.012,
                words,
                color=MUTED,
                fontsize=10,
                ha="center",
                va="bottom",
                transform=axes.get_xaxis_transform(),
            )
        if len(rows) <= NAMED:
            paint_intervals(axes, rows)
        else:
            paint_caterpillar(axes, rows)
        axes.set(xlabel="reliability  →")
        low, high = min(0.0, *(r.low for r in rows)), max(1.0, *(r.high for r in rows))
        axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        axes.xaxis.set_major_locator(MaxNLocator(6))

    flagged = [clean(a["annotator"], 30) for a in reversed(order) if a["p_below_half"] > SURE]
    less = f" The page draws {LINES} of {len(rows):,}, evenly spread." if len(rows) > LINES else ""
    marks = [Mark("o", CSS[SERIES[0]], f"mean and 90{PERCENT} interval")]
    if flagged:
        marks.append(Mark("X", CSS[FLAG], "hardly better than guessing"))
    title = "How far each annotator’s votes can be trusted"
    return Picture(
        "annotators",
        title,
        "Each line is an annotator, the most reliable on top: at 1 they follow the common preference as most "
        f"do, at 0 they vote as a coin would, and below 0 against it. {_named(flagged)} The fit weighs votes "
        f"accordingly.{less}",
        draw(
            "annotators",
            title,
            f"Reliability of {len(rows)} annotators with 90{PERCENT} intervals, highest first, from "
            f"{format_decimal(rows[0].value)} to {format_decimal(rows[-1].value)}; "
            f"{len(flagged)} of them are marked.",
            max(height, measure_annotators(len(rows))),
            paint,
        ),
        tuple(marks),
    )


def paint_caterpillar(axes: Axes, rows: Sequence[IntervalLine]) -> None:
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


def _named(flagged: list[str]) -> str:
    if not flagged:
        return f"Nobody is below 0.5 with more than 90{PERCENT} probability."
    names = ", ".join(flagged[:8]) + (f" and {len(flagged) - 8} more" if len(flagged) > 8 else "")
    return f"Below 0.5 with more than 90{PERCENT} probability, and so marked: {names}."


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
        f"({format_share(inside / max(n, 1))}) lie inside their 90{PERCENT} interval; "
        f"about 90{PERCENT} should.",
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


def measure_lines(rows: int) -> float:
    """Compute the height in points of an interval plot of so many rows."""
    return 70.0 + (19 if rows <= 24 else 15) * max(rows, 3)


def paint_intervals(axes: Axes, rows: Sequence[IntervalLine]) -> None:
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
