"""Votes, ratings and outcomes as tables: CSV or TSV with a header, columns mapped by name.

    completion_a,completion_b,choice,annotator,shown_first,at
    completion,criterion,value,levels,annotator,at
    completion,learner,measure,value,censored,at

Completions are named by their id in the source that the signals are about. `choice` is a, b or
tie; `measure` is turns or success. A row is a record.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from ...schemas.errors import SourceError
from ...schemas.tables import ANNOTATORS
from ..store import add_key
from .batch import FORGOTTEN_REASON, Batch, Context, first_reason, rejected
from .delimited import column, read_records
from .lines import Input, OnBytes
from .people import nameless, with_pseudonyms

PEOPLE = ("annotator", "learner")
Frames = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Columns:
    """What a table of signals must and may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


VOTE_COLUMNS = Columns(("completion_a", "completion_b", "choice"), ("annotator", "shown_first", "at"))
RATING_COLUMNS = Columns(("completion", "criterion", "value"), ("levels", "annotator", "at"))
OUTCOME_COLUMNS = Columns(("completion", "measure", "value"), ("learner", "censored", "at"))


def read_votes(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Votes and their annotators."""
    yield from _read(file, context, on_bytes, VOTE_COLUMNS, _votes)


def read_ratings(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Ratings, their annotators and the rubric's criteria."""
    yield from _read(file, context, on_bytes, RATING_COLUMNS, _ratings)


def read_outcomes(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Outcomes of learners."""
    yield from _read(file, context, on_bytes, OUTCOME_COLUMNS, _outcomes)


def _read(
    file: Input,
    context: Context,
    on_bytes: OnBytes,
    columns: Columns,
    judge: Callable[[pl.DataFrame, Context], tuple[pl.DataFrame, Callable[[pl.DataFrame], Frames]]],
) -> Iterator[Batch]:
    """Map columns, let `judge` add a reason to each record, and divide taken from rejected."""
    delimiter = "\t" if ".tsv" in file.path.name.lower() else ","
    for records, bad in read_records(file, delimiter, on_bytes):
        named = with_pseudonyms(_named(file, records, context, columns), context, PEOPLE)
        people = [
            n for n in PEOPLE if column(context.columns.get(n, n)) in records.columns and n in named.columns
        ]
        judged, tables = judge(named, context)
        wrong = pl.col("reason").is_not_null()
        good = judged.filter(~wrong).with_columns(
            pl.lit(context.source).alias("source"),
            pl.lit(file.name).alias("path"),
            pl.lit(0, pl.Int64).alias("n"),
        )
        yield Batch(
            read=records.height + bad.height,
            taken=good.height,
            tables=tables(good),
            rejects=rejected(nameless(bad, judged.filter(wrong), named, people), file.name),
        )


def _named(file: Input, records: pl.DataFrame, context: Context, columns: Columns) -> pl.DataFrame:
    """The file's columns under our names; optional ones that are absent become null."""
    picked = []
    for name in (*columns.required, *columns.optional):
        theirs = context.columns.get(name, name)
        if column(theirs) in records.columns:
            picked.append(pl.col(column(theirs)).str.strip_chars().replace("", None).alias(name))
        elif name in columns.required or name in context.columns:
            have = ", ".join(c.strip() for c in records.columns if c not in ("line", "raw"))
            raise SourceError(
                f"{file.path}: no column '{theirs}' for {name}; the file has {have}; use --map {name}=COLUMN"
            )
        else:
            picked.append(pl.lit(None, pl.String).alias(name))
    unknown = set(context.columns) - {*columns.required, *columns.optional}
    if unknown:
        known = ", ".join((*columns.required, *columns.optional))
        raise SourceError(f"--map {sorted(unknown)[0]}=…: not a column here; expected one of {known}")
    return records.select("line", "raw", *picked)


def _votes(rows: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, Callable[[pl.DataFrame], Frames]]:
    for side in ("a", "b"):
        rows = _resolve(rows, context, f"completion_{side}", f"key_{side}", f"prompt_{side}")
    judged = _with_time(rows).with_columns(
        first_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            *(_unknown(f"completion_{s}", f"key_{s}", context) for s in "ab"),
            (pl.col("key_a") == pl.col("key_b"), "a vote between a completion and itself"),
            (
                pl.col("prompt_a") != pl.col("prompt_b"),
                "the two completions answer different prompts",
            ),
            (~pl.col("choice").is_in(["a", "b", "tie"]).fill_null(False), _got("choice", "a, b or tie")),
            (~pl.col("shown_first").is_in(["a", "b"]), _got("shown_first", "a or b")),
            _bad_time(),
        )
    )

    def tables(good: pl.DataFrame) -> Frames:
        good, annotators = _annotators(good, context)
        votes = good.with_columns(
            pl.col("key_a").alias("completion_a"), pl.col("key_b").alias("completion_b")
        )
        return {"annotators": annotators, "votes": votes}

    return judged, tables


def _ratings(rows: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, Callable[[pl.DataFrame], Frames]]:
    rows = _resolve(rows, context, "completion", "key_c", "prompt_c")
    if context.levels is not None:
        rows = rows.with_columns(pl.col("levels").fill_null(str(context.levels)))
    rows = rows.with_columns(_whole("levels").alias("k"), _whole("value").alias("v"))
    judged = _with_time(rows).with_columns(
        first_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            _unknown("completion", "key_c", context),
            (pl.col("criterion").is_null(), "'criterion' is empty"),
            (pl.col("k").fill_null(0) < 2, _got("levels", "a whole number from 2 (or use --levels)")),
            (
                ~pl.col("v").is_between(1, pl.col("k")).fill_null(False),
                pl.format("value is '{}', expected 1 to {}", pl.col("value").fill_null(""), "k"),
            ),
            _bad_time(),
        )
    )

    def tables(good: pl.DataFrame) -> Frames:
        good, annotators = _annotators(good, context)
        ratings = good.with_columns(
            pl.col("key_c").alias("completion"), pl.col("k").alias("levels"), pl.col("v").alias("value")
        )
        rubrics = (
            ratings.group_by("source", "criterion")
            .agg(pl.col("levels").max())
            .with_columns(pl.lit(True).alias("higher_is_better"), pl.lit(1.0).alias("weight"))
        )
        return {"annotators": annotators, "ratings": ratings, "rubrics": rubrics}

    return judged, tables


def _outcomes(rows: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, Callable[[pl.DataFrame], Frames]]:
    rows = _resolve(rows, context, "completion", "key_c", "prompt_c")
    censored = pl.col("censored").str.to_lowercase().fill_null("false")
    truth = censored.replace_strict(
        {"true": True, "1": True, "false": False, "0": False}, default=None, return_dtype=pl.Boolean
    )
    value = pl.col("value").cast(pl.Float64, strict=False)
    success = pl.col("measure") == "success"
    judged = _with_time(rows.with_columns(truth.alias("c"), value.alias("v"))).with_columns(
        first_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            _unknown("completion", "key_c", context),
            (
                ~pl.col("measure").is_in(["turns", "success"]).fill_null(False),
                _got("measure", "turns or success"),
            ),
            (
                ~success & ~((pl.col("v") >= 0) & (pl.col("v") % 1 == 0)).fill_null(False),
                _got("value", "a whole number of failed turns from 0"),
            ),
            (success & ~pl.col("v").is_in([0.0, 1.0]).fill_null(False), _got("value", "0 or 1")),
            (pl.col("c").is_null(), _got("censored", "true or false")),
            _bad_time(),
        )
    )

    def tables(good: pl.DataFrame) -> Frames:
        return {
            "outcomes": good.with_columns(
                pl.col("key_c").alias("completion"), pl.col("v").alias("value"), pl.col("c").alias("censored")
            )
        }

    return judged, tables


def _resolve(rows: pl.DataFrame, context: Context, column: str, key: str, prompt: str) -> pl.DataFrame:
    """Add the key of the named completion and of its prompt."""
    known = context.known.select(
        pl.col("ref").alias(column), pl.col("completion").alias(key), pl.col("prompt").alias(prompt)
    )
    return rows.join(known, on=column, how="left", maintain_order="left")


def _unknown(column: str, key: str, context: Context) -> tuple[pl.Expr, pl.Expr]:
    reason = pl.format(
        "{}: '{}' is no completion of source '{}'",
        pl.lit(column), pl.col(column).fill_null(""), pl.lit(context.about),
    )  # fmt: skip
    return pl.col(key).is_null(), reason


def _got(column: str, expected: str) -> pl.Expr:
    return pl.format(
        "{} is '{}', expected {}", pl.lit(column), pl.col(column).fill_null(""), pl.lit(expected)
    )


def _whole(column: str) -> pl.Expr:
    """Whole numbers, null for the rest; 4.0 is one, as tables with gaps write it."""
    number = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(number % 1 == 0).then(number.cast(pl.Int64, strict=False))


def _with_time(rows: pl.DataFrame) -> pl.DataFrame:
    """`at` (ISO 8601; UTC where it has no offset) parsed into `time`."""
    at = pl.col("at").str.replace(" ", "T", literal=True)
    with_offset = at.str.strptime(pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%S%.f%#z", strict=False)
    without = (
        at.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
    )
    time = pl.coalesce(with_offset, *without)
    return rows.with_columns(pl.when(time.dt.year().is_between(1, 9999)).then(time).alias("time"))


def _bad_time() -> tuple[pl.Expr, pl.Expr]:
    unread = pl.col("at").is_not_null() & pl.col("time").is_null()
    return unread, _got("at", "an ISO 8601 time such as 2026-05-04T10:00:00Z")


def _annotators(good: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with `annotator` as a key of its pseudonym, and the annotators; the time under its own name."""
    people = good.select(pl.col("annotator").alias("pseudonym")).drop_nulls().unique().sort("pseudonym")
    annotators = add_key(
        people.select(pl.lit(context.about).alias("source"), pl.lit("crowd").alias("kind"), "pseudonym"),
        ANNOTATORS,
    )
    keyed = good.drop("at").rename({"annotator": "pseudonym", "time": "at"}).join(
        annotators.select("pseudonym", pl.col("key").alias("annotator")),
        on="pseudonym", how="left", maintain_order="left",
    )  # fmt: skip
    return keyed, annotators
