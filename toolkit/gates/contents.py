"""Contents: a dataset has rows, and it is known how often the longer answer wins."""

import polars as pl

from .gate import Gate


def check_contents(pairs: pl.DataFrame, dropped: dict[str, int]) -> Gate:
    """Red if no pair is left; the number counts the pairs."""
    if pairs.height:
        return Gate("contents", True, pairs.height, f"{pairs.height} pairs")
    why = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "nothing to compare"
    return Gate(
        "contents", False, 0,
        f"no pair is left ({why}); check the recipe's task and sources, or bring in more of what it compares",
    )  # fmt: skip


def check_length_bias(pairs: pl.DataFrame) -> Gate:
    """Reported, never red: share of pairs whose chosen text is longer; 0.5 has no bias."""
    longer = pl.col("chosen_content").str.len_chars() > pl.col("rejected_content").str.len_chars()
    share = float(pairs.select(longer.mean().fill_null(0.5)).item())
    return Gate("length bias", True, round(share, 4), f"the longer answer is chosen in {share:.0%}")
