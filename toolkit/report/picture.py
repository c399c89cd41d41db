"""What every figure of the page is made of: a drawing, its title, key and caption."""

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


def percent(share: float) -> str:
    """A share in whole percents; what is not quite all or nothing does not look like it."""
    return format_percent(share, PERCENT)


def number(value: float) -> str:
    """Two decimals, with a real minus sign and no minus zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
