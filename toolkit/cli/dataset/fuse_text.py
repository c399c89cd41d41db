"""What `preceptor fuse` says of texts and of their length, and the options that ask it."""

from typing import TYPE_CHECKING, Any

import click

from ....schemas.support.numbers import format_percent
from ..options import Command, add_trust_option

if TYPE_CHECKING:
    from ...fusion.text.states import TextEncoder

CHEAP = "cheap"


def add_text_options(command: Command) -> Command:
    """Add --text, --length-controlled and --trust-remote-code, as arguments of these names."""
    of_text = click.option(
        "--text",
        metavar="[cheap|MODEL]",
        is_flag=False,
        flag_value=CHEAP,
        help="Let texts say what to expect where few have judged, and of completions that nobody judged. "
        "cheap, as --text alone means: a dozen features, such as length and overlap with the prompt. MODEL: "
        "the middle layer of a small model, a folder or NAME[@REVISION] on the Hub; it reads each text once.",
    )
    of_length = click.option(
        "--length-controlled",
        is_flag=True,
        help="Take what length is worth to annotators out of the target.",
    )
    return of_text(of_length(add_trust_option(command)))


def open_reader(text: str | None, trusting_code: bool) -> "str | TextEncoder | None":
    """Open what reads texts: a model; what `fuse` knows by name, and nothing, are returned as they are.

    Raises click.UsageError where code is to be trusted and there is no model, AnnotationError if the model is
    not there.
    """
    if text is None or text == CHEAP:
        if trusting_code:
            raise click.UsageError(
                "--trust-remote-code is for a model: give --text MODEL too, or leave it out"
            )
        return text
    from ....annotation.models.backends.hf_states import open_encoder
    from ...fusion.text.states import TextEncoder

    return TextEncoder(*open_encoder(text, trusting_code))


def describe_length(found: dict[str, Any]) -> str:
    """Describe what a doubling of length is worth to annotators, and whether the target is without it."""
    by_votes = "votes" in found
    worth = found["votes" if by_votes else "expressed"]
    unit = "log-odds of a vote" if by_votes else "of expressed quality"
    like = "they like it long" if worth["low"] > 0 else "they like it short" if worth["high"] < 0 else ""
    said = (
        f"{worth['mean']:+.2f} {unit} for a doubling ({worth['low']:.2f} to {worth['high']:.2f}: "
        f"{like or 'may be nothing'})"
    )
    if not found["controlled"]:
        return said
    return f"{said}; taken out of the target, which turns {found['turned']:,} of {found['decided']:,} pairs"


def describe_text(found: dict[str, Any]) -> str:
    """Describe how much of expressed quality texts explain, and of how many completions they alone tell."""
    share = found["parameters"]["text_share"]
    alone = found.get("text_alone", 0)
    return (
        f"explains {format_percent(share['mean'])} of expressed quality ({format_percent(share['low'])} to "
        f"{format_percent(share['high'])})"
        + (f"; {alone:,} completions that nobody judged stand on it alone" if alone else "")
    )
