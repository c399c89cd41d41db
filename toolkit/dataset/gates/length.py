"""Length bias: the share of pairs whose longer answer is chosen."""

from math import ceil, sqrt

from ...store.connection import Store, run
from .gate import Gate, GateResult

_Z = 1.6449  # 90 %, both sides


def check_length(con: Store, most: float | None = None) -> GateResult:
    """Check that the longer text is chosen in at most the share `most` of pairs; the number is that share.

    Only pairs of `kept` whose texts differ in length (characters) count; 0.5 is no bias, and the value
    without any such pair. The share of this dataset decides, since it is trained on; the 90 % interval
    is about such pairs in general. Pairs of one group are not independent: Wilson's interval for as
    many independent pairs as have the same variance as the groups' (Kish's effective n).
    """
    ((n, groups, longer, longer_2, longer_n, n_2),) = run(
        con,
        """WITH pair AS (
            SELECT "group", length(chosen_content) AS c, length(rejected_content) AS r FROM kept
            WHERE rejected_content IS NOT NULL AND c <> r
        ), of_group AS (
            SELECT count(*) AS n, count_if(c > r) AS longer FROM pair GROUP BY "group"
        )
        SELECT coalesce(sum(n), 0)::BIGINT, count(*), coalesce(sum(longer), 0)::BIGINT,
            coalesce(sum(longer * longer), 0)::BIGINT, coalesce(sum(longer * n), 0)::BIGINT,
            coalesce(sum(n * n), 0)::BIGINT FROM of_group""",
    )
    if not n:
        return GateResult("length bias", True, 0.5, "no pair differs in length")
    share = longer / n
    # The sum of (longer - share n)^2 over groups, of whole numbers: the same in every order.
    spread = (longer_2 * n * n - 2 * longer * n * longer_n + longer * longer * n_2) / (n * n)
    low, high = estimate_interval(share, n, groups, spread)
    passed = most is None or share <= most
    verdict = (
        f"the longer answer is chosen in {share:.0%} (90 % interval {low:.0%} to {high:.0%}; "
        f"{n} pairs of unequal length in {groups} groups)"
    )
    if not passed:
        verdict += (
            f", more than {most:.0%}; bring in pairs whose shorter answer is better, or allow it by "
            f"max_length_bias: {ceil(100 * share) / 100:g}"
        )
    return GateResult("length bias", passed, round(share, 4), verdict)


def estimate_interval(share: float, n: int, groups: int, spread: float) -> tuple[float, float]:
    """Estimate Wilson's 90 % interval for a share among n pairs in groups.

    `spread` is the sum over groups of the squared (longer - share * pairs). With one group or no spread
    there are as many independent pairs as groups.
    """
    variance = groups / (groups - 1) * spread / n**2 if groups > 1 else 0.0
    effective = min(n, n / (n - 1) * share * (1 - share) / variance) if variance > 0 else groups
    z2 = _Z**2 / effective
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z / (1 + z2) * sqrt(share * (1 - share) / effective + z2 / (4 * effective))
    return max(0.0, middle - half), min(1.0, middle + half)


GATE = Gate("length bias", lambda con, inputs: check_length(con, inputs.recipe.max_length_bias))
