"""Read signals from tables: CSV, TSV, JSON Lines or Parquet, columns mapped by name.

    completion_a,completion_b,choice,annotator,kind,shown_first,at
    completion,criterion,value,levels,annotator,kind,at
    completion,learner,measure,value,censored,at

Completions are named by their id in the source that the signals are about. `choice` is a, b or
tie; `measure` is turns or success; `kind` is the annotator's (`people`). A row is a record.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl

from ....schemas.cells import CHOICES
from ....schemas.tables import ANNOTATORS, SIGNALS
from ...store.connection import add_key
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, divide, find_reason
from ..files.fields import (
    Columns,
    check_time,
    expect,
    parse_bool,
    parse_choice,
    parse_number,
    parse_time,
    parse_whole,
    select_wrong,
)
from ..files.numbered_lines import Input, OnBytes
from ..files.wide import name_cells, read_rows, restore_lines
from ..lopsided import Said, count_values
from ..people import check_kind, find_numbered, hide_ids, name_annotators, replace_ids
from .pairs import check_sides, name_sides
from .rankings import NOT_PUBLISHED, is_ranking, make_votes, read_ranking_records

SCALE_LEVELS = 11  # of ratings on another scale, such as 0 to 100, by default
PEOPLE = tuple(dict.fromkeys(signal.person for signal in SIGNALS))  # columns that name them
Frames = dict[str, pl.DataFrame]


VOTE_COLUMNS = Columns(
    ("completion_a", "completion_b", "choice"),
    ("annotator", "kind", "shown_first", "at"),
    value="choice",
    extra=("prompt",),
    asked=("completion_a", "completion_b"),
)
RATING_COLUMNS = Columns(
    ("completion", "criterion", "value"), ("levels", "annotator", "kind", "at"), value="value"
)
OUTCOME_COLUMNS = Columns(("completion", "measure", "value"), ("learner", "censored", "at"), value="value")


# What a row of these columns says.
_SAID = {
    VOTE_COLUMNS: Said("choice", pl.col("choice"), pl.col("choice").is_in(CHOICES), CHOICES),
    RATING_COLUMNS: Said(
        "value",
        pl.coalesce(pl.col("v").cast(pl.String), "value"),
        pl.col("v").is_between(1, pl.col("k")),
        of=pl.col("criterion"),
    ),
    OUTCOME_COLUMNS: Said(
        "value",
        pl.when(pl.col("measure") == "success").then(
            pl.coalesce(pl.col("v").cast(pl.Int64, strict=False).cast(pl.String), "value")
        ),
        pl.col("v").is_in([0.0, 1.0]),
        ("0", "1"),
    ),
}


def read_votes(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read votes and their annotators; from rankings, a vote for each two systems of a row."""
    if is_ranking(file, context):
        yield from _read_rankings(file, context, on_bytes)
    else:
        yield from _read(file, context, on_bytes, VOTE_COLUMNS, _votes)


def read_ratings(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read ratings, their annotators and the rubric's criteria."""
    yield from _read(file, context, on_bytes, RATING_COLUMNS, _ratings)


def read_outcomes(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read outcomes of learners."""
    yield from _read(file, context, on_bytes, OUTCOME_COLUMNS, _outcomes)


def _read_rankings(file: Input, context: Context, on_bytes: OnBytes) -> Iterator[Batch]:
    """Votes of each row, and their texts' places where these are about no other source."""
    notes = () if context.about else (NOT_PUBLISHED,)
    for records, bad in read_ranking_records(file, context, on_bytes):
        named = name_annotators(records, context, "judgeId")
        numbered = find_numbered(records["judgeId"], named["judgeId"])
        ranked, strange = divide(named, *check_kind(context))
        votes, tables, wrong = make_votes(ranked.drop("kind"), context, file.name)
        wrong = pl.concat([wrong, strange])
        kinds = named.select(pl.col("judgeId").alias("annotator"), "kind").drop_nulls("annotator").unique()
        votes = votes.join(kinds, on="annotator", how="left", maintain_order="left")
        judged, annotators = _annotators(
            votes.with_columns(
                pl.lit(context.source).alias("source"),
                pl.lit(file.name).alias("path"),
                pl.lit(None, pl.String).alias("at"),
                pl.lit(None, pl.Datetime("us", "UTC")).alias("time"),
            ),
            replace(context, about=context.about or context.source, numbered=numbered),
        )
        yield Batch(
            read=records.height + bad.height,
            taken=records.height - wrong.height,
            tables=tables | {"annotators": annotators, "votes": judged},
            rejects=collect_rejects(hide_ids(bad, select_wrong(named, wrong), named, ["judgeId"]), file.name),
            notes=notes,
        )
        notes = ()


def _read(
    file: Input,
    context: Context,
    on_bytes: OnBytes,
    columns: Columns,
    judge: Callable[[pl.DataFrame, Context], tuple[pl.DataFrame, Callable[[pl.DataFrame], Frames]]],
) -> Iterator[Batch]:
    """Map columns, let `judge` add a reason to each record, and divide taken from rejected."""
    for block in read_rows(file, context, columns, on_bytes):
        records, names = block.records, block.names
        named = (
            name_annotators(block.rows, context)
            if "annotator" in names
            else replace_ids(block.rows, context, [name for name in PEOPLE if name in names])
        )
        people = [name for name in PEOPLE if name in names and block.has_people(name)]
        if "annotator" in names:
            numbered = find_numbered(block.rows["annotator"], named["annotator"])
            context = replace(context, numbered=numbered)
        judged, tables = judge(named, context)
        wrong = name_cells(judged.filter(pl.col("reason").is_not_null()).select("line", "reason"), block)
        good = judged.filter(pl.col("reason").is_null()).with_columns(
            pl.lit(context.source).alias("source"),
            pl.lit(file.name).alias("path"),
            (pl.col("line") % block.width).alias("n"),
            pl.col("line") // block.width,
        )
        hidden = hide_ids(block.bad, select_wrong(records, wrong), named, people)
        yield Batch(
            read=block.rows.height + block.bad.height,
            taken=good.height,
            tables=tables(good),
            rejects=restore_lines(collect_rejects(hidden, file.name), block.width),
            notes=block.notes,
            values=count_values(judged, _SAID[columns]),
            met=block.met,
        )


def _votes(rows: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, Callable[[pl.DataFrame], Frames]]:
    rows = name_sides(rows, context)
    rows = rows.with_columns(parse_choice("choice"), parse_choice("shown_first"))
    # A choice may be the chosen completion's id.
    chosen = [
        (~pl.col("choice").is_in(CHOICES) & (pl.col("choice") == pl.col(f"completion_{side}")), side)
        for side in "ab"
    ]
    for is_this, side in chosen:
        rows = rows.with_columns(pl.when(is_this).then(pl.lit(side)).otherwise("choice").alias("choice"))
    for side in ("a", "b"):
        rows = _resolve(rows, context, f"completion_{side}", f"key_{side}", f"prompt_{side}")
    judged = parse_time(rows, context.date_format).with_columns(
        find_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            *check_sides(rows, context),
            *(_unknown(f"completion_{s}", f"key_{s}", context) for s in "ab"),
            (pl.col("key_a") == pl.col("key_b"), "a vote between a completion and itself"),
            (
                pl.col("prompt_a") != pl.col("prompt_b"),
                "the two completions answer different prompts",
            ),
            (~pl.col("choice").is_in(CHOICES).fill_null(False), expect("choice", "a, b or tie")),
            (~pl.col("shown_first").is_in(["a", "b"]), expect("shown_first", "a or b")),
            *check_kind(context),
            check_time(context.date_format),
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
    rows = rows.with_columns(parse_whole("levels").alias("k"), parse_whole("value").alias("v"))
    if context.scale:
        rows = rows.with_columns(pl.col("k").fill_null(SCALE_LEVELS))
        rows = rows.with_columns(_find_level(context.scale).alias("v"))
    judged = parse_time(rows, context.date_format).with_columns(
        find_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            _unknown("completion", "key_c", context),
            (pl.col("criterion").is_null(), "'criterion' is empty"),
            (pl.col("k").fill_null(0) < 2, expect("levels", "a whole number from 2 (or use --levels)")),
            (
                ~pl.col("v").is_between(1, pl.col("k")).fill_null(False),
                pl.format("value is '{}', expected {}", pl.col("value").fill_null(""), _say_scale(context)),
            ),
            *check_kind(context),
            check_time(context.date_format),
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


def _find_level(scale: tuple[float, float]) -> pl.Expr:
    """The nearest of k equally spaced levels; null for a value outside the scale."""
    least, most = scale
    number = parse_number(pl.col("value").str.replace(r"^([+-]?\d+),(\d{1,2})$", "$1.$2"))
    share = (number - least) / (most - least)
    return pl.when(share.is_between(0, 1)).then((share * (pl.col("k") - 1)).round().cast(pl.Int64) + 1)


def _say_scale(context: Context) -> pl.Expr:
    if not context.scale:
        return pl.format("1 to {}", "k")
    return pl.lit("a number from {:g} to {:g} (--scale)".format(*context.scale))


def _outcomes(rows: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, Callable[[pl.DataFrame], Frames]]:
    rows = _resolve(rows, context, "completion", "key_c", "prompt_c")
    censored = parse_bool(pl.col("censored").fill_null("false"))
    rows = rows.with_columns(pl.col("measure").str.to_lowercase())
    success = pl.col("measure") == "success"
    number = parse_number(pl.col("value"))
    value = (
        pl.when(success)
        .then(number.fill_null(parse_bool(pl.col("value")).cast(pl.Float64)))
        .otherwise(number)
    )
    judged = parse_time(
        rows.with_columns(censored.alias("c"), value.alias("v")), context.date_format
    ).with_columns(
        find_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            _unknown("completion", "key_c", context),
            (
                ~pl.col("measure").is_in(["turns", "success"]).fill_null(False),
                expect("measure", "turns or success"),
            ),
            (
                ~success & ~((pl.col("v") >= 0) & (pl.col("v") % 1 == 0)).fill_null(False),
                expect("value", "a whole number of failed turns from 0"),
            ),
            (success & ~pl.col("v").is_in([0.0, 1.0]).fill_null(False), expect("value", "0 or 1")),
            (pl.col("c").is_null(), expect("censored", "true or false")),
            check_time(context.date_format),
        )
    )

    def tables(good: pl.DataFrame) -> Frames:
        return {
            "outcomes": good.with_columns(
                pl.col("key_c").alias("completion"),
                pl.col("v").alias("value"),
                pl.col("c").alias("censored"),
                pl.col("time").alias("at"),
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
        pl.lit(column),
        pl.col(column).fill_null(""),
        pl.lit(context.about),
    )
    return pl.col(key).is_null(), reason


def _annotators(good: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with `annotator` as a key of its pseudonym, and the annotators; the time under its own name."""
    people = good.select(pl.col("annotator").alias("pseudonym"), "kind").drop_nulls("pseudonym")
    people = people.unique().sort("pseudonym", "kind")
    within = pl.when(pl.col("pseudonym").is_in(list(context.numbered))).then(pl.lit(context.about))
    annotators = add_key(
        people.select(within.alias("within"), "kind", "pseudonym"),
        ANNOTATORS,
    )
    keyed = (
        good.drop("at")
        .rename({"annotator": "pseudonym", "time": "at"})
        .join(
            annotators.select("pseudonym", pl.col("key").alias("annotator")).unique(),
            on="pseudonym",
            how="left",
            maintain_order="left",
        )
    )
    return keyed, annotators
