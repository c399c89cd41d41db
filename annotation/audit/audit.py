"""Audit a model judge: position bias, length bias, and agreement with people, in one record.

    500 pairs in both orders: consistent 47.4 % (43.0 to 51.9), the first slot twice 38.8 % (34.5 to 43.2)

Frames in, a record out. Position and length are in orders.py, agreement with people in people.py, and the
matching of people's criteria with the judge's in criteria.py.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ...schemas.derive import derive_polars_schema
from ...schemas.rubric import Rubric
from ...schemas.tables import RATINGS, RUBRICS
from ...schemas.tables import VOTES as VOTES_TABLE
from ..agreement.intervals import RESAMPLES, IntervalEstimate
from ..agreement.judgements import VOTES, Signal, read_rating_signals, read_vote_signal
from ..rubrics.rubric import score_ratings
from .criteria import MatchedCriteria, fold_name, gather_rating_sets, match_criteria, name_levels
from .orders import (
    JUDGEMENTS,
    LengthBias,
    PositionBias,
    combine_orders,
    measure_first_slot,
    measure_length,
    measure_position,
)
from .own import OwnPreference, describe_own, measure_own
from .people import PeopleAgreement, compare_with_people

SCORE = "summary score"
POINTS = 1500  # of a figure of scores
SIZE: dict[str, Any] = {"completion": pl.String, "length": pl.Int64}
_VOTES = ("for one", "tie", "for the other")
_IN_ORDER = {0: 0, 2: 1, 1: 2}  # a tie is between the two


@dataclass(frozen=True)
class Evidence:
    """The answers of one judge, and of people about the same pairs and completions.

    `shown` has the columns of orders.JUDGEMENTS: single answers, each about one order. Votes and
    ratings have the columns of those tables (annotator: a name, or null) and of ratings the source;
    `rubrics` source, criterion, levels, higher_is_better; `lengths` completion, length (characters).
    `failed` replies of the judge could not be used; `own` are keys of completions that it wrote.
    """

    judge: str
    shown: pl.DataFrame
    votes: pl.DataFrame
    ratings: pl.DataFrame
    people_votes: pl.DataFrame
    people_ratings: pl.DataFrame
    rubrics: pl.DataFrame
    lengths: pl.DataFrame
    rubric: Rubric | None = None
    failed: int = 0
    own: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String))


@dataclass(frozen=True)
class JudgeAudit:
    """The audit of one judge; null, with a note, if something cannot be measured."""

    judge: str
    judgements: int  # single answers about an order, or votes where their order is not known
    ratings: int
    failed: int
    position: PositionBias | None
    first: IntervalEstimate | None  # the first slot's share, if no pair was shown in both orders
    length: LengthBias | None
    signals: list[PeopleAgreement]
    scores: list[list[float]] = field(
        default_factory=list
    )  # people's mean score and the judge's, for figures
    notes: list[str] = field(default_factory=list)
    own: OwnPreference | None = None


def audit_evidence(
    evidence: Evidence, *, same: dict[str, str] | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> JudgeAudit:
    """Audit one judge; the same input and seed give the same numbers.

    `same` maps criteria of the judge to people's, if their names differ. `resamples` is the number of
    bootstrap draws. Raises AnnotationError if `same` names an unknown criterion.
    """
    notes: list[str] = []
    found, in_orders = _verdicts(evidence, notes)
    about = measure_position(found, seed, resamples) if in_orders else None
    first = None
    if in_orders and about is None and found.height:
        first = measure_first_slot(found, seed, resamples)
        notes.append(
            "position: every pair was shown in one order only, so the first slot may have held the "
            "better one; only both orders can tell"
        )
    people = _decided(evidence.people_votes)
    by_length = measure_length(found, people, seed, resamples)
    if found.height:
        notes += _length_notes(found, by_length, people)
    own = measure_own(found, people, evidence.own, seed, resamples) if found.height else None
    notes += [describe_own(own)] if own else []
    signals = _of_votes(evidence, found, seed, resamples, notes)
    rated, scores = _of_ratings(evidence, same or {}, seed, resamples, notes)
    return JudgeAudit(
        evidence.judge,
        evidence.shown.height or evidence.votes.height,
        evidence.ratings.height,
        evidence.failed,
        about,
        first,
        by_length,
        signals + rated,
        scores,
        notes,
        own,
    )


def make_evidence(rows: pl.DataFrame, unnamed: str) -> list[Evidence]:
    """Make evidence of each judge of a file (files.read_judgements); `unnamed` is the name of one without."""
    rows = rows.with_columns(pl.col("judge").fill_null(unnamed))
    votes, ratings, scales, lengths = (
        pl.DataFrame(schema=columns)
        for columns in (*map(derive_polars_schema, (VOTES_TABLE, RATINGS, RUBRICS)), SIZE)
    )
    return [
        Evidence(
            name, rows.filter(judge=name).select(*JUDGEMENTS), votes, ratings, votes, ratings, scales, lengths
        )
        for name in rows["judge"].unique().sort()
    ]


def convert_votes(votes: pl.DataFrame, lengths: pl.DataFrame) -> pl.DataFrame:
    """Convert votes to single answers (orders.JUDGEMENTS); if the order is not known, a counts as first."""
    second = pl.col("shown_first") == "b"
    swapped = second.fill_null(value=False)
    rows = votes.select(
        item=pl.lit(""),
        first=pl.when(swapped).then("completion_b").otherwise("completion_a"),
        second=pl.when(swapped).then("completion_a").otherwise("completion_b"),
        choice=pl.when(pl.col("choice") == "tie")
        .then(pl.lit("tie"))
        .when((pl.col("choice") == "b") == swapped)
        .then(pl.lit("first"))
        .otherwise(pl.lit("second")),
    )
    return add_lengths(rows, lengths)


def add_lengths(shown: pl.DataFrame, lengths: pl.DataFrame) -> pl.DataFrame:
    """Add the lengths of both completions, in characters: columns first_length and second_length."""
    for side in ("first", "second"):
        those = lengths.select(pl.col("completion").alias(side), pl.col("length").alias(f"{side}_length"))
        shown = shown.join(those, on=side, how="left", maintain_order="left")
    return shown.select(pl.col(name).cast(kind) for name, kind in JUDGEMENTS.items())


def _verdicts(evidence: Evidence, notes: list[str]) -> tuple[pl.DataFrame, bool]:
    """Return the judge's verdicts, and whether the orders of showing are known."""
    shown, known = evidence.shown, True
    if shown.is_empty():
        dated = evidence.votes.filter(pl.col("shown_first").is_not_null())
        known = dated.height > 0
        shown = convert_votes(dated if known else evidence.votes, evidence.lengths)
        if not known and evidence.votes.height:
            notes.append("position: in which order the judge saw its pairs is not known")
        elif dated.height < evidence.votes.height:
            notes.append(
                f"position and length: {evidence.votes.height - dated.height:,} votes whose order "
                "is not known are left out"
            )
        if evidence.votes.is_empty() and evidence.ratings.height:
            notes.append("position and length: the judge chose between no two completions")
    found = combine_orders(shown)
    again = (
        shown.height
        - found.select((pl.col(f"in_{s}").is_not_null()).sum() for s in ("low", "high"))
        .sum_horizontal()
        .sum()
    )
    if again:
        notes.append(f"{again:,} answers about an order that was answered before: the first one counts")
    pairs = found.select("low", "high").n_unique()
    if pairs < found.height:
        notes.append(
            f"{found.height:,} questions about {pairs:,} pairs (draws, settings or templates): "
            "intervals take them as if each were another pair"
        )
    halves = found.filter(~pl.col("both")).height
    if known and 0 < halves < found.height:
        notes.append(f"position: {halves:,} pairs that were shown in one order only are left out")
    return found, known


def _decided(votes: pl.DataFrame) -> pl.DataFrame:
    """Decided votes of people about each pair: low, high, for_low, for_high."""
    for_low = (pl.col("choice") == "a") == (pl.col("completion_a") < pl.col("completion_b"))
    return (
        votes.filter(pl.col("choice") != "tie")
        .group_by(
            low=pl.min_horizontal("completion_a", "completion_b"),
            high=pl.max_horizontal("completion_a", "completion_b"),
        )
        .agg(for_low=for_low.cast(pl.Int64).sum(), for_high=(~for_low).cast(pl.Int64).sum())
    )


def _length_notes(found: pl.DataFrame, by_length: LengthBias | None, people: pl.DataFrame) -> list[str]:
    if by_length is None:
        known = found.filter(pl.col("low_length").is_not_null() & pl.col("high_length").is_not_null())
        why = "no lengths are known" if known.is_empty() else "no decided pair has two different lengths"
        return [f"length: {why}"]
    notes = []
    if by_length.slope is None:
        notes.append("length: no slope, as slot and length tell every choice, or all are the same")
    if by_length.people is None:
        what = "no pair of these was decided by people" if people.height else "no votes of people are there"
        notes.append(f"length: {what}, so whether people like longer ones too cannot be told")
    return notes


def _of_votes(
    evidence: Evidence, found: pl.DataFrame, seed: int, resamples: int, notes: list[str]
) -> list[PeopleAgreement]:
    """The judge's votes, or its verdicts if no votes are stored, and people's votes."""
    judge = evidence.votes
    if judge.is_empty():
        judge = _as_votes(found.filter("both"), evidence)
    if judge.is_empty():
        return []
    if evidence.people_votes.is_empty():
        notes.append("votes: no person voted, so agreement with people cannot be told")
        return []
    mine, theirs = _sides(read_vote_signal(_together(judge, evidence.people_votes))[0])
    in_order = pl.col("value").replace_strict(_IN_ORDER, return_dtype=pl.Int64)
    made = compare_with_people(
        VOTES, _VOTES, mine.with_columns(in_order), theirs.with_columns(in_order), "nominal", seed, resamples
    )
    if made is None:
        notes.append("votes: no pair was judged by people and by the judge")
    return [made] if made else []


def _as_votes(both: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """Verdicts of both orders as rows of votes, for pairs that people voted on."""
    choice = pl.col("verdict").replace_strict({"low": "a", "high": "b", "tie": "tie"}, return_dtype=pl.String)
    rows = both.select(
        completion_a="low",
        completion_b="high",
        choice=choice,
        annotator=pl.lit(evidence.judge),
        shown_first=pl.lit(None, pl.String),
        path=pl.lit(""),
        line=pl.lit(0, pl.Int64),
        n=pl.lit(0, pl.Int64),
    )
    return rows.with_columns(pl.lit(None, evidence.people_votes.schema["at"]).alias("at"))


def _together(judge: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Concatenate both, annotators as j… and p…, since annotators of both may share a name."""
    named = [
        rows.with_columns(annotator=pl.format(mark, "annotator"))
        for mark, rows in (("j{}", judge), ("p{}", people))
    ]
    return pl.concat([named[0], named[1].select(judge.columns)], how="vertical_relaxed")


def _sides(signal: Signal) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A signal's first answers of the judge, one per unit, and the answers of people."""
    once = signal.once.with_columns(mine=pl.col("annotator").str.starts_with("j").fill_null(value=False))
    mine = once.filter("mine").unique("unit", keep="first", maintain_order=True).select("unit", "value")
    return mine, once.filter(~pl.col("mine")).select("unit", "annotator", "value")


def _of_ratings(
    evidence: Evidence, same: dict[str, str], seed: int, resamples: int, notes: list[str]
) -> tuple[list[PeopleAgreement], list[list[float]]]:
    """Every criterion that both rated, and the rubric's score."""
    if evidence.ratings.is_empty():
        return [], []
    if evidence.people_ratings.is_empty():
        notes.append("ratings: no person rated anything, so agreement with people cannot be told")
        return [], []
    matched = match_criteria(evidence.ratings, evidence.people_ratings, evidence.rubrics, same)
    notes += matched.notes
    rows = _together(matched.judge, matched.people)
    made, apart = [], []
    for signal in _as_asked(read_rating_signals(rows) if matched.people.height else [], evidence.rubric):
        mine, theirs = _sides(signal)
        metric = "ordinal" if signal.answers > 2 else "nominal"
        levels = name_levels(signal.name, signal.answers, evidence.rubric)
        one = compare_with_people(signal.name, levels, mine, theirs, metric, seed, resamples)
        if one:
            made.append(one)
        elif theirs.height and mine.height:
            apart.append(signal.name)
    if apart:
        notes.append(f"{', '.join(apart)}: no completion was rated by people and by the judge")
    score, points = _of_scores(evidence.rubric, matched, seed, resamples, notes) if made else (None, [])
    return made + ([score] if score else []), points


def _as_asked(signals: list[Signal], rubric: Rubric | None) -> list[Signal]:
    """In the order of the rubric's criteria, others last."""
    order = [fold_name(criterion.name) for criterion in rubric.criteria] if rubric else []
    return sorted(
        signals, key=lambda s: order.index(fold_name(s.name)) if fold_name(s.name) in order else len(order)
    )


def _of_scores(
    rubric: Rubric | None, matched: MatchedCriteria, seed: int, resamples: int, notes: list[str]
) -> tuple[PeopleAgreement | None, list[list[float]]]:
    """Summary scores of the judge and of people, if both have values of all criteria with weight."""
    if rubric is None or rubric.kind == "pairwise":
        if rubric is None:
            notes.append(f"{SCORE}: by which rubric it rated is not known; name it with --rubric")
        return None, []
    judge, people = (gather_rating_sets(rows, rubric) for rows in (matched.judge, matched.people))
    if judge is None or people is None:
        notes.append(f"{SCORE}: the rubric '{rubric.name}' has criteria that were not rated by both")
        return None, []
    judge, people = (
        rows.with_columns(score_ratings(rubric, rows).round(9)).drop_nulls("score")
        for rows in (judge, people)
    )
    judge = judge.unique("completion", keep="first", maintain_order=True)
    people = people.join(judge.select("completion"), on="completion", how="semi")
    if people.is_empty():
        notes.append(f"{SCORE}: no completion has one of people and of the judge")
        return None, []
    judge = judge.join(people.select("completion"), on="completion", how="semi")
    stand = sorted({*judge["score"], *people["score"]})
    numbers = {score: float(nth) for nth, score in enumerate(stand)}
    told = [
        rows.with_columns(
            unit=pl.col("completion"), value=pl.col("score").replace_strict(numbers).cast(pl.Int64)
        )
        for rows in (judge, people)
    ]
    made = compare_with_people(
        SCORE,
        [f"{score:g}" for score in stand],
        told[0].select("unit", "value"),
        told[1].select("unit", "annotator", "value"),
        "interval",
        seed,
        resamples,
        stand,
    )
    means = people.group_by("completion", maintain_order=True).agg(pl.col("score").mean())
    points = means.join(judge, on="completion", suffix="_judge", maintain_order="left").head(POINTS)
    return made, [list(row) for row in points.select("score", "score_judge").rows()]
