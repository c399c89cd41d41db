"""Test how each annotator answers, and find those to check, at a bounded rate of false alarms.

Each test compares an annotator with an honest one, with a tolerance, so that a slight habit is never
significant, however many answers show it. Tests are exact. All tests of a source together keep a false
discovery rate of 5 % (Benjamini & Hochberg, JRSS B 57 (1995) 289-300): if all annotators are honest, one of
twenty sources flags anyone.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import gammaln
from scipy.stats import binom, false_discovery_control, norm

from ...schemas.support.numbers import format_percent
from .intervals import Floats, Ints

FALSE_DISCOVERIES = 0.05
ONE_SIDE = 0.6  # an honest annotator may take the side shown first (or second) so often
# People read about 4 words a second (Brysbaert, J. Memory and Language 109 (2019) 104047: 238 a minute,
# silently): in 2 seconds eight words, fewer than a prompt and its completions have. A slip of the finger
# and a question that was seen before are quick as well, so a tenth of the answers may be.
FAST_SECONDS = 2.0
FAST_SHARE = 0.1
BREAK_SECONDS = 600.0  # a longer time between two answers is a break
KNOWN_WRONG = 0.2  # share of known questions an honest annotator may get wrong
SELDOM_CONSISTENT = 0.25  # share of repeated questions on which anybody may change their mind
SAME_ANSWER = 0.8  # share of one answer that anybody may give
LEAST_RUN = 10  # a shorter run of the same answer is not tested


@dataclass(frozen=True)
class HabitTest:
    """One test of one annotator: how likely an honest annotator is to look like that."""

    annotator: str
    kind: str  # side, same, run, chance, fast, known or repeat
    p: float
    words: str  # what was seen, should it be named


def flag_tests(tests: list[HabitTest]) -> list[HabitTest]:
    """Keep the tests that are significant at a false discovery rate of 5 %, in the order given."""
    if not tests:
        return []
    q = false_discovery_control([t.p for t in tests])
    return [test for test, adjusted in zip(tests, q, strict=True) if adjusted <= FALSE_DISCOVERIES]


def compute_tail(k: Ints | int, n: Ints | int, p: Floats | float) -> Floats:
    """Compute P(k or more of n), each with probability p; shape as the arguments broadcast, (n,) or ()."""
    return np.asarray(binom.sf(np.asarray(k) - 1, n, p))


def check_one_side(first: pl.DataFrame) -> list[HabitTest]:
    """Test who always takes one side; `first` has annotator, k (chose the first shown) of n."""
    k, n = first["k"].to_numpy(), first["n"].to_numpy()
    most = np.maximum(k, n - k)
    p = np.minimum(compute_tail(most, n, ONE_SIDE) + binom.cdf(n - most, n, ONE_SIDE), 1)
    return [
        HabitTest(
            name,
            "side",
            float(value),
            f"took the side shown {'first' if 2 * a > b else 'second'} in "
            f"{max(a, b - a)} of {b} decided votes",
        )
        for name, a, b, value in zip(first["annotator"], k.tolist(), n.tolist(), p, strict=True)
    ]


def check_same_answer(shares: pl.DataFrame) -> list[HabitTest]:
    """Test who gives one answer nearly always; `shares` has annotator, k of n, others (share of the others
    that give it as well) and answer (in words).
    """
    k, n, others = (shares[name].to_numpy() for name in ("k", "n", "others"))
    p = compute_tail(k, n, np.maximum((1 + others) / 2, SAME_ANSWER))
    return [
        HabitTest(
            name,
            "same",
            float(value),
            f"gave {answer} in {a} of {b} ({format_percent(share)} of the others' do)",
        )
        for name, answer, a, b, share, value in zip(
            shares["annotator"], shares["answer"], k.tolist(), n.tolist(), others.tolist(), p, strict=True
        )
    ]


def check_runs(rows: pl.DataFrame) -> list[HabitTest]:
    """Test who gave the same answer many times running; `rows` has annotator and answer (text), in order.

    In a random order of n answers, m of them alike, (n - m + 1) C(m, L) / C(n, L) runs of L or more are
    expected, which bounds the probability of any. This needs questions whose order is independent of their
    answers, as with sides in random order.
    """
    run = (pl.col("answer") != pl.col("answer").shift(1)).fill_null(True).cum_sum().over("annotator")
    runs = rows.with_columns(run=run).group_by("annotator", "answer", "run").len("length")
    runs = runs.group_by("annotator", "answer").agg(pl.col("length").max(), pl.col("length").sum().alias("m"))
    runs = runs.with_columns(
        pl.col("m").sum().over("annotator").alias("n"), pl.len().over("annotator").alias("answers")
    ).sort("annotator", "answer")
    m, n, length = (runs[name].cast(pl.Float64).to_numpy() for name in ("m", "n", "length"))
    log_p = np.log(n - m + 1) + _log_choose(m, length) - _log_choose(n, length)
    p = np.minimum(np.exp(log_p) * runs["answers"].to_numpy(), 1)
    found = runs.with_columns(pl.Series("p", np.where(length >= LEAST_RUN, p, 1.0)))
    found = found.sort("annotator", "p", "answer").unique("annotator", keep="first", maintain_order=True)
    return [
        HabitTest(row["annotator"], "run", row["p"], f"gave the same answer {row['length']} times running")
        for row in found.iter_rows(named=True)
    ]


def _log_choose(n: Floats, k: Floats) -> Floats:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def check_chance(sides: pl.DataFrame) -> list[HabitTest]:
    """Test who agrees with the others no better than a coin; `sides` has annotator, k (same side) of n.

    An honest annotator lies above the middle between a coin and the median annotator. If people agree no
    better than coins, no annotator can be distinguished from one.
    """
    typical = _typical(sides, 0.5)
    p = binom.cdf(sides["k"].to_numpy(), sides["n"].to_numpy(), (0.5 + typical) / 2)
    return [
        HabitTest(
            name,
            "chance",
            float(value),
            f"took the others' side in {k} of {n} decided votes; a coin gets "
            f"50 %, others {format_percent(typical)}",
        )
        for name, k, n, value in zip(sides["annotator"], sides["k"], sides["n"], p, strict=True)
    ]


def _typical(sides: pl.DataFrame, least: float) -> float:
    """Median share of annotators, weighted by their numbers of answers."""
    if sides.is_empty():
        return least
    order = sides.select(share=pl.col("k") / pl.col("n"), n="n").sort("share")
    middle = order.filter(pl.col("n").cum_sum() >= pl.col("n").sum() / 2)
    return max(least, float(middle["share"][0]))


def check_correlation(ratings: pl.DataFrame) -> list[HabitTest]:
    """Test whose ratings do not correlate with the others'; `ratings` has annotator, r and n (completions).

    Fisher's z of r against half of the median annotator's.
    """
    ratings = ratings.filter(pl.col("r").is_finite() & (pl.col("n") > 4))
    if ratings.is_empty():
        return []
    r = np.clip(ratings["r"].to_numpy(), -0.999, 0.999)
    n = ratings["n"].to_numpy()
    typical = _typical(pl.DataFrame({"k": r * n, "n": n}), 0.0)
    p = norm.cdf((np.arctanh(r) - np.arctanh(min(typical, 0.999) / 2)) * np.sqrt(n - 3))
    return [
        HabitTest(
            name,
            "chance",
            float(value),
            f"ratings of {many} completions go with the others' by {own:.2f} "
            f"(correlation), where others reach {typical:.2f}",
        )
        for name, own, many, value in zip(ratings["annotator"], r, n, p, strict=True)
    ]


def check_speed(gaps: pl.DataFrame) -> list[HabitTest]:
    """Test who answers faster than people read; `gaps` has annotator, k (faster than FAST_SECONDS) of n."""
    p = compute_tail(gaps["k"].to_numpy(), gaps["n"].to_numpy(), FAST_SHARE)
    return [
        HabitTest(name, "fast", float(value), f"answered within {FAST_SECONDS:g} s in {k} of {n}")
        for name, k, n, value in zip(gaps["annotator"], gaps["k"], gaps["n"], p, strict=True)
    ]


def check_known(known: pl.DataFrame) -> list[HabitTest]:
    """Test who gets known questions wrong; `known` has annotator, k (right) of n."""
    wrong = known["n"] - known["k"]
    p = compute_tail(wrong.to_numpy(), known["n"].to_numpy(), KNOWN_WRONG)
    return [
        HabitTest(name, "known", float(value), f"got {k} of {n} known questions wrong")
        for name, k, n, value in zip(known["annotator"], wrong, known["n"], p, strict=True)
    ]


def check_repeats(repeats: pl.DataFrame, agreement: float | None) -> list[HabitTest]:
    """Test who answers a repeated question otherwise; `repeats` has annotator, k (the same answer) of n.

    An annotator should not differ from their own earlier answers more than two annotators differ from each
    other (`agreement`; a half if not known).
    """
    other = repeats["n"] - repeats["k"]
    tolerated = max(SELDOM_CONSISTENT, 1 - (0.5 if agreement is None else agreement))
    p = compute_tail(other.to_numpy(), repeats["n"].to_numpy(), tolerated)
    return [
        HabitTest(name, "repeat", float(value), f"answered {k} of {n} repeated questions otherwise")
        for name, k, n, value in zip(repeats["annotator"], other, repeats["n"], p, strict=True)
    ]
