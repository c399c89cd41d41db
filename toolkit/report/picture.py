"""Records of a figure of the page: a drawing with title, key and caption."""

from dataclasses import dataclass

from markupsafe import Markup

from ...schemas.support.numbers import format_percent

PERCENT = "\u202f%"  # a narrow space that does not break
DOTS = 1500  # completions drawn at most; keys are hashes, so the first ones are a fair sample


@dataclass(frozen=True)
class Mark:
    """An entry of a picture's key: marker (matplotlib's letter, or "-"), colour as CSS, words."""

    shape: str
    colour: str
    words: str
    faint: bool = False


@dataclass(frozen=True)
class Picture:
    """A drawing with its title, how to read it and what to see in it, and the key to its marks."""

    name: str
    title: str
    caption: str
    svg: Markup
    marks: tuple[Mark, ...] = ()


def format_share(share: float) -> str:
    """Format a share in whole percent; only exact 0 and 1 show as 0 and 100."""
    return format_percent(share, PERCENT)


def format_decimal(value: float) -> str:
    """Format with two decimals, a real minus sign (U+2212) and no minus zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
