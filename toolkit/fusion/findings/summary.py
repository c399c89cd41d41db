"""Summarise the pairs of a stored fit, and choose those to ask annotators about next."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ....schemas.support.text import clean, show_sql
from ....schemas.tables import EXPRESSED, OBSERVED, SignalType
from ...store.connection import Store, query, run

COIN_FLIP = 0.6  # a pair whose surer side is below this is a coin flip
WORTH = 0.5  # a pair with at least this share of the best one's information gain is worth asking too


@dataclass(frozen=True)
class PairSummary:
    """Counts over the pairs of a fit."""

    n: int
    flips: int  # pairs whose better side is known with less than COIN_FLIP
    telling: list[dict[str, Any]]  # completion_a, completion_b, prompt (one line), gain; best first
    more: int  # pairs beyond those that bring at least WORTH times as much as the best


def read_pairs(con: Store, fit: str, limit: int) -> PairSummary:
    """Read counts over the pairs of `fit`, and the `limit` pairs with the largest information gain.

    Prompts come from the store, not from the fit: a forgotten text is not shown again.
    """
    (counts,) = run(
        con,
        """WITH mine AS (SELECT p, information_gain AS gain FROM preferences WHERE fit = $fit)
        SELECT count(*), count(*) FILTER (round(greatest(p, 1 - p), 6) < $flip),
            count(*) FILTER (gain > 0 AND gain >= $worth * (SELECT max(gain) FROM mine)) FROM mine""",
        {"fit": fit, "flip": COIN_FLIP, "worth": WORTH},
    )
    rows = query(
        con,
        f"""SELECT p.completion_a, p.completion_b, {show_sql("q.messages[-1].content", "q.ref")} AS prompt,
            p.information_gain AS gain
        FROM preferences p LEFT JOIN prompts q ON q.key = p.prompt
        WHERE p.fit = $fit AND p.information_gain > 0
        ORDER BY p.information_gain DESC, p.key LIMIT {limit}""",
        {"fit": fit},
    )
    telling = [
        row | {"prompt": clean(row["prompt"] or "(no longer in the store)", 200)}
        for row in rows.iter_rows(named=True)
    ]
    n, flips, worth = map(int, counts)
    return PairSummary(n, flips, telling, max(0, worth - len(telling)))


def count_signals(found: Mapping[str, Any], signals: Iterable[SignalType]) -> int:
    """Count the signals of these types that a fit has seen, from its findings.

    Fits from before a type was known do not have its number.
    """
    return sum(found.get(signal.name, 0) for signal in signals)


def has_both_sides(found: Mapping[str, Any]) -> bool:
    """True if a fit has seen expressed and observed signals: only then do the data inform rho."""
    return bool(count_signals(found, EXPRESSED) and count_signals(found, OBSERVED))
