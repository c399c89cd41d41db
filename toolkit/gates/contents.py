"""Contents: a dataset has rows, and it is known how often the longer answer wins."""

from ..store import Store, run
from .gate import Gate


def check_contents(con: Store, dropped: dict[str, int]) -> Gate:
    """Red if no pair and no example is left; the number counts them."""
    counts = dict(
        run(con, "SELECT if(config = 'sft', 'examples', 'pairs') AS kind, count(*) FROM kept GROUP BY 1")
    )
    if counts:
        n = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("pairs", "examples") if kind in counts)
        return Gate("contents", True, sum(counts.values()), n)
    why = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "nothing to compare"
    return Gate(
        "contents", False, 0,
        f"no pair is left ({why}); check the recipe's task and sources, or bring in more of what it compares",
    )  # fmt: skip


def check_length_bias(con: Store) -> Gate:
    """Reported, never red: share of pairs whose chosen text is longer; 0.5 has no bias."""
    ((share,),) = run(
        con, """SELECT coalesce(avg((length(chosen_content) > length(rejected_content))::INT), 0.5)
        FROM kept WHERE config = 'preference'""",
    )  # fmt: skip
    return Gate("length bias", True, round(share, 4), f"the longer answer is chosen in {share:.0%}")
