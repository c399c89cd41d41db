"""Describe each named annotator: agreement with the others and with a fit, sides, speed, known and
repeated questions, and tests of habits (habits.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from . import habits, tallies
from .doubts import list_doubts
from .intervals import Share, compute_share
from .judgements import Signal


@dataclass(frozen=True)
class Speed:
    """Seconds between successive answers, breaks left out."""

    median: float
    answers: int
    fast: int  # of these, in less than habits.FAST_SECONDS


@dataclass(frozen=True)
class Person:
    """One annotator of a source. Shares are null if there is nothing to count."""

    annotator: str  # pseudonym
    kind: str
    votes: int
    ratings: int
    majority: Share | None  # answers equal to the most frequent one of the other people, where one is
    fit: Share | None  # decided votes on the side that the fit, without that vote, leans to
    reliability: dict[str, float] | None  # of the fit: mean, low, high (90 %), and the doubts of doubts.py
    first_shown: Share | None  # decided votes for the side that was shown first
    speed: Speed | None
    known: Share | None  # known questions answered rightly
    repeats: Share | None  # repeated questions answered as before
    look: list[dict[str, Any]] = field(default_factory=list)  # kind, p and words of each reason


def describe_people(
    signals: Sequence[Signal],
    annotators: pl.DataFrame,
    known: pl.DataFrame,
    consensus: pl.DataFrame,
    reliability: Mapping[str, dict[str, float]],
    agreement: float | None,
) -> tuple[list[Person], list[str]]:
    """Describe all annotators, those with the most judgements first; also return notes on missing data.

    `annotators` has annotator (key), kind, pseudonym, peer (true if they count as others); `known` unit and
    expected (answers to known votes); `consensus` unit, lead and sd (log-odds of an average vote for answer
    0).
    `reliability` is by pseudonym; `agreement` is that of two annotators about votes, if known.
    """
    votes = tallies.join_others([signal for signal in signals if not signal.ordered], annotators)
    rated = tallies.join_others([signal for signal in signals if signal.ordered], annotators)
    both = pl.concat([votes, rated])
    counted = {
        "majority": tallies.count_as_most(both),
        "fit": tallies.count_as_fit(votes, consensus, _weigh(annotators, reliability)),
        "first_shown": tallies.count_first_shown(votes),
        "known": tallies.count_known_right(votes, known),
        "repeats": tallies.count_as_before(both),
    }
    gaps, notes = tallies.measure_gaps(votes, rated)
    looks: dict[str, list[dict[str, Any]]] = {}
    for test in habits.flag_tests(_tests(votes, rated, counted, gaps, agreement)):
        looks.setdefault(test.annotator, []).append(_reason(test))
    shares = {
        name: {who: compute_share(k, n) for who, k, n in counts.rows()} for name, counts in counted.items()
    }
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


def _weigh(annotators: pl.DataFrame, reliability: Mapping[str, dict[str, float]]) -> pl.DataFrame:
    """By annotator the weight of their votes in the fit, 1 on average: `annotator`, `weight`."""
    weights = {name: max(found["mean"], 0.0) for name, found in reliability.items()}
    weight = pl.col("pseudonym").replace_strict(weights, default=1.0, return_dtype=pl.Float64)
    return annotators.select("annotator", weight=weight)


def _tests(
    votes: pl.DataFrame,
    rated: pl.DataFrame,
    counted: Mapping[str, pl.DataFrame],
    gaps: pl.DataFrame,
    agreement: float | None,
) -> list[habits.HabitTest]:
    return [
        *habits.check_one_side(counted["first_shown"]),
        *habits.check_same_answer(pl.concat([tallies.count_ties(votes), tallies.count_favourites(rated)])),
        *habits.check_runs(tallies.list_sequences(votes, rated)),
        *habits.check_chance(tallies.count_sides(votes)),
        *habits.check_correlation(tallies.correlate_ratings(rated)),
        *habits.check_speed(gaps),
        *habits.check_known(counted["known"]),
        *habits.check_repeats(counted["repeats"], agreement),
    ]


def _reason(test: habits.HabitTest) -> dict[str, Any]:
    return {name: value for name, value in asdict(test).items() if name != "annotator"}


def _doubts(found: dict[str, float] | None) -> list[dict[str, Any]]:
    """A fit's doubts about an annotator; it has weighed all signals, and is no test."""
    return [
        {"kind": "fit", "p": 1 - doubt, "words": f"the fit says: {words} (probability {doubt:.2f})"}
        for words, doubt in list_doubts(found or {})
    ]
