"""Draw annotators' agreement: of every pair, and of each with the majority of the others.

They take what `preceptor annotate agreement --json` prints about one source.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ....schemas.support.text import clean
from ..intervals import LINES, IntervalLine, measure_intervals, paint_intervals
from ..picture import PERCENT, Mark, Picture, format_decimal, format_share
from ..svg import CSS, FLAG, INK, SERIES, draw
from .panel import Panel

SHOWN = 16  # maximum annotators of a heat map, for room for their names
WRITTEN = 10  # annotators of a heat map with room for numbers


def draw_people(found: Mapping[str, Any], place: int) -> list[Picture]:
    """Draw both pictures of a source; only if its annotators are named and judged common items."""
    pictures = []
    signal = max(found["signals"], key=lambda s: len(s["pairs"]), default=None)
    if signal and signal["pairs"]:
        pictures.append(draw_pairs(found["source"], signal, place))
    people = [p for p in found["annotators"] if p["majority"]]
    if len(people) > 1:
        pictures.append(draw_consensus(found["source"], people, place))
    return pictures


def draw_pairs(source: str, signal: Mapping[str, Any], place: int) -> Picture:
    """Draw the agreement of every two annotators about one signal: the darker, the more."""
    names, shares = _grid(signal["pairs"])
    by_chance = signal["chance"]["value"] if signal["chance"] else 0.0

    def paint(axes: Axes) -> None:
        for (i, j), share in shares.items():
            depth = min(max((share - by_chance) / (1 - by_chance), 0.0), 1.0) if by_chance < 1 else 1.0
            axes.add_patch(
                Rectangle(
                    (j, i), 0.96, 0.96, facecolor=SERIES[0], linewidth=0, alpha=round(0.06 + 0.74 * depth, 3)
                )
            )
            if len(names) <= WRITTEN:
                axes.text(j + 0.48, i + 0.48, f"{100 * share:.0f}", ha="center", va="center", fontsize=9)
        middle = [i + 0.48 for i in range(len(names))]
        axes.set_yticks(middle, names)
        axes.set_xticks(middle, [name[:4] for name in names], rotation=90)
        axes.set(xlim=(0, len(names)), ylim=(len(names), 0))
        axes.grid(visible=False)
        for label in axes.get_yticklabels():
            label.set_color(INK)

    title = f"Who agrees with whom: {clean(source, 30)}"
    alpha = signal["alpha"][signal["metric"]]
    all_ = len({p[side] for p in signal["pairs"] for side in ("first", "second")})
    less = f" The page draws the {len(names)} of {all_} who share most." if all_ > len(names) else ""
    about = f", Krippendorff’s alpha {format_decimal(alpha['value'])}" if alpha else ""
    return Picture(
        f"pairs-{place}",
        title,
        f"Each square is two annotators and what they judged ({clean(signal['signal'], 30)}): darker is "
        f"more often agreed. Chance alone gives {format_share(by_chance)}, the palest{about}. A pale "
        f"row is an annotator apart from the others.{less}",
        draw(
            f"pairs-{place}",
            title,
            f"Heat map of the agreement of {len(names)} annotators two by two, from "
            f"{format_share(min(shares.values()))} to {format_share(max(shares.values()))}.",
            60.0 + 19 * len(names),
            paint,
        ),
    )


def _grid(pairs: Sequence[Mapping[str, Any]]) -> tuple[list[str], dict[tuple[int, int], float]]:
    """Names of those who share most items, by agreement, and the symmetric matrix of agreement."""
    shared: dict[str, float] = {}
    agreed: dict[str, float] = {}
    for pair in pairs:
        for side in ("first", "second"):
            shared[pair[side]] = shared.get(pair[side], 0) + pair["n"]
            agreed[pair[side]] = agreed.get(pair[side], 0) + pair["n"] * pair["agreement"]
    most = sorted(shared, key=lambda name: (-shared[name], name))[:SHOWN]
    order = sorted(most, key=lambda name: (-agreed[name] / shared[name], name))
    at = {name: i for i, name in enumerate(order)}
    cells = {
        place: pair["agreement"]
        for pair in pairs
        if pair["first"] in at and pair["second"] in at
        for place in ((at[pair["first"]], at[pair["second"]]), (at[pair["second"]], at[pair["first"]]))
    }
    return [clean(name, 16) for name in order], cells


def draw_consensus(source: str, people: Sequence[Mapping[str, Any]], place: int) -> Picture:
    """Draw each annotator's share of answers that most of the others gave too, with 95 % intervals."""
    order = sorted(people, key=lambda p: (-p["majority"]["value"], p["annotator"]))
    rows = []
    for p in order:
        low, value, high = (p["majority"][name] for name in ("low", "value", "high"))
        rows.append(IntervalLine(clean(p["annotator"], 22), low, value, high, bool(p["look"])))

    def paint(axes: Axes) -> None:
        paint_intervals(axes, rows)
        axes.set(xlim=(-0.02, 1.02), xlabel="answers as most of the others gave them  →")

    flagged = [row for row in rows if row.flagged]
    marks = [Mark("o", CSS[SERIES[0]], f"share and 95{PERCENT} interval")]
    if flagged:
        marks.append(Mark("X", CSS[FLAG], "needs a look"))
    few = ", ".join(row.label for row in flagged[:8]) + (
        f" and {len(flagged) - 8} more" if len(flagged) > 8 else ""
    )
    less = f" The page draws {LINES} of {len(rows):,}, evenly spread." if len(rows) > LINES else ""
    marked = f"Marked: {few}; preceptor annotate agreement says why." if flagged else "Nobody stands out."
    title = f"Who answers as most do: {clean(source, 30)}"
    return Picture(
        f"consensus-{place}",
        title,
        "Each line is an annotator: the share of answers that equal the most frequent one of the other "
        f"people who judged the same. {marked}{less}",
        draw(
            f"consensus-{place}",
            title,
            f"Agreement of {len(rows)} annotators with most of the others, with 95{PERCENT} intervals, "
            f"highest first; {len(flagged)} of them are marked.",
            measure_intervals(len(rows)),
            paint,
        ),
        tuple(marks),
    )


PANEL = Panel(
    "people",
    lambda view: len(view.agreed) > 0,
    lambda view, _height: [
        picture for place, found in enumerate(view.agreed) for picture in draw_people(found, place)
    ],
)
