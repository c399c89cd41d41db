"""Numbers as tables, reports and messages write them.

format_percent(0.724)                       -> "72 %"
format_interval(0.71, 0.62, 0.8, form)      -> "0.71 (0.62 to 0.80)"
format_usd(0.0123)                          -> "0.012 USD"
format_count(1, "prompt")                   -> "1 prompt"
"""

from collections.abc import Callable


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
