"""Write an audit of judges as figures (PNG and SVG) and a Markdown page: position, people, confusion."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ...schemas.support.files import write_text
from ...schemas.support.text import clean, escape_markdown
from .judge_audit_text import (
    POSITION,
    Cells,
    Found,
    describe_size,
    format_measure,
    format_rate,
    list_audit_notes,
    list_measures,
    list_positions,
    write_sentences,
)
from .svg import FLAG, INK, LIGHT, MUTED, SERIES, save

DOTS = 1500  # of a panel: comparisons drawn at most, spread over the table
_COLUMNS = 3  # of panels
_SPREAD = 0.32  # of dots about their levels, in levels
_CONSISTENT = ("consistent", "both_tie")
Paint = Callable[[Axes], None]

_HEAD = """# Is the judge worth its votes?

Brackets hold 95 % intervals: exact binomial ones of shares of pairs, for the slope normal ones robust to
the judgements of a pair hanging together, else bootstraps over pairs or completions (seed {seed}). They
tell what other pairs and completions would have given, not other judges or other people.
"""
_READING = """Every measure is of two single answers about the same pair or completion: *judge* and a person,
or two *people*; *difference* is the judge less people where several people answered, both drawn together.
*exact* is the share of answers that are the same, *kappa* Cohen's with quadratic weights, *alpha*
Krippendorff's.
"""


def write_audit(folder: Path, audits: Sequence[Found], rejects: Sequence[str], seed: int) -> list[Path]:
    """Write audit.md and the figures of all `audits` (`JudgeAudit` as dicts), and return the paths.

    `rejects` are rejected lines of a file. The page is written last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _file_names([found["judge"] for found in audits])
    parts, files = [_HEAD.format(seed=seed)], []
    for found, name in zip(audits, names, strict=True):
        drawn = _figures(folder, found, name)
        files += [folder / f"{figure}.{suffix}" for figure in drawn.values() for suffix in ("svg", "png")]
        parts.append(_section(found, drawn))
    if rejects:
        parts.append("## Not taken\n\n" + "\n".join(f"- {escape_markdown(line)}" for line in rejects) + "\n")
    page = folder / "audit.md"
    write_text(page, "\n".join(parts))
    return [page, *files]


def _file_names(judges: Sequence[str]) -> list[str]:
    """Prefix of the file names of a judge's figures; empty for a single judge."""
    if len(judges) == 1:
        return [""]
    slugs = [re.sub(r"[^a-z0-9]+", "-", judge.lower()).strip("-")[:40] or "judge" for judge in judges]
    return [f"{slug}-" if slugs.count(slug) == 1 else f"{slug}-{n}-" for n, slug in enumerate(slugs, 1)]


def _figures(folder: Path, found: Found, before: str) -> dict[str, str]:
    """Draw the figures that have data; return file names by figure."""
    drawn = {}
    judge = clean(found["judge"], 60)
    if found["position"]:
        rows = len(list_positions(found["position"]))
        drawn["position"] = f"{before}position"
        save(
            folder / drawn["position"],
            f"Position: {judge}",
            62 + 34 * rows,
            [partial(paint_bars, position=found["position"])],
            1,
            480,
        )
    rated = [signal for signal in found["signals"] if signal["signal"] != "votes"]
    counted = [signal for signal in found["signals"] if signal["metric"] != "interval"]
    panels: dict[str, list[Paint]] = {
        "people": [partial(paint_jitter, signal=signal, scores=found["scores"]) for signal in rated],
        "confusion": [partial(paint_confusion, signal=signal) for signal in counted],
    }
    for figure, paints in panels.items():
        if paints:
            columns = min(_COLUMNS, len(paints))
            drawn[figure] = f"{before}{figure}"
            save(
                folder / drawn[figure],
                f"Judge beside people: {judge}",
                240 * -(-len(paints) // columns),
                paints,
                columns,
                240 * max(columns, 2),
            )
    return drawn


def paint_bars(axes: Axes, position: Found) -> None:
    """Paint shares of pairs in both orders with their intervals; outcomes of an unbiased judge are blue."""
    names = [name for name in POSITION if position[name]["k"] or not name.endswith("tie")]
    for y, name in enumerate(names):
        found = position[name]
        colour = LIGHT[SERIES[0] if name in _CONSISTENT else SERIES[1]]
        axes.barh(y, found["value"], 0.56, color=colour, alpha=0.85, linewidth=0)
        axes.hlines(y, found["low"], found["high"], colors=LIGHT[INK], linewidth=1.4)
        axes.text(found["high"] + 0.015, y, format_rate(found), va="center", color=LIGHT[INK], fontsize=10)
    axes.set_yticks(range(len(names)), [POSITION[name] for name in names])
    axes.set(
        xlim=(0, min(1.0, max(position[name]["high"] for name in names) + 0.05) * 1.3),
        ylim=(len(names) - 0.5, -0.6),
        xlabel=f"share of {position['pairs']:,} pairs that were shown in both orders  →",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="y")


def paint_jitter(axes: Axes, signal: Found, scores: Sequence[Sequence[float]]) -> None:
    """Paint the judge against people: a dot for each comparison beside its levels; scores at their values."""
    levels = len(signal["answers"])
    if signal["metric"] == "interval":
        points = np.array(scores, dtype=float)
        lowest = float(min(points.min(), 0.0))
        axes.set(xlim=(lowest - 0.04, 1.04), ylim=(lowest - 0.04, 1.04))
        across, up = points[:, 0], points[:, 1]
        ends = (lowest, 1.0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
    else:
        across, up = _spread(np.array(signal["table"]))
        ticks = range(levels)
        axes.set(xlim=(-0.6, levels - 0.4), ylim=(-0.6, levels - 0.4))
        axes.set_xticks(ticks, signal["answers"])
        axes.set_yticks(ticks, signal["answers"])
        ends = (-0.5, levels - 0.5)
    axes.plot(ends, ends, color=LIGHT[MUTED], linewidth=1, dashes=(4, 3), zorder=1)
    axes.plot(across, up, "o", color=LIGHT[SERIES[0]], markersize=4.5, markeredgewidth=0, alpha=0.55)
    axes.set(xlabel="people  →")
    axes.set_title(f"{clean(signal['signal'], 26)}\n{_correlation(signal)}", fontsize=10, linespacing=1.4)
    axes.set_ylabel("judge  →")
    axes.set_aspect("equal")


def _correlation(signal: Found) -> str:
    found = signal["measures"]["pearson"]["judge"]
    return f"Pearson {format_measure(found)}" if found else "Pearson not defined"


def _spread(table: "np.ndarray[Any, Any]") -> tuple[Any, Any]:
    """Dots (people's, judge's) about the levels of a table judge by people; the same every time."""
    judge, people = np.divmod(np.repeat(np.arange(table.size), table.ravel()), table.shape[1])
    rng = np.random.default_rng(0)
    if len(judge) > DOTS:
        some = np.sort(rng.permutation(len(judge))[:DOTS])
        judge, people = judge[some], people[some]
    about = rng.uniform(-_SPREAD, _SPREAD, (2, len(judge)))
    return people + about[0], judge + about[1]


def paint_confusion(axes: Axes, signal: Found) -> None:
    """Paint counts of the judge's answers by people's; equal answers are framed."""
    rows, columns, table = list_confusion(signal)
    most = max(max(filter(None, row), default=1) for row in table)
    for y, row in enumerate(table):
        for x, count in enumerate(row):
            if count is None:
                continue
            depth = count / most
            end = x + (1.5 if x + 1 < len(row) and row[x + 1] is None else 0.5)
            axes.fill(
                [x - 0.5, end, end, x - 0.5],
                [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
                color=LIGHT[SERIES[0]],
                alpha=0.06 + 0.8 * depth,
                linewidth=0,
            )
            axes.text(
                (x - 0.5 + end) / 2,
                y,
                f"{count:,}",
                ha="center",
                va="center",
                fontsize=10,
                color="white" if depth > 0.7 else LIGHT[INK if count else MUTED],
            )
            if _same(signal, x, y):
                axes.plot(
                    [x - 0.48, x + 0.48, x + 0.48, x - 0.48, x - 0.48],
                    [y - 0.48, y - 0.48, y + 0.48, y + 0.48, y - 0.48],
                    color=LIGHT[FLAG],
                    linewidth=1.2,
                )
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlim=(-0.5, len(columns) - 0.5), xlabel="people  →")
    axes.set_ylim((len(rows) - 0.5, -0.5) if signal["signal"] == "votes" else (-0.5, len(rows) - 0.5))
    axes.set_title(clean(signal["signal"], 26), fontsize=10)
    axes.set_ylabel("judge  →")
    axes.grid(visible=False)


def _same(signal: Found, x: int, y: int) -> bool:
    return (x, y) in {(0, 0), (2, 1)} if signal["signal"] == "votes" else x == y


def list_confusion(signal: Found) -> tuple[list[str], list[str], list[list[int | None]]]:
    """List names of rows (judge's answers), names of columns (people's answers), and counts.

    The order of two completions is arbitrary, so votes are counted by whether people took the judge's side;
    for a tie of the judge both sides are one cell, and the next one is null.
    """
    table = signal["table"]
    if signal["signal"] != "votes":
        return list(signal["answers"]), list(signal["answers"]), table
    (low, low_tie, low_high), (tie_low, tie, tie_high), (high_low, high_tie, high) = table
    return (
        ["a side", "a tie"],
        ["same side", "other side", "tie"],
        [
            [low + high, low_high + high_low, low_tie + high_tie],
            [tie_low + tie_high, None, tie],
        ],
    )


def _section(found: Found, drawn: dict[str, str]) -> str:
    """Section of the page about one judge."""
    parts = [f"## {escape_markdown(found['judge'])}\n", f"{describe_size(found)}\n"]
    said = [f"- {escape_markdown(line)}" for line in write_sentences(found)]
    if said:
        parts += ["### What to make of it\n", "\n".join(said) + "\n"]
    if found["position"]:
        parts += [
            "### Position\n",
            _image(drawn, "position"),
            _table(("a pair in both orders", "pairs ", "share "), list_positions(found["position"])),
        ]
    if found["signals"]:
        parts += ["### Beside people\n", _READING]
        parts += [_image(drawn, "people")] if "people" in drawn else []
        parts += [
            _table(
                ("", "units ", "measure", "judge ", "people ", "difference "), list_measures(found["signals"])
            )
        ]
        parts += ["### Confusion\n", "Rows are the judge's answers, columns those of people.\n"]
        parts += [_image(drawn, "confusion")] if "confusion" in drawn else []
        parts += [_confusion(signal) for signal in found["signals"] if signal["metric"] != "interval"]
    notes = [f"- {escape_markdown(note)}" for note in list_audit_notes(found)]
    if notes:
        parts += ["### What cannot be told, and why\n", "\n".join(notes) + "\n"]
    return "\n".join(parts)


def _confusion(signal: Found) -> str:
    rows, columns, table = list_confusion(signal)
    cells = [
        (name, *("(either)" if count is None else f"{count:,}" for count in counts))
        for name, counts in zip(rows, table, strict=True)
    ]
    return _table((signal["signal"], *(f"{name} " for name in columns)), cells)


def _image(drawn: dict[str, str], figure: str) -> str:
    return f"![{figure}]({drawn[figure]}.svg)\n"


def _table(columns: Cells, rows: Sequence[Cells]) -> str:
    """A table of Markdown; columns whose name ends in a space are aligned to the right."""
    marks = ["---:" if name.endswith(" ") else "---" for name in columns]
    lines = [
        [escape_markdown(name.strip()) for name in columns],
        marks,
        *([escape_markdown(cell) for cell in row] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
