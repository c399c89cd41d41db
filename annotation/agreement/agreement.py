"""Measure whether the annotators of a source agree, and whose answers to check, in one record.

    votes: 1,500 on 500 pairs; two annotators agree in 71 %, chance gives 41 %; alpha 0.51 (0.47-0.55)

Measures are in alpha.py (from counts, named or not) and kappa.py (pairs of named annotators); single
annotators in people.py and habits.py. Intervals are bootstraps over units (pairs, completions): they cover
other questions to the same annotators, not other annotators.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from .alpha import METRICS, compute_alpha, compute_measures, count_kinds
from .intervals import RESAMPLES, IntervalEstimate, divide_or_nan, estimate_from_draws, resample
from .judgements import LOW_HIGH, SIDES, VOTES, Signal, read_rating_signals, read_vote_signal
from .kappa import LEAST_SHARED, compare_pairs
from .people import Person, describe_people

MODEL, CROWD = "model", "crowd"
_CHOICES = {"a": 0, "b": 1, "tie": 2}


@dataclass(frozen=True)
class SourceJudgements:
    """Rows of the store about one source: votes, ratings, annotators and a fit's estimates.

    `known`: questions with an expected answer (completion_a, completion_b, expected). `consensus`: a fit's
    estimates for pairs (completion_a, completion_b, lead and sd: log-odds of a vote for a). `reliability`: a
    fit's estimates for annotators, by pseudonym. `fit`: its key.
    """

    votes: pl.DataFrame
    ratings: pl.DataFrame
    annotators: pl.DataFrame
    known: pl.DataFrame = field(default_factory=pl.DataFrame)
    consensus: pl.DataFrame = field(default_factory=pl.DataFrame)
    reliability: Mapping[str, dict[str, float]] = field(default_factory=dict)
    fit: str | None = None


@dataclass(frozen=True)
class Measures:
    """Agreement about one signal: votes, or ratings on one criterion. Estimates are null if undefined."""

    signal: str
    answers: int  # that can be given: 3 to a pair, the criterion's levels
    judgements: int
    repeated: int  # of these, by an annotator who had judged the unit before; left out below
    annotators: int  # named
    unnamed: int  # judgements without annotator
    units: int  # pairs or completions
    shared_units: int  # of these, with two judgements or more
    metric: str  # of alpha that fits the answers
    alpha: dict[str, IntervalEstimate | None]
    agreement: IntervalEstimate | None  # an answer equals another's about the same unit
    chance: IntervalEstimate | None  # the same if answers did not depend on units
    fleiss: IntervalEstimate | None
    correlation: IntervalEstimate | None  # of a rating and the mean of the others (Spearman)
    kappa: dict[str, IntervalEstimate | None]  # Cohen's by weighting, mean over pairs of annotators
    ceiling: dict[str, IntervalEstimate | None]  # another, majority, perfect: see alpha.py
    pairs: list[dict[str, Any]]  # first, second, n, agreement, low, high, kappa by weighting
    resamples: dict[str, int]
    notes: list[str]


@dataclass(frozen=True)
class Agreement:
    """All about one source."""

    source: str
    signals: list[Measures]
    first_shown: IntervalEstimate | None  # share of decided votes for the side that was shown first
    annotators: list[Person]
    fit: str | None  # key of the fit that annotators are compared with
    notes: list[str]


def compute_agreement(
    source: str, judged: SourceJudgements, seed: int = 0, resamples: int = RESAMPLES
) -> Agreement:
    """Measure the agreement of a source's annotators; the same input and seed give the same numbers.

    Measures are about people if there are any, and each model is compared with them; without people they
    are about the models.
    """
    notes: list[str] = []
    annotators, votes, ratings = _persons(judged)
    about_pairs, units = read_vote_signal(votes)
    signals = [about_pairs] if votes.height else []
    signals += read_rating_signals(ratings)
    if not annotators["peer"].any() and annotators.height and not _unnamed(signals):
        annotators = annotators.with_columns(peer=pl.lit(value=True))
        notes.append("only models judged: all that follows is about models")
    names = dict(annotators.select("annotator", "pseudonym").rows())
    models = annotators.filter(~pl.col("peer"))["annotator"]
    people = [_without(signal, models) for signal in signals]
    found = [_measure(signal, names, seed, resamples) for signal in people]
    if annotators.is_empty():
        notes.append("no annotator is named: nothing can be said about single annotators")
    about_votes = next((m.agreement.value for m in found if m.signal == VOTES and m.agreement), None)
    persons, more = describe_people(
        signals,
        annotators,
        _known(judged, units),
        _consensus(judged, units),
        judged.reliability,
        about_votes,
    )
    first = _first_shown(people, seed, resamples)
    return Agreement(source, found, first, persons, judged.fit, notes + more)


@dataclass(frozen=True)
class Shared:
    """Agreement of people about one signal, in short. If alpha is null, `why` has the reason."""

    signal: str
    annotators: int  # named
    unnamed: int  # judgements without annotator, each taken as another person's
    judgements: int  # without repetitions
    shared_judgements: int  # of these, about a unit that another person judged as well
    shared_units: int  # pairs or completions
    metric: str  # of alpha
    alpha: IntervalEstimate | None
    why: str | None


def compute_shared_alpha(judged: SourceJudgements, seed: int = 0, resamples: int = RESAMPLES) -> list[Shared]:
    """Compute alpha of every signal of people; no signal if only models judged.

    The numbers are those of `compute_agreement`.
    """
    annotators, votes, ratings = _persons(judged)
    models = annotators.filter(~pl.col("peer"))["annotator"]
    signals = ([read_vote_signal(votes)[0]] if votes.height else []) + read_rating_signals(ratings)
    people = [_without(signal, models) for signal in signals]
    return [_shared(signal, seed, resamples) for signal in people if signal.rows.height]


def _shared(signal: Signal, seed: int, resamples: int) -> Shared:
    once = signal.once
    kinds, many = count_kinds(once["unit"].to_numpy(), once["value"].to_numpy(), signal.answers)
    metric, found = choose_metric(signal), None
    if len(kinds):
        values = np.arange(signal.answers, dtype=np.float64)
        point = float(compute_alpha(kinds, many[None, :].astype(np.float64), values, metric)[0])
        drawn = [compute_alpha(kinds, weights, values, metric) for weights in resample(many, seed, resamples)]
        found = estimate_from_draws(point, np.concatenate(drawn))
    unnamed = once["annotator"].null_count()
    by = "twice" if unnamed else "by two annotators"
    why = f"no {'pair' if signal.name == VOTES else 'completion'} was judged {by}"
    if len(kinds):
        why = "all answers are the same"
    return Shared(
        signal.name,
        once["annotator"].drop_nulls().n_unique(),
        unnamed,
        once.height,
        int(many @ kinds.sum(axis=1)) if len(kinds) else 0,
        int(many.sum()),
        metric,
        found,
        None if found else why,
    )


def _persons(judged: SourceJudgements) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Annotators (annotator, kind, pseudonym, peer), votes and ratings, with one key for each pseudonym.

    A person who judged completions of two sources has a row and a key for each. If their kinds differ,
    crowd loses, since it is also the default.
    """
    rows = judged.annotators.rename({"key": "annotator"})
    key = pl.col("annotator").min().over("pseudonym")
    keys = rows.select("annotator", key=key)
    annotators = (
        rows.with_columns(annotator=key, peer=pl.col("kind") != MODEL)
        .sort("pseudonym", pl.col("kind") == CROWD, "kind")
        .unique("pseudonym", keep="first", maintain_order=True)
    )
    every = pl.concat([frame["annotator"] for frame in (annotators, judged.votes, judged.ratings)])
    who = pl.Enum(every.drop_nulls().unique().sort())  # compared as numbers: much faster
    one = pl.col("annotator").replace(keys["annotator"], keys["key"]).cast(who)
    return annotators.with_columns(one), judged.votes.with_columns(one), judged.ratings.with_columns(one)


def _unnamed(signals: Sequence[Signal]) -> int:
    return sum(signal.rows["annotator"].null_count() for signal in signals)


def _without(signal: Signal, models: pl.Series) -> Signal:
    """A signal without what models said."""
    by_model = pl.col("annotator").is_in(models.implode()).fill_null(value=False)
    return Signal(signal.name, signal.answers, signal.rows.filter(~by_model))


def choose_metric(signal: Signal) -> str:
    """Choose the metric of alpha that fits the answers."""
    return "ordinal" if signal.ordered and signal.answers > 2 else "nominal"


def _measure(signal: Signal, names: dict[str, str], seed: int, resamples: int) -> Measures:
    once = signal.once
    size = signal.answers
    kinds, many = count_kinds(once["unit"].to_numpy(), once["value"].to_numpy(), size)
    found = compute_measures(kinds, many, np.arange(size, dtype=np.float64), seed, resamples)
    metric = choose_metric(signal)
    weightings = ("unweighted", "linear", "quadratic") if metric == "ordinal" else ("unweighted",)
    named = once.filter(pl.col("annotator").is_not_null()).select("unit", "annotator", "value")
    pairs = compare_pairs(named, size, weightings, seed, resamples)
    shown = pairs.people.with_columns(pl.col("first", "second").replace(names)).rows(named=True)
    made = Measures(
        signal=signal.name,
        answers=size,
        judgements=signal.rows.height,
        repeated=signal.rows.height - once.height,
        annotators=named["annotator"].n_unique(),
        unnamed=once["annotator"].null_count(),
        units=once["unit"].n_unique(),
        shared_units=int(many.sum()),
        metric=metric,
        alpha={name: found.get(name) for name in METRICS},
        agreement=found.get("agreement"),
        chance=found.get("chance"),
        fleiss=found.get("fleiss"),
        correlation=found.get("correlation") if signal.ordered else None,
        kappa=pairs.mean,
        ceiling={
            "another": found.get("agreement"),
            "majority": found.get("majority"),
            "perfect": found.get("perfect"),
        },
        pairs=shown,
        resamples={"alpha": resamples, "kappa": pairs.resamples},
        notes=[],
    )
    made.notes.extend(_notes(made, pairs.shared, pairs.looked_at))
    return made


def _notes(found: Measures, shared: int, looked_at: int) -> list[str]:
    """Notes: why a number is missing, or which data it is based on."""
    what = "pair" if found.signal == VOTES else "completion"
    if not found.shared_units:
        by = "by two annotators" if found.annotators and not found.unnamed else "twice"
        return [f"no {what} was judged {by}, so whether annotators agree cannot be told"]
    notes = []
    if found.alpha[found.metric] is None:
        notes.append("all answers are the same: alpha is not defined")
    if found.unnamed:
        notes.append("judgements that name nobody are each taken as another person's; kappa leaves them out")
    elif not found.pairs:
        notes.append(f"no two annotators share {LEAST_SHARED} {what}s: no kappa")
    if looked_at < shared:
        notes.append(f"kappa: {looked_at:,} of {shared:,} shared judgements were looked at, drawn at random")
    return notes


def _first_shown(signals: Sequence[Signal], seed: int, resamples: int) -> IntervalEstimate | None:
    """Share of decided votes for the side shown first, over pairs: all who saw a pair may have seen it so."""
    for signal in signals:
        if signal.name == VOTES:
            of_unit = (
                signal.rows.filter(pl.col("shown").is_in(SIDES))
                .group_by("unit")
                .agg((pl.col("shown") == SIDES[0]).sum().alias("k"), pl.len().alias("n"))
            )
            kinds = of_unit.group_by("k", "n").len("many").sort("k", "n")
            k, n, many = (kinds[name].cast(pl.Int64).to_numpy() for name in ("k", "n", "many"))
            if len(k):
                drawn = [divide_or_nan(w @ k, w @ n) for w in resample(many, seed, resamples)]
                return estimate_from_draws(float(many @ k / (many @ n)), np.concatenate(drawn))
    return None


def _known(judged: SourceJudgements, units: pl.DataFrame) -> pl.DataFrame:
    """Units of votes with the expected answer."""
    sides = judged.known.select("completion_a", "completion_b", "expected").unique().sort("expected")
    low_is_a = pl.col("completion_a") < pl.col("completion_b")
    answer = pl.col("expected").replace_strict(_CHOICES, return_dtype=pl.Int64, default=None)
    turned = pl.when(low_is_a | (answer == _CHOICES["tie"])).then(answer).otherwise(1 - answer)
    return (
        _of_units(sides.with_columns(expected=turned), units)
        .select("unit", "expected")
        .sort("unit")
        .unique("unit", keep="first", maintain_order=True)
    )


def _consensus(judged: SourceJudgements, units: pl.DataFrame) -> pl.DataFrame:
    """Units of votes with the fit's log-odds of answer 0."""
    low_is_a = pl.col("completion_a") < pl.col("completion_b")
    turned = judged.consensus.with_columns(lead=pl.when(low_is_a).then("lead").otherwise(-pl.col("lead")))
    return _of_units(turned, units).select("unit", "lead", "sd")


def _of_units(pairs: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """`pairs` (completion_a, completion_b in either order, …) with the units of votes about them."""
    return pairs.with_columns(LOW_HIGH).join(units, on=["low", "high"])
