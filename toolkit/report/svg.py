"""Draw figures as SVG inside the page.

matplotlib draws in placeholder colours that are then replaced by the page's CSS variables, so that one
drawing suits light screens, dark ones and paper. Text stays text, in the page's own font. The
same numbers give the same bytes.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...schemas.support.files import open_whole_file

WIDTH = 420.0  # of every drawing, in points; the page scales it
COLUMNS = 2  # of small drawings in one

# Placeholder colours and their CSS variables: all different, and none a default colour of matplotlib.
INK, MUTED, GRID, ZONE, FLAG = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05"
SERIES = ("#0a0c01", "#0a0c02", "#0a0c03", "#0a0c04", "#0a0c05")
CSS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    ZONE: "var(--zone)",
    FLAG: "var(--flag)",
    **{colour: f"var(--c{i})" for i, colour in enumerate(SERIES)},
}
# Colours of placeholders in a separate file: the page's colours on light screens.
LIGHT = {
    INK: "#1d2329",
    MUTED: "#5c6670",
    GRID: "#e2e5e8",
    ZONE: "#ece8df",
    FLAG: "#c03a12",
    **dict(zip(SERIES, ("#1f6fa8", "#c56a00", "#00825f", "#8f4a8b", "#737a81"), strict=True)),
}
_FONT = "DejaVu Sans"  # matplotlib measures with it; on the page the text has the page's font

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": _FONT,
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlecolor": MUTED,
    "axes.titlepad": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "lines.solid_capstyle": "round",
}


Paint = Callable[[Axes], None]


def draw(name: str, title: str, description: str, height: float, paint: Paint) -> Markup:
    """Draw what `paint` paints as SVG. `name` makes the ids of two drawings on one page different.

    `title` and `description` are for readers who do not see it.
    """
    return draw_grid(name, title, description, height, [paint], 1)


def draw_grid(
    name: str, title: str, description: str, height: float, paints: Sequence[Paint], columns: int = COLUMNS
) -> Markup:
    """Draw several drawings side by side in one SVG, row by row."""
    out = io.StringIO()
    style = _STYLE | {"svg.hashsalt": name}
    with warnings.catch_warnings(), matplotlib.style.context(["default", style]):
        # The reader's browser has the glyphs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        axes = figure.subplots(-(-len(paints) // columns), columns, squeeze=False).flat
        for one, paint in zip(axes, paints, strict=False):
            paint(one)
        for unused in axes[len(paints) :]:
            unused.remove()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return _inline(out.getvalue(), name, title, description)


def measure_grid(drawings: int, row: float = 120) -> float:
    """Compute the height in points of so many drawings in rows of COLUMNS, `row` points each."""
    return 20.0 + row * -(-drawings // COLUMNS)


def save(
    path: Path, title: str, height: float, paints: Sequence[Paint], columns: int, width: float = WIDTH
) -> None:
    """Write PATH.svg and PATH.png, on white, with what is painted side by side; sizes in points.

    Painting functions take their colours from LIGHT.
    """
    real = {
        name: LIGHT.get(value, value) if isinstance(value, str) else value for name, value in _STYLE.items()
    }
    with matplotlib.style.context(["default", real | {"svg.hashsalt": path.name}]):
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained", facecolor="white")
        axes = figure.subplots(-(-len(paints) // columns), columns, squeeze=False).flat
        for one, paint in zip(axes, paints, strict=False):
            paint(one)
        for unused in axes[len(paints) :]:
            unused.remove()
        for suffix, told in (("svg", {"Title": title, "Date": None}), ("png", {"Title": title})):
            with open_whole_file(path.with_name(f"{path.name}.{suffix}")) as stream:
                figure.savefig(stream, format=suffix, dpi=200, metadata=told)


def _inline(document: str, name: str, title: str, description: str) -> Markup:
    """Convert an SVG document to an element of the page, in the page's colours and font."""
    svg = document[document.index("<svg") :].strip()
    view = svg.partition('viewBox="')[2].partition('"')[0]
    body = svg[svg.index(">") + 1 :]
    # Its style sheet would reach the whole page, and its numbered ids would occur twice.
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", body)
    body = body.replace("xlink:href", "href").replace(f" font-family: '{_FONT}';", "")
    body = re.sub(r": (#0a0[bc]0\d)", lambda m: f": {CSS[m[1]]}", body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    start = Markup(
        '<svg viewBox="{view}" role="img" aria-labelledby="{name}-title {name}-about">'
        '<title id="{name}-title">{title}</title><desc id="{name}-about">{description}</desc>'
    ).format(view=view, name=name, title=title, description=description)
    return start + Markup(body)  # noqa: S704  matplotlib escaped its words
