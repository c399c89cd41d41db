"""Contents: a dataset has rows."""

from ...store.connection import Store, run
from .gate import Gate, GateResult


def check_contents(con: Store, dropped: dict[str, int]) -> GateResult:
    """Check that a pair or an example is left; the number counts them."""
    kinds = "SELECT if(config = 'sft', 'examples', 'pairs') AS kind, count(*) FROM kept GROUP BY 1"
    counts = dict(run(con, kinds))
    if counts:
        n = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("pairs", "examples") if kind in counts)
        return GateResult("contents", True, sum(counts.values()), n)
    why = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "nothing to compare"
    return GateResult(
        "contents",
        False,
        0,
        f"no pair is left ({why}); check the recipe's task and sources, or bring in more of what it compares",
    )


GATE = Gate("contents", lambda con, inputs: check_contents(con, inputs.dropped))
