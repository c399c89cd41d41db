"""Show guidelines of a rubric, which are Markdown: headings, lists, tables, paragraphs; the rest is escaped.

    # Title     a heading; its level is lowered by one, since a page has one title
    - point     a point of a list; 1. of a numbered one; indented ones belong to the point above
    | a | b |   a row of a table; the first is its head, and a row of dashes follows it

Lines of a paragraph are joined, as Markdown joins them.
"""

import re
from collections.abc import Iterator

from markupsafe import Markup

from .rich_text import render_line, render_text

_POINT = re.compile(r"(?P<indent> *)(?:[-*+]|(?P<number>\d+)[.)]) +(?P<text>.*)")
_HEADING = re.compile(r"(?P<marks>#{1,5}) +(?P<text>.*?) *#*")
_RULE = re.compile(r"\|?[ :|-]*-[ :|-]*\|?")  # below the head of a table
_DEEPEST = 6


def render_guidelines(text: str) -> Markup:
    """Render guidelines as HTML."""
    return Markup("").join(_render_blocks(text.replace("\t", "    ").split("\n")))


def _render_blocks(lines: list[str]) -> Iterator[Markup]:
    """Render lines block by block."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif heading := _HEADING.fullmatch(line):
            level = len(heading["marks"]) + 1
            yield Markup('<h{0} dir="auto">{1}</h{0}>').format(level, render_line(heading["text"]))
            at += 1
        elif line.startswith("```"):
            end = next((n for n in range(at + 1, len(lines)) if lines[n].startswith("```")), len(lines) - 1)
            yield render_text("\n".join(lines[at : end + 1]))
            at = end + 1
        elif _POINT.fullmatch(line):
            made, at = _render_list(lines, at, 0)
            yield made
        elif line.startswith("|") and at + 1 < len(lines) and _RULE.fullmatch(lines[at + 1].strip()):
            end = next((n for n in range(at + 2, len(lines)) if not lines[n].startswith("|")), len(lines))
            yield _render_table([line, *lines[at + 2 : end]])
            at = end
        else:
            end = at + 1
            while end < len(lines) and _goes_on(lines[end]):
                end += 1
            joined = " ".join(part.strip() for part in lines[at:end])
            yield Markup('<p dir="auto">{}</p>').format(render_line(joined))
            at = end


def _render_table(lines: list[str]) -> Markup:
    """Render the rows of a table, its head first."""
    made = []
    for nth, line in enumerate(lines):
        tag = "td" if nth else "th"
        cells = line.strip().removeprefix("|").removesuffix("|").split("|")
        shown = (Markup('<{0} dir="auto">{1}</{0}>').format(tag, render_line(cell.strip())) for cell in cells)
        made.append(Markup("<tr>{}</tr>").format(Markup("").join(shown)))
    return Markup('<div class="wide"><table>{}</table></div>').format(Markup("").join(made))


def _goes_on(line: str) -> bool:
    """True if a line continues the paragraph before it."""
    begins = line.startswith("```") or _HEADING.fullmatch(line) or _POINT.fullmatch(line)
    return bool(line.strip()) and not begins


def _render_list(lines: list[str], at: int, depth: int) -> tuple[Markup, int]:
    """Render the list that begins at a line; also return the line after it."""
    first = _POINT.fullmatch(lines[at])
    indent = len(first["indent"]) if first else 0
    numbered = bool(first and first["number"])
    points: list[Markup] = []
    while at < len(lines) and (point := _POINT.fullmatch(lines[at])) and len(point["indent"]) >= indent:
        if len(point["indent"]) > indent and points and depth < _DEEPEST:
            inner, at = _render_list(lines, at, depth + 1)
            points[-1] += inner
            continue
        if bool(point["number"]) is not numbered and points:
            break  # a list of the other kind
        parts = [point["text"].strip()]
        at += 1
        while at < len(lines) and _goes_on(lines[at]):
            parts.append(lines[at].strip())
            at += 1
        points.append(render_line(" ".join(parts)))
        after = at
        while after < len(lines) and not lines[after].strip():
            after += 1
        following = _POINT.fullmatch(lines[after]) if after < len(lines) else None
        if after > at and following and len(following["indent"]) >= indent:
            at = after  # points may stand apart
    whole = Markup("").join(Markup('<li dir="auto">{}</li>').format(point) for point in points)
    return Markup("<{0}>{1}</{0}>").format("ol" if numbered else "ul", whole), at
