"""Compare the figures of an evaluation: differences, verdicts, and the page that a person reads.

| | base | gec | copy |
| --- | ---: | ---: | ---: |
| gleu | 31.2 (28.0 to 34.1) | 41.3 (38.9 to 43.7) | 36.8 (34.0 to 39.5) |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...schemas.support.text import escape_markdown
from .config import EvaluationSettings
from .metrics.registry import METRICS
from .metrics.statistics import (
    LEVEL,
    UNCOUNTED,
    FigureEstimate,
    Statistics,
    estimate,
    estimate_difference,
)

COPY = "copy"
_BACK = "giving the sentence back"
RowFigures = Mapping[str, Mapping[str, Statistics]]
"""Statistics by the name of a model or the baseline, then by the name of the figure."""


def compare(
    values: EvaluationSettings, groups: Sequence[str], rows: RowFigures, models: Sequence[str]
) -> dict[str, Any]:
    """Compute the part of metrics.json about figures: decides, better, figures, differences, verdicts.

    `groups`: the group of each item. `rows`: the figures of every model and of the baseline. `models`: names
    of the models in order. Differences are between each further model and the first, and between every model
    and the baseline, on the same prompts.
    """
    first, names = models[0], list(dict.fromkeys(name for of in rows.values() for name in of))
    figures = {
        row: {name: _plain(estimate(of[name], groups, values.seed)) for name in names if name in of}
        for row, of in rows.items()
    }
    pairs = [(name, first) for name in models[1:]] + [(name, COPY) for name in models if COPY in rows]
    differences = [
        {"of": of, "to": to, "figure": name}
        | _plain(estimate_difference(rows[of][name], rows[to][name], groups, values.seed))
        for of, to in pairs
        for name in names
        if name in rows[of] and name in rows[to]
    ]
    decides = next(iter(rows[first]))
    better = METRICS[values.metrics[0]].better
    deciding = [one for one in differences if one["figure"] == decides and better != "neither"]
    verdicts = [
        _verdict(one, better == "lower", len(groups), {row: shorten_name(row, rows) for row in rows})
        for one in deciding
    ]
    return {
        "decides": decides,
        "better": better,
        "figures": figures,
        "differences": differences,
        "verdicts": verdicts,
    }


def shorten_name(name: str, names: Sequence[str] | RowFigures) -> str:
    """Remove kind and digest from a model's name, if it stays different from the others."""

    def short(one: str) -> str:
        return one.partition(":")[2].partition("@")[0].rpartition("/")[2] or one

    return short(name) if [short(one) for one in names].count(short(name)) == 1 else name


def format_cell(found: Mapping[str, Any] | None, signed: bool = False) -> str:
    """Format a figure with its interval: "41.3 (38.9 to 43.7)"; – if there is none."""
    if found is None or found["value"] is None:
        return "–"
    value = format_number(found["value"], signed)
    if found["low"] is None:
        return value
    return f"{value} ({format_number(found['low'], signed)} to {format_number(found['high'], signed)})"


def format_number(value: float, signed: bool = False) -> str:
    """Format a number with about three significant digits: 41.3, 0.52, +1.25, 1,204."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.01 or size == 0 else 4
    if 0 < size < 0.00005:
        return f"{value:{'+' if signed else ''}.1e}"
    return f"{value:{'+' if signed else ''},.{digits}f}"


def make_figure_tables(about: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Make the tables to show, each a title, columns and rows: figures, and differences if there are any."""
    figures = about["figures"]
    names = list(dict.fromkeys(name for of in figures.values() for name in of))
    rows = [[name, *(format_cell(of.get(name)) for of in figures.values())] for name in names]
    made = [("Figures", ["", *(shorten_name(row, figures) for row in figures)], rows)]
    pairs = list(dict.fromkeys((one["of"], one["to"]) for one in about["differences"]))
    if pairs:
        by = {(one["of"], one["to"], one["figure"]): one for one in about["differences"]}
        columns = ["", *(f"{shorten_name(of, figures)} less {shorten_name(to, figures)}" for of, to in pairs)]
        less = [
            [name, *(format_cell(by.get((of, to, name)), signed=True) for of, to in pairs)] for name in names
        ]
        made.append(("Differences, prompt by prompt", columns, less))
    return made


def list_notes(about: Mapping[str, Any]) -> list[str]:
    """List what a reader should know before believing a figure."""
    found = [f"{name} {why}" for name, why in about.get("partly", {}).items()]
    for model in about["models"]:
        name, n = shorten_name(model["name"], about["figures"]), about["n"]
        if model["cut_off"]:
            found.append(f"{name}: {model['cut_off']} of {n} answers were cut off at max_tokens")
        if model["no_answer"]:
            why = "; ".join(model["errors"])
            found.append(
                f"{name}: {model['no_answer']} of {n} prompts got no answer and count as empty ({why})"
            )
        for figure, one in about["figures"][model["name"]].items():
            for end, why in UNCOUNTED.items():
                if figure.endswith(f"_{end}") and one["value"]:
                    of = figure.removesuffix(f"_{end}")
                    found.append(f"{name}: {one['value']:.1%} of what {of} is made of does not count: {why}")
        if model["trained_on"] and model["trained_on"].get("warning"):
            found.append(f"{name}: {model['trained_on']['warning']}")
    return found


def render_readme(about: Mapping[str, Any]) -> str:
    """Render the page that a person reads, as Markdown."""
    data, settings = about["dataset"], about["settings"]
    shown = [f"**Note.** {escape_markdown(note)}.\n" for note in list_notes(about)]
    parts = [
        f"# Evaluation {escape_markdown(about['name'])}",
        "",
        *(f"- {escape_markdown(verdict)}" for verdict in about["verdicts"]),
        *[""] * bool(about["verdicts"]),
        *shown,
    ]
    for title, columns, rows in make_figure_tables(about):
        parts += [
            f"## {title}",
            "",
            _line(columns),
            _line(["---", *["---:"] * (len(columns) - 1)]),
            *map(_line, rows),
            "",
        ]
    parts += [
        f"{LEVEL:.0%} intervals, of {about['draws']:,} draws with replacement of the {about['n']:,} prompts "
        f"by their groups (seed {settings['seed']}); `{about['decides']}` decides.",
        "",
        *(f"- `{name}`: {METRICS[name].about}" for name in settings["metrics"]),
        *(f"- `{name}` was left out: it {why}" for name, why in about["left_out"].items()),
        *([f"- `{COPY}`: what {_BACK} comes to"] if COPY in about["figures"] else []),
        "",
        "![Figures](figures.png)",
        "",
        "## What was asked",
        "",
        f"- Dataset: {escape_markdown(data['name'])}{_at(data)}, config `{data['config']}`, "
        f"split `{data['split']}`: "
        f"{data['drawn']:,} of {data['prompts']:,} prompts; sha256 `{data['digest']}`",
        *(f"- Model: {escape_markdown(model['name'])}" for model in about["models"]),
        *(
            [
                f"- Judge: `{about['judge']['model']}` by the rubric {about['judge']['rubric']}; "
                "`judged.jsonl` holds what it said" + _disagree(about["judge"])
            ]
            if about["judge"]
            else []
        ),
        "- "
        + ", ".join(f"{name} {settings[name]}" for name in ("temperature", "top_p", "max_tokens"))
        + (f", stop {settings['stop']}" if settings["stop"] else "")
        + (f", template `{settings['template']}`" if settings["template"] else ""),
        "",
        "`answers.jsonl` holds every answer, `metrics.json` every figure and version.",
        "",
    ]
    return "\n".join(parts)


def _disagree(judge: Mapping[str, Any]) -> str:
    """Say how often the judge chose by position; "" without pairs."""
    ties, of = judge["orders_disagree"], judge["pairs"]
    return f"; of {of:,} pairs the two orders of showing disagree on {ties:,}, which are ties" if of else ""


def _at(data: Mapping[str, Any]) -> str:
    return f" at `{data['revision']}`" if data["revision"] else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escape_markdown, cells)) + " |"


def _plain(found: FigureEstimate) -> dict[str, Any]:
    """Convert to JSON: NaN becomes null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(found).items()}


def _verdict(found: Mapping[str, Any], lower: bool, n: int, labels: Mapping[str, str]) -> str:
    """Say in one sentence whether a model is better, and by how much."""
    name, to = labels[found["of"]], found["to"]
    other = _BACK if to == COPY else labels[to]
    if found["low"] is None:
        return f"{name} and {other}: {found['figure']} cannot be compared on these {n} prompts"
    low, high = (-found["high"], -found["low"]) if lower else (found["low"], found["high"])
    amount = f"{found['figure']} {format_cell(found, signed=True)}, {n} prompts"
    if low > 0:
        return f"{name} is better than {other}: {amount}"
    if high < 0:
        return f"{name} is no better than {other}, but worse: {amount}"
    if to == COPY:
        return f"{name} is no better than {other}, as far as these prompts tell: {amount}"
    return f"{name} is neither better nor worse than {other}, as far as these prompts tell: {amount}"
