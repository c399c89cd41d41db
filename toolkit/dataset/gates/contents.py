"""Contents: a dataset has rows."""

from ...store.connection import Store, run
from ..choose.pairs import COIN_FLIP, NOT_ELIGIBLE
from .gate import Gate, GateResult

# What to do if most pairs were dropped for this reason.
_REMEDIES = {
    COIN_FLIP: (
        "ask for more judgements (preceptor annotate export --help), lower pairs.min_confidence, or add the "
        "config soft, which takes pairs that close"
    ),
    NOT_ELIGIBLE: "widen pairs.eligible",
}
_OTHERWISE = "check the recipe's task and sources, or bring in more of what it compares"


def check_contents(con: Store, dropped: dict[str, int]) -> GateResult:
    """Check that a pair, an example or an exercise is left; the number counts them."""
    kinds = """SELECT CASE config WHEN 'sft' THEN 'examples' WHEN 'exercises' THEN config ELSE 'pairs' END
        AS kind, count(*) FROM kept GROUP BY 1"""
    counts = dict(run(con, kinds))
    if counts:
        n = ", ".join(
            f"{counts[kind]:,} {kind}" for kind in ("pairs", "examples", "exercises") if kind in counts
        )
        return GateResult("contents", True, sum(counts.values()), n)
    why = ", ".join(f"{n} {reason}" for reason, n in dropped.items()) or "nothing to compare"
    most = max(dropped, key=lambda reason: dropped[reason], default="")
    remedy = _REMEDIES.get(most, _OTHERWISE)
    return GateResult(
        "contents",
        False,
        0,
        f"no pair is left ({why}); {remedy}",
    )


GATE = Gate("contents", lambda con, inputs: check_contents(con, inputs.dropped))
