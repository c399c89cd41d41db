r"""Write LaTeX's commonest formulas as MathML, which browsers show without help; None for what is beyond it.

x^2 + \frac{1}{2}\sqrt{y_1} \le \pi
"""

import re
from collections.abc import Iterator

from markupsafe import Markup

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[A-Za-zА-Яа-яЁё]|\S")
_DEEPEST = 20
_LONGEST = 500
_LETTERS = dict(
    zip(
        re.findall(
            r"\w+",
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
            "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega infty",
        ),
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ∞",
        strict=True,
    )
)
_SIGNS = {
    "cdot": "·", "times": "×", "div": "÷", "pm": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠",
    "neq": "≠", "approx": "≈", "equiv": "≡", "to": "→", "rightarrow": "→", "Rightarrow": "⇒", "sum": "∑",
    "prod": "∏", "int": "∫", "in": "∈", "cup": "∪", "cap": "∩", "ldots": "…", "dots": "…", "cdots": "⋯",
    "circ": "∘", "partial": "∂", "nabla": "∇", "angle": "∠", "degree": "°", "percent": "%", "left": "",
    "right": "",
}  # fmt: skip
_NAMES = ("sin", "cos", "tan", "log", "ln", "lim", "max", "min", "exp", "gcd", "mod")
_SPACES = {"\\,", "\\;", "\\:", "\\!", "\\ ", "\\quad", "\\qquad"}


class _BeyondError(Exception):
    """The formula has something that is not written here."""


def write_mathml(source: str, block: bool = False) -> Markup | None:
    """Write a formula as MathML; None if it has commands beyond those of this module."""
    text_parts = re.findall(r"\\(?:text|mathrm|operatorname)\{([^{}\\]*)\}", source)
    plain = re.sub(r"\\(?:text|mathrm|operatorname)\{[^{}\\]*\}", "\\\\TEXT", source)
    pieces = _TOKEN.findall(plain)
    if len(source) > _LONGEST:
        return None
    texts = iter(text_parts)
    try:
        row, left = _write_row(pieces, 0, texts, 0)
        if left != len(pieces):
            return None
    except (_BeyondError, IndexError, StopIteration):
        return None
    display = Markup(' display="block"') if block else Markup("")
    return Markup("<math{}><mrow>{}</mrow></math>").format(display, row)


def _write_row(pieces: list[str], at: int, texts: Iterator[str], depth: int) -> tuple[Markup, int]:
    """Write pieces until a closing brace or the end."""
    out: list[Markup] = []
    while at < len(pieces) and pieces[at] != "}":
        if pieces[at] in _SPACES:
            at += 1
            continue
        base, at = _write_one(pieces, at, texts, depth)
        below = above = None
        while at < len(pieces) and pieces[at] in ("^", "_"):
            sign = pieces[at]
            part, at = _write_one(pieces, at + 1, texts, depth)
            below, above = (part, above) if sign == "_" else (below, part)
        out.append(_attach(base, below, above))
    return Markup("").join(out), at


def _attach(base: Markup, below: Markup | None, above: Markup | None) -> Markup:
    if below is not None and above is not None:
        return Markup("<msubsup>{}{}{}</msubsup>").format(base, below, above)
    if below is not None:
        return Markup("<msub>{}{}</msub>").format(base, below)
    return Markup("<msup>{}{}</msup>").format(base, above) if above is not None else base


def _write_one(pieces: list[str], at: int, texts: Iterator[str], depth: int) -> tuple[Markup, int]:  # noqa: PLR0911
    """Write one group, command, number, letter or sign."""
    if depth > _DEEPEST:
        raise _BeyondError
    piece = pieces[at]
    if piece == "{":
        row, at = _write_row(pieces, at + 1, texts, depth + 1)
        if pieces[at] != "}":
            raise _BeyondError
        return Markup("<mrow>{}</mrow>").format(row), at + 1
    if piece in ("\\frac", "\\dfrac", "\\tfrac"):
        top, at = _write_one(pieces, at + 1, texts, depth + 1)
        bottom, at = _write_one(pieces, at, texts, depth + 1)
        return Markup("<mfrac>{}{}</mfrac>").format(top, bottom), at
    if piece == "\\sqrt":
        if pieces[at + 1] == "[":
            raise _BeyondError
        inside, at = _write_one(pieces, at + 1, texts, depth + 1)
        return Markup("<msqrt>{}</msqrt>").format(inside), at
    if piece.startswith("\\"):
        return _write_command(piece[1:], texts), at + 1
    if piece[0].isdigit():
        return Markup("<mn>{}</mn>").format(piece), at + 1
    if piece.isalpha():
        return Markup("<mi>{}</mi>").format(piece), at + 1
    if piece in "&#~^_}":
        raise _BeyondError
    return Markup("<mo>{}</mo>").format(piece), at + 1


def _write_command(name: str, texts: Iterator[str]) -> Markup:
    if name == "TEXT":
        return Markup("<mtext>{}</mtext>").format(next(texts))
    if name in _LETTERS:
        return Markup("<mi>{}</mi>").format(_LETTERS[name])
    if name in _SIGNS:
        return Markup("<mo>{}</mo>").format(_SIGNS[name])
    if name in _NAMES:
        return Markup("<mi>{}</mi>").format(name)
    if name in "%$&#_{}":
        return Markup("<mo>{}</mo>").format(name)
    raise _BeyondError
