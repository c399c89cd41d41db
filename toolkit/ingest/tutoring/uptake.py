"""Uptake: how far a teacher's reply builds on a student's words, rated by up to three raters.

    obs_id,exchange_idx,student_text,teacher_text,…,uptake,uptake_num_agree,uptake_majority,uptake_zscore
    4,65,And then we had to …,Why did you add them?,…,1.6666666666666667,2,2.0,0.41

Demszky et al. (ACL 2021). Published are the raters' average, how many agree at most, and the value of
those (blank where no two do). Up to three raters can have answered in few ways, so the single ratings
are known if only one set fits all three numbers; if several do, there are none and the numbers stay in
the completion's context. Blank is not rated. The transcript (obs_id) is the group. A row is a record.
"""

from collections.abc import Iterator
from itertools import combinations_with_replacement

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import COMPLETIONS, PROMPTS, RATINGS, RUBRICS
from ...store.connection import add_key, drop_nulls
from ..batch import Batch, Context, collect_rejects, divide, find_repeats, make_no_ids
from ..files.delimited import read_records
from ..files.numbered_lines import Input, OnBytes
from .turns import TASK, USER

_RATERS = 3
_LEVELS = {"uptake": 3, "teacher_on_task": 2, "student_on_task": 2}
_RATED = ("uptake", "teacher_on_task")  # the reply; the third is about the student's words
_PUBLISHED = ("num_agree", "majority", "zscore")
_TEXTS = ("obs_id", "exchange_idx", "student_text", "teacher_text")
_NEEDED = (
    *_TEXTS,
    *(name for field in _RATED for name in (field, f"{field}_num_agree", f"{field}_majority")),
)
_WORDING = {
    "uptake": "How far does the teacher's reply take up what the student said? "
    "1: not at all, 2: somewhat, 3: it builds on the student's idea.",
    "teacher_on_task": "Is the teacher's reply about the lesson's subject? 1: no, 2: yes.",
}
_SIXTHS = 2 * _RATERS  # every average of one, two or three whole numbers is a whole number of these


def read_uptake(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the prompts, completions, ratings and rubrics of one file.

    Raises SourceError if a column is missing or the file cannot be read.
    """
    seen_refs, seen_prompts = make_no_ids(), make_no_ids()
    open_rows = dict.fromkeys(_RATED, 0)
    for records, bad in read_records(file, on_bytes=on_bytes):
        rows = _recovered(_numbers(_named(file, records)))
        again, seen_refs = find_repeats(rows.select("line", pl.col("ref").alias("id")), seen_refs)
        good, wrong = divide(rows.join(again, on="line", how="left", maintain_order="left"), *_checks())
        prompts = _prompts(good, context, file.name)
        told = prompts.select("line", pl.col("key").alias("id"))
        again, seen_prompts = find_repeats(told, seen_prompts)
        later = good.select("line").join(again, on="line", how="left", maintain_order="left")["first"]
        answers = good.with_columns(prompts["key"].alias("prompt"), told_before=later.is_not_null())
        tables = {PROMPTS.name: prompts, **_answers(answers, context, file.name)}
        yield Batch(
            records.height + bad.height, good.height, tables, collect_rejects([bad, wrong], file.name)
        )
        for field in _RATED:
            open_rows[field] += good.filter(pl.col(f"{field}_ways") > 1).height
    notes = [
        f"{file.name}: in {n} rows several sets of ratings fit the numbers for {field}: "
        "no ratings there, the published numbers are in the completion's context"
        for field, n in open_rows.items()
        if n
    ]
    yield Batch(0, 0, {}, collect_rejects([], file.name), tuple(notes))


def list_ways(levels: int) -> pl.DataFrame:
    """List how raters can have answered: sixths (average), agree, majority, ratings (from 0, ascending),
    ways.

    One row for each three numbers that can be published; `ways` counts the sets of ratings that give them,
    and `ratings` is the set if it is the only one.
    """
    sets = pl.DataFrame(
        {
            "ratings": [
                list(s)
                for n in range(1, _RATERS + 1)
                for s in combinations_with_replacement(range(levels), n)
            ]
        },
        schema={"ratings": pl.List(pl.Int64)},
    ).with_row_index("set")
    counts = sets.explode("ratings").group_by("set", "ratings").len().sort("set", "len")
    most = counts.group_by("set").agg(
        pl.col("len").last().cast(pl.Int64).alias("agree"),
        pl.when(pl.col("len").last() > 1).then(pl.col("ratings").last()).alias("majority"),
    )
    published = sets.join(most, on="set").with_columns(
        (pl.col("ratings").list.sum() * _SIXTHS // pl.col("ratings").list.len()).alias("sixths")
    )
    return (
        published.group_by("sixths", "agree", "majority")
        .agg(pl.len().cast(pl.Int64).alias("ways"), pl.col("ratings").first())
        .with_columns(pl.when(pl.col("ways") == 1).then("ratings"))
    )


def _named(file: Input, records: pl.DataFrame) -> pl.DataFrame:
    """The columns we know, stripped; those that may be absent become null."""
    missing = [name for name in _NEEDED if name not in records.columns]
    if missing:
        raise SourceError(f"{file.path}: no column {', '.join(missing)}; expected uptake_data.csv's columns")
    wanted = [name for field in _LEVELS for name in (field, *(f"{field}_{end}" for end in _PUBLISHED))]
    return records.select(
        "line",
        "raw",
        *(
            (pl.col(n) if n in records.columns else pl.lit(None, pl.String))
            .str.strip_chars()
            .replace("", None)
            .alias(n)
            for n in (*_TEXTS, *wanted)
        ),
        pl.format(
            "{}-{}", pl.col("obs_id").str.strip_chars(), pl.col("exchange_idx").str.strip_chars()
        ).alias("ref"),
    )


def _numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """Numbers for texts; `unread` is the first field that is not one."""
    fields = [name for field in _LEVELS for name in (field, *(f"{field}_{end}" for end in _PUBLISHED))]
    number = {name: pl.col(name).cast(pl.Float64, strict=False) for name in fields}
    number = {name: pl.when(value.is_finite()).then(value) for name, value in number.items()}
    unread = [
        pl.when(pl.col(name).is_not_null() & value.is_null()).then(
            pl.format("{} is '{}', expected a number", pl.lit(name), pl.col(name))
        )
        for name, value in number.items()
    ]
    return rows.with_columns(pl.coalesce(unread).alias("unread"), **number)


def _recovered(rows: pl.DataFrame) -> pl.DataFrame:
    """Add FIELD_ways (sets of ratings that fit; 0 without ratings) and FIELD_ratings."""
    for field, levels in _LEVELS.items():
        sixths = pl.col(field) * _SIXTHS
        whole = pl.when((sixths - sixths.round()).abs() < 1e-6).then(
            sixths.round().cast(pl.Int64, strict=False)
        )
        keys = {
            "sixths": whole,
            "agree": _whole(f"{field}_num_agree"),
            "majority": _whole(f"{field}_majority"),
        }
        possible = list_ways(levels).rename({"ways": f"{field}_ways", "ratings": f"{field}_ratings"})
        unrated = pl.col(field).is_null() & pl.col(f"{field}_majority").is_null()
        unrated &= pl.col(f"{field}_num_agree").fill_null(1).is_in([0.0, 1.0])  # the file writes 1
        rows = (
            rows.with_columns(**keys)
            .join(possible, on=list(keys), how="left", nulls_equal=True, maintain_order="left")
            .drop(list(keys))
            .with_columns(pl.when(unrated).then(0).otherwise(f"{field}_ways").alias(f"{field}_ways"))
        )
    return rows


def _whole(name: str) -> pl.Expr:
    """Whole numbers; -1, which fits nothing, for others, so that null stays for blank."""
    value = pl.col(name)
    small = (value % 1 == 0) & value.is_between(0, _SIXTHS)
    return (
        pl.when(value.is_null()).then(None).when(small).then(value.cast(pl.Int64, strict=False)).otherwise(-1)
    )


def _checks() -> list[tuple[pl.Expr, pl.Expr | str]]:
    empty = [(pl.col(name).is_null(), f"'{name}' is empty") for name in _TEXTS]
    outside = [
        (
            ~pl.col(field).is_between(0, levels - 1),
            pl.format(f"{field} is {{}}, expected 0 to {levels - 1}", pl.col(field)),
        )
        for field, levels in _LEVELS.items()
    ]
    impossible = [
        (
            pl.col(f"{field}_ways").is_null(),
            pl.format(
                f"no {_RATERS} raters or fewer give {field} {{}} with {{}} who agree and majority {{}}",
                *(
                    pl.col(n).cast(pl.String).fill_null("blank")
                    for n in (field, f"{field}_num_agree", f"{field}_majority")
                ),
            ),
        )
        for field in _LEVELS
    ]
    return [
        *empty,
        (pl.col("first").is_not_null(), pl.format("this exchange is already on line {}", "first")),
        (pl.col("unread").is_not_null(), pl.col("unread")),
        *outside,
        *impossible,
    ]


def _prompts(good: pl.DataFrame, context: Context, path: str) -> pl.DataFrame:
    """Make the prompts: the student's words."""
    message = pl.struct(pl.lit(USER).alias("role"), pl.col("student_text").alias("content"))
    about = good.select(pl.struct(_students()).struct.json_encode().alias("context")).to_series()
    return add_key(
        good.select(
            pl.lit(context.source).alias("source"),
            "ref",
            pl.lit(TASK).alias("task"),
            pl.lit(context.language).alias("language"),
            pl.concat_list(message).alias("messages"),
            pl.col("obs_id").alias("group"),
            drop_nulls(about),
            pl.lit(path).alias("path"),
            "line",
        ),
        PROMPTS,
    )


def _students() -> list[str]:
    return ["student_on_task", *(f"student_on_task_{end}" for end in _PUBLISHED)]


def _answers(good: pl.DataFrame, context: Context, path: str) -> dict[str, pl.DataFrame]:
    """Make the completions: the teacher's replies, and their ratings."""
    here = (pl.lit(context.source).alias("source"), pl.lit(path).alias("path"))
    completions = add_key(
        good.select(
            *here,
            "ref",
            "prompt",
            pl.col("teacher_text").alias("content"),
            pl.lit("human").alias("origin"),
            pl.lit(None, pl.String).alias("author"),
            drop_nulls(good.select(_context().alias("context")).to_series()),
            "line",
        ),
        COMPLETIONS,
    )
    keyed = good.with_columns(completions["key"].alias("completion"))
    ratings = pl.concat(
        keyed.select(
            *here,
            "line",
            "completion",
            pl.lit(field).alias("criterion"),
            pl.lit(_LEVELS[field], pl.Int64).alias("levels"),
            (pl.col(f"{field}_ratings").list.eval(pl.element() + 1)).alias("value"),
        )
        .drop_nulls("value")
        .explode("value")
        for field in _RATED
    )
    number = pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("n")
    rubrics = pl.DataFrame(
        [(context.source, field, _WORDING[field], _LEVELS[field], True, 1.0) for field in _RATED],
        schema=["source", "criterion", "wording", "levels", "higher_is_better", "weight"],
        orient="row",
    )
    return {
        COMPLETIONS.name: completions,
        RATINGS.name: ratings.with_columns(number),
        RUBRICS.name: rubrics.head(len(_RATED) if good.height else 0),
    }


def _context() -> pl.Expr:
    """Write the facts that the ratings do not contain: z-scores, and numbers that several sets of ratings
    fit.

    Exchanges of one transcript in which the student says the same share a prompt, whose context is that of
    the first; the raters' numbers about the student's words in a later one are kept here.
    """
    kept: list[pl.Expr] = []
    for field in _RATED:
        kept += [
            pl.when(pl.col(f"{field}_ways") > 1).then(name).alias(name)
            for name in (field, f"{field}_num_agree", f"{field}_majority")
        ]
        kept.append(pl.col(f"{field}_zscore"))
    kept += [pl.when("told_before").then(name).alias(name) for name in _students()]
    return pl.struct(kept).struct.json_encode()
