"""What each named annotator did: agreement with the others and with a fit, sides, speed, known and
repeated questions, and which of them need a look (habits.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from . import habits, tallies
from .intervals import Share, share
from .judgements import Signal


@dataclass(frozen=True)
class Speed:
    """Seconds between successive answers, breaks left out."""

    median: float
    answers: int
    fast: int  # of these, in less than habits.FAST_SECONDS


@dataclass(frozen=True)
class Person:
    """One annotator of a source. Shares are null where there is nothing to count."""

    annotator: str  # pseudonym
    kind: str
    votes: int
    ratings: int
    majority: Share | None  # answers equal to the most frequent one of the other people, where one is
    fit: Share | None  # decided votes on the side that the fit, without that vote, leans to
    reliability: dict[str, float] | None  # of the fit: mean, low, high (90 %), p_below_half
    first_shown: Share | None  # decided votes for the side that was shown first
    speed: Speed | None
    known: Share | None  # known questions answered rightly
    repeats: Share | None  # repeated questions answered as before
    look: list[dict[str, Any]] = field(default_factory=list)  # kind, p and words of each reason


def describe(
    signals: Sequence[Signal],
    annotators: pl.DataFrame,
    known: pl.DataFrame,
    consensus: pl.DataFrame,
    reliability: Mapping[str, dict[str, float]],
    agreement: float | None,
) -> tuple[list[Person], list[str]]:
    """Everybody who judged, those of the most judgements first, and what could not be looked at.

    `annotators` has annotator (key), kind, pseudonym, peer (whether they count as others); `known` unit and
    expected (answers to known votes); `consensus` unit, lead and sd (log-odds that answer 0 is better);
    `reliability` is by pseudonym; `agreement` that of two annotators about votes, where it is known.
    """
    votes = tallies.told([signal for signal in signals if not signal.ordered], annotators)
    rated = tallies.told([signal for signal in signals if signal.ordered], annotators)
    both = pl.concat([votes, rated])
    counted = {
        "majority": tallies.as_most(both),
        "fit": tallies.as_fit(votes, consensus),
        "first_shown": tallies.first_shown(votes),
        "known": tallies.known_right(votes, known),
        "repeats": tallies.as_before(both),
    }
    gaps, notes = tallies.gaps(votes, rated)
    tests = [
        *habits.one_side(counted["first_shown"]),
        *habits.same_answer(pl.concat([tallies.ties(votes), tallies.favourites(rated)])),
        *habits.longest_runs(tallies.sequences(votes, rated)),
        *habits.at_chance(tallies.sides(votes)),
        *habits.uncorrelated(tallies.correlations(rated)),
        *habits.too_fast(gaps),
        *habits.known_wrong(counted["known"]),
        *habits.changed_mind(counted["repeats"], agreement),
    ]
    looks: dict[str, list[dict[str, Any]]] = {}
    for test in habits.flagged(tests):
        looks.setdefault(test.annotator, []).append(_reason(test))
    shares = {name: {who: share(k, n) for who, k, n in counts.rows()} for name, counts in counted.items()}
    speed = {r["annotator"]: Speed(r["median"], r["n"], r["k"]) for r in gaps.iter_rows(named=True)}
    n_votes, n_ratings = (dict(rows.group_by("annotator").len().rows()) for rows in (votes, rated))
    people = [
        Person(
            row["pseudonym"],
            row["kind"],
            n_votes.get(key, 0),
            n_ratings.get(key, 0),
            reliability=reliability.get(row["pseudonym"]),
            speed=speed.get(key),
            look=looks.get(key, []) + _doubts(reliability.get(row["pseudonym"])),
            **{name: by.get(key) for name, by in shares.items()},
        )
        for row in annotators.iter_rows(named=True)
        for key in (row["annotator"],)
        if key in n_votes or key in n_ratings
    ]
    return sorted(people, key=lambda p: (-p.votes - p.ratings, p.annotator)), notes


def _reason(test: habits.Test) -> dict[str, Any]:
    return {name: value for name, value in asdict(test).items() if name != "annotator"}


def _doubts(found: dict[str, float] | None) -> list[dict[str, Any]]:
    """What a fit holds against an annotator; it has weighed all signals, and is no test."""
    doubt = found.get("p_below_half", 0.0) if found else 0.0
    if doubt <= habits.DOUBTFUL:
        return []
    words = f"to the fit, reliability is below a half with probability {doubt:.2f}"
    return [{"kind": "fit", "p": 1 - doubt, "words": words}]
