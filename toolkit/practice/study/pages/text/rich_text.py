r"""Show texts of exercises and explanations: paragraphs, code, formulas; everything else is escaped.

    ```          code in a block             `code`      code in a line
    $x^2$  \\(…\\)  a formula, as MathML       $$ … $$  \\[ … \\]   one in a block
    **strong**, *em*   emphasis

Nothing of a text is ever markup of its own: each piece is escaped before it is put between our tags.
"""

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from .formulas import write_mathml

_TOKENISED = ("cloze", "choice", "spot", "rewrite", "order")
_BLOCK = re.compile(
    r"```[^\n]*\n(?P<code>.*?)(?:\n```|\Z)|\$\$(?P<dollars>.+?)\$\$|\\\[(?P<bracket>.+?)\\\]", re.S
)
# A formula neither begins nor ends in a space; where a letter or digit follows, the dollars are money.
_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`|\\\((?P<bracket>.+?)\\\)|\$(?P<dollars>[^$\s](?:[^$\n]*?[^$\s])?)\$(?!\w)"
    r"|\*\*(?P<strong>[^*\n]+)\*\*|(?<![*\w])\*(?P<em>[^*\s](?:[^*\n]*[^*\s])?)\*(?![*\w])"
)
_PROSE = re.compile(r"(?<![\\{A-Za-z])[A-Za-z]{3,}")  # words between two prices


def render_text(text: str) -> Markup:
    """Render a text as HTML."""
    out, at = [], 0
    for found in _BLOCK.finditer(text):
        out.append(_render_paragraphs(text[at : found.start()]))
        if found["code"] is not None:
            out.append(Markup('<pre dir="ltr"><code>{}</code></pre>').format(found["code"]))
        else:
            out.append(
                Markup('<p class="formula">{}</p>').format(
                    _render_formula(found["dollars"] or found["bracket"], True)
                )
            )
        at = found.end()
    out.append(_render_paragraphs(text[at:]))
    return Markup("").join(out)


def is_mark(word: str) -> bool:
    """True if a token is punctuation that no space stands before."""
    return re.fullmatch(r"[.,;:!?…)\]»”%]+", word) is not None


def close_up(text: str, item: Mapping[str, Any]) -> str:
    """Take away the spaces that tokenised sentences have before punctuation."""
    if item["kind"] not in _TOKENISED:
        return text
    return re.sub(r" (?=[.,;:!?…)\]»”%]+(?:\s|$))", "", text)


def _render_paragraphs(text: str) -> Markup:
    parts = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    lines = (
        Markup("<br>").join(render_line(line) for line in part.strip("\n").split("\n")) for part in parts
    )
    return Markup("").join(Markup('<p dir="auto">{}</p>').format(line) for line in lines)


def render_line(text: str) -> Markup:
    """Render a line as HTML: code and formulas within it."""
    out, at = [], 0
    for found in _INLINE.finditer(text):
        out.append(escape(text[at : found.start()]))
        if found["code"] is not None:
            out.append(Markup('<code dir="ltr">{}</code>').format(found["code"]))
        elif found["strong"] is not None:
            out.append(Markup("<strong>{}</strong>").format(found["strong"]))
        elif found["em"] is not None:
            out.append(Markup("<em>{}</em>").format(found["em"]))
        elif found["dollars"] and _PROSE.search(found["dollars"]):
            out.append(escape(found[0]))
        else:
            out.append(_render_formula(found["dollars"] or found["bracket"], False))
        at = found.end()
    out.append(escape(text[at:]))
    return Markup("").join(out)


def _render_formula(source: str, block: bool) -> Markup:
    made = write_mathml(source, block)
    return made if made is not None else Markup('<code dir="ltr">{}</code>').format(source)
