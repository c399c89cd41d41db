"""Numbers as tables, reports and messages write them, and as worked answers end in them.

format_percent(0.724)                       -> "72 %"
format_interval(0.71, 0.62, 0.8, form)      -> "0.71 (0.62 to 0.80)"
format_usd(0.0123)                          -> "0.012 USD"
format_count(1, "prompt")                   -> "1 prompt"
find_final_number("3 * $4 = $12. #### 12")  -> Decimal("12")

The final number is the one after the last `####` (as GSM8K ends its answers) or after the last `Answer:`,
else the last one in the text. Commas separate thousands and a point begins decimals; $ and % are ignored
(50 % is 50); 3/4 is a fraction.
"""

import re
from collections.abc import Callable
from decimal import Decimal

_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,9}(?!\d)(?!,\d)(?:\.\d+)?|\d+(?:\.\d+)?)"
_NUMBER = re.compile(
    r"(?P<sign>(?<![^\W_])(?<![)\]}])[-−](?=[$€£]?[.\d]))?[$€£]?"
    rf"(?P<top>(?<![^\W_]){_DIGITS}|(?<![\w.])\.\d+)(?:/(?P<bottom>{_DIGITS}))?"
)
_MARKED = re.compile(r"####(?P<bare>[^\n]*)|\banswer[ \t*_]*:(?P<said>[^\n]*)", re.I)
_LETTER = re.compile(r"[^\W\d_]")


def format_percent(share: float, symbol: str = " %") -> str:
    """Format a share (0 to 1) in whole percents; "<1" and ">99" for shares that are not exactly 0 or 1."""
    if 0 < share < 0.005 or 0.995 < share < 1:
        return ("<1" if share < 0.5 else ">99") + symbol
    return f"{100 * share:.0f}{symbol}"


def format_usd(amount: float) -> str:
    """Format an amount of US dollars: cents from 1 USD on, two significant digits below."""
    return f"{amount:,.2f} USD" if amount >= 1 or amount == 0 else f"{amount:.2g} USD"


def format_interval(
    value: float, low: float | None, high: float | None, form: Callable[[float], str], unit: str = ""
) -> str:
    """Format a value with the interval from `low` to `high`, each number by `form`; the unit after the value.

    Without the interval if an end is None.
    """
    between = "" if low is None or high is None else f" ({form(low)} to {form(high)})"
    return f"{form(value)}{unit}{between}"


def format_count(n: int, one: str, several: str | None = None) -> str:
    """Format a number of things: "1 prompt", "1,200 prompts"; `several` is a plural that takes no s."""
    return f"{n:,} {one if n == 1 else several or f'{one}s'}"


def find_final_number(text: str) -> Decimal | None:
    """Find the number that an answer ends in; None if it has none."""
    marked = find_marked_number(text)
    return _last(text) if marked is None else marked


def find_marked_number(text: str) -> Decimal | None:
    """Find the number after the last `####` or `Answer:` of an answer; None if it has none there."""
    for found in reversed(list(_MARKED.finditer(text))):
        bare = found["bare"] is not None  # followed by letters it is a Markdown heading
        rest = found["bare"] if bare else found["said"]
        if not (bare and _LETTER.search(rest)) and (number := _last(rest)) is not None:
            return number
    return None


def _last(text: str) -> Decimal | None:
    numbers = [number for found in _NUMBER.finditer(text) if (number := _value(found)) is not None]
    return numbers[-1] if numbers else None


def _value(found: re.Match[str]) -> Decimal | None:
    try:
        number = Decimal(found["top"].replace(",", ""))
        if found["bottom"]:
            number /= Decimal(found["bottom"].replace(",", ""))
    except ArithmeticError:
        return None
    return -number if found["sign"] else number
