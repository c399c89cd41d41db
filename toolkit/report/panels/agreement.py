"""What people prefer against what helps learners: a dot per completion, and rho as a line."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from ....schemas.support.text import clean
from ....schemas.tables import OBSERVED
from ...fusion.findings.summary import has_both_sides
from ...store.connection import query
from ..picture import DOTS, PERCENT, Mark, Picture, format_decimal
from ..svg import CSS, INK, MUTED, SERIES, draw
from .panel import FitView, Panel

_SHAPES = ("o", "s", "^", "D", "v")  # of the tasks: colour is never the only difference


def draw_agreement(completions: pl.DataFrame, rho: dict[str, float]) -> Picture:
    """Draw expressed against observed effectiveness: a dot per completion.

    `completions` has expressed, observed, their sds, tried (by a learner) and task; `rho` mean, low and high.
    The line is what rho makes of expressed, its fan rho's interval.
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
        f"all completions the two correlate by ρ = {format_decimal(rho['mean'])} "
        f"(90{PERCENT} interval {between}; the line and its fan): {_about(rho)}.{less}",
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


def write_tried(row: str) -> str:
    """Write the DuckDB condition that a learner tried the completion of a row of `effectiveness`."""
    return f"({' + '.join(f'{row}.{signal.count}' for signal in OBSERVED)} > 0)"


def _effectiveness(view: FitView) -> pl.DataFrame:
    return query(
        view.con,
        f"""SELECT e.expressed_mean AS expressed, e.observed_mean AS observed,
        e.expressed_sd, e.observed_sd, {write_tried("e")} AS tried,
        coalesce(q.task, 'task not known') AS task FROM effectiveness e
        LEFT JOIN completions c ON c.key = e.completion LEFT JOIN prompts q ON q.key = c.prompt
        WHERE e.fit = ? ORDER BY e.completion""",
        [view.fit["key"]],
    )


def _draw(view: FitView, _height: float) -> Sequence[Picture]:
    return [draw_agreement(_effectiveness(view), view.findings["rho"])]


PANEL = Panel("agreement", lambda view: has_both_sides(view.findings), _draw)
