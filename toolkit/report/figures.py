"""Pictures of a fit: each a drawing with its title, key and caption."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .svg import CSS, FLAG, INK, MUTED, SERIES, ZONE, draw

COIN_FLIP = 0.6  # a pair whose surer side is below this is a coin flip
UNRELIABLE = 0.9  # P(reliability < 0.5) above which an annotator is marked
DOTS = 1500  # completions drawn at most; keys are hashes, so the first ones are a fair sample
ROWS = 60  # checks drawn at most
ENDS = 20  # annotators drawn at either end where there are more than twice as many
PERCENT = "\u202f%"  # a narrow space that does not break
_SHAPES = ("o", "s", "^", "D", "v")  # of the tasks: colour is never the only difference


@dataclass(frozen=True)
class Mark:
    """An entry of a picture's key: marker (matplotlib's letter, or "-"), colour as CSS, words."""

    shape: str
    colour: str
    words: str
    faint: bool = False


@dataclass(frozen=True)
class Picture:
    """A drawing with its title, what to see in it, and the key to its marks."""

    name: str
    title: str
    caption: str
    svg: Markup
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of an interval plot."""

    label: str
    low: float
    value: float
    high: float
    flagged: bool
    group: str = ""


def percent(share: float) -> str:
    """A share in whole percents; what is not quite all or nothing does not look like it."""
    if 0 < share < 0.005 or 0.995 < share < 1:
        return ("<1" if share < 0.5 else ">99") + PERCENT
    return f"{100 * share:.0f}{PERCENT}"


def number(value: float) -> str:
    """Two decimals, with a real minus sign and no minus zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def agreement(completions: pl.DataFrame, rho: dict[str, float]) -> Picture:
    """Expressed against observed effectiveness: a dot per completion.

    `completions` has expressed, observed, n_outcomes and task; `rho` mean, low and high.
    """
    shown = completions.head(DOTS)
    styles = _task_styles(completions["task"])
    reach = float(np.abs(shown.select("expressed", "observed").to_numpy()).max(initial=0.8)) * 1.2

    def paint(axes: Axes) -> None:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="expressed: what people prefer  →")
        axes.set_title("↑  observed: what helps learners")
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, dashes=(4, 3))
        for words, x, y, across, up in (
            ("helps more than it is liked", 0.02, 0.98, "left", "top"),
            ("liked more than it helps", 0.98, 0.02, "right", "bottom"),
        ):
            axes.text(x, y, words, color=MUTED, fontsize=10, style="italic", ha=across, va=up,
                      transform=axes.transAxes)  # fmt: skip
        for (task, tried), part in _parts(shown, list(styles)):
            colour, shape = styles[task]
            axes.plot(part["expressed"], part["observed"], shape, color=colour, markersize=5.5,
                      markeredgewidth=0, alpha=0.8 if tried else 0.28)  # fmt: skip

    marks = [Mark(shape, CSS[colour], clean(task, 30)) for task, (colour, shape) in styles.items()]
    if shown["n_outcomes"].min() == 0:
        marks.append(Mark("o", "currentColor", "faint: no learner tried it", faint=True))
    less = f" The page draws {DOTS:,} of {completions.height:,}." if completions.height > DOTS else ""
    return Picture(
        "agreement",
        "What people prefer, and what helps",
        f"Each dot is a completion; on the dashed line people and learners agree about it. Over all "
        f"completions the two correlate by ρ = {number(rho['mean'])} (90{PERCENT} interval "
        f"{number(rho['low'])} to {number(rho['high'])}): {_about(rho)}. "
        f"Log-odds scale, posterior means.{less}",
        draw(
            "agreement",
            f"Scatter plot of {completions.height} completions: expressed effectiveness from left to right, "
            "observed effectiveness from bottom to top, both on the log-odds scale.",
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
        (pl.col("n_outcomes") > 0).alias("tried"),
    )
    return [
        ((task, tried), part)
        for tried in (False, True)
        for task in names
        if not (part := rows.filter(task=task, tried=tried)).is_empty()
    ]


def confidence(surer: pl.Series) -> Picture:
    """Histogram of max(p, 1 - p) over pairs, the coin flips shaded."""
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
        axes.text(0.55, top * 0.97, f"coin flips\n{percent(share)}", ha="center", va="top", linespacing=1.35)
        axes.set(xlim=(0.5, 1), ylim=(0, top), xlabel="probability of the likelier side  →")
        axes.set_title("↑  pairs")
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=PERCENT))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))

    return Picture(
        "confidence",
        "How sure the pairs are",
        f"{flips:,} of {len(values):,} pairs ({percent(share)}) are coin flips: the better answer is known "
        f"with less than 60{PERCENT}, so a hard label there would be wrong nearly as often as right. The "
        "further to the right the bars stand, the more the signals have decided.",
        draw(
            "confidence",
            f"Histogram of the probability of the likelier side over {len(values)} pairs.",
            330,
            paint,
        ),
    )


def checks(found: Sequence[dict[str, Any]], height: float = 0) -> Picture:
    """Posterior predictive checks: the data's share on the interval of replicated shares."""
    failed = sum(not c["holds"] for c in found)
    shown = _worst(found)
    rows = [Row(_check_label(c), c["low"], c["data"], c["high"], not c["holds"], c["signal"]) for c in shown]

    def paint(axes: Axes) -> None:
        _intervals(axes, rows)
        axes.set(xlabel="share of the signal  →")
        axes.set_xlim(0, max(0.05, *(max(r.high, r.value) for r in rows)) * 1.06)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=PERCENT))

    verdict = (
        "every share lies on its bar, so the model could have produced these data"
        if not failed
        else f"{failed} of {len(found)} lie outside: there the model misses something in the data"
    )
    less = f" Shown are the {ROWS} of {len(found)} that fit worst." if len(found) > ROWS else ""
    marks = [Mark("-", CSS[SERIES[0]], f"98{PERCENT} of replicated data"),
             Mark("o", CSS[SERIES[0]], "the data")]  # fmt: skip
    if failed:
        marks.append(Mark("X", CSS[FLAG], "the data, outside"))
    return Picture(
        "checks",
        "Would the model produce these data?",
        f"Bars: shares in data drawn anew from the fitted model. Dots: shares in the real data. "
        f"Here {verdict}.{less}",
        draw(
            "checks",
            f"{len(found)} posterior predictive checks, {len(found) - failed} of them hold.",
            max(height, rows_height(len(rows))),
            paint,
        ),
        tuple(marks),
    )


def _check_label(check: dict[str, Any]) -> str:
    """A check in words: votes · tie, helpful · 4. First and second are of the pair, not as shown."""
    name = check["signal"].partition(":")[2] or check["signal"]
    side = {"first": "for A", "second": "for B"} if name == "votes" else {}
    return f"{clean(name, 18)} · {side.get(check['category'], clean(check['category'], 12))}"


def _worst(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most ROWS checks, in their order: those furthest from the middle of their interval."""

    def departure(i: int) -> tuple[bool, float]:
        c = found[i]
        half = max((c["high"] - c["low"]) / 2, 1e-9)
        return c["holds"], -abs(c["data"] - (c["low"] + c["high"]) / 2) / half

    return [found[i] for i in sorted(sorted(range(len(found)), key=departure)[:ROWS])]


def annotators(found: Sequence[dict[str, Any]], height: float = 0) -> Picture:
    """Reliability of annotators with 90 % intervals, the most reliable on top."""
    order = sorted(found, key=lambda a: (-a["reliability"]["mean"], a["annotator"]))
    shown = order if len(order) <= 2 * ENDS else [*order[:ENDS], *order[-ENDS:]]
    rows = [
        Row(clean(a["annotator"], 22), a["reliability"]["low"], a["reliability"]["mean"],
            a["reliability"]["high"], a["p_below_half"] > UNRELIABLE,
            "" if i < ENDS or len(shown) == len(order) else "lowest")
        for i, a in enumerate(shown)
    ]  # fmt: skip

    def paint(axes: Axes) -> None:
        for x, words in ((0, "guessing"), (1, "average")):
            axes.axvline(x, color=MUTED, linewidth=1, dashes=(4, 3), zorder=1)
            axes.text(x, 1.012, words, color=MUTED, fontsize=10, ha="center", va="bottom",
                      transform=axes.get_xaxis_transform())  # fmt: skip
        _intervals(axes, rows)
        axes.set(xlabel="reliability  →")
        low, high = min(0.0, *(r.low for r in rows)), max(1.0, *(r.high for r in rows))
        axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
        axes.xaxis.set_major_locator(MaxNLocator(6))

    flagged = [clean(a["annotator"], 30) for a in reversed(order) if a["p_below_half"] > UNRELIABLE]
    less = (
        f" Shown are the {ENDS} highest and {ENDS} lowest of {len(order)}." if len(shown) < len(order) else ""
    )
    marks = [Mark("o", CSS[SERIES[0]], f"mean and 90{PERCENT} interval")]
    if flagged:
        marks.append(Mark("X", CSS[FLAG], "hardly better than guessing"))
    return Picture(
        "annotators",
        "How far each annotator’s votes can be trusted",
        "An annotator at 1 follows the common preference as much as most do; one at 0 votes as a coin "
        f"would, and below 0 against it. {_named(flagged)} The fit weighs votes accordingly.{less}",
        draw(
            "annotators",
            f"Reliability of {len(rows)} annotators with 90{PERCENT} intervals, highest first.",
            max(height, rows_height(len(rows))),
            paint,
        ),
        tuple(marks),
    )


def _named(flagged: list[str]) -> str:
    if not flagged:
        return f"Nobody is below 0.5 with more than 90{PERCENT} probability."
    names = ", ".join(flagged[:8]) + (f" and {len(flagged) - 8} more" if len(flagged) > 8 else "")
    return f"Below 0.5 with more than 90{PERCENT} probability, and so marked: {names}."


def recovery(recovered: pl.DataFrame) -> Picture:
    """Inferred against known effectiveness; columns completion, mean, low, high and truth."""
    rows = recovered.with_columns(pl.col("truth").is_between("low", "high").alias("inside"))
    inside, n = int(rows["inside"].sum()), rows.height
    shown = rows.head(DOTS)

    def paint(axes: Axes) -> None:
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, dashes=(4, 3))
        for hit, colour, shape in ((True, SERIES[0], "o"), (False, FLAG, "X")):
            part = shown.filter(inside=hit)
            axes.vlines(part["truth"], part["low"], part["high"], colors=colour, alpha=0.3, linewidth=1.2)
            axes.plot(part["truth"], part["mean"], shape, color=colour, markeredgewidth=0,
                      markersize=4.5 if hit else 6.5)  # fmt: skip
        axes.set(xlabel="known effectiveness  →")
        axes.set_title("↑  inferred effectiveness")

    return Picture(
        "recovery",
        "Does the fit find what is known?",
        f"These signals were drawn from known values, so the fit can be marked: {inside:,} of {n:,} known "
        f"values ({percent(inside / max(n, 1))}) lie inside their 90{PERCENT} interval; about 90{PERCENT} "
        "should. Dots near the dashed line were found well; where signals are few, means lean towards zero.",
        draw(
            "recovery",
            f"Inferred against known effectiveness of {n} completions, with 90{PERCENT} intervals.",
            330,
            paint,
        ),
        (
            Mark("o", CSS[SERIES[0]], f"inside the 90{PERCENT} interval"),
            Mark("X", CSS[FLAG], "outside"),
        ),
    )


def rows_height(rows: int) -> float:
    """Height in points of an interval plot of so many rows."""
    return 70.0 + (19 if rows <= 24 else 15) * max(rows, 3)


def _intervals(axes: Axes, rows: Sequence[Row]) -> None:
    """Bars with a dot, one line each, from the top; a gap where the group changes."""
    at, y = [], 0.0
    for i, row in enumerate(rows):
        y -= 1.0 if not i or row.group == rows[i - 1].group else 1.6
        at.append(y)
        colour, shape = (FLAG, "X") if row.flagged else (SERIES[0], "o")
        axes.hlines(y, row.low, row.high, colors=colour, alpha=0.35, linewidth=5, capstyle="round")
        axes.plot([row.value], [y], shape, color=colour, markersize=7 if row.flagged else 5.5,
                  markeredgewidth=0, zorder=3)  # fmt: skip
    axes.set_yticks(at, [row.label for row in rows])
    axes.set_ylim(y - 0.8, -0.2)
    axes.grid(visible=False, axis="y")
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(FLAG if row.flagged else INK)
