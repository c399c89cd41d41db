"""Prompts and answers of chats with their judgements: votes, ratings, rubrics and annotators.

chosen over rejected     -> a vote; of an arena, its winner, judge and time
a label                  -> a rating on `desirable`
ratings, ranked replies  -> ratings by criterion; a vote for each two ranked replies to one message
"""

import polars as pl

from .....schemas.tables import ANNOTATORS, COMPLETIONS, PROMPTS, RATINGS, RUBRICS, VOTES
from ....store.connection import add_key
from .answers import OVERALL
from .shapes import ANSWER, PAIR

DESIRABLE = "desirable"
_WORDINGS = {
    DESIRABLE: "Is this a desirable answer? (1: no, 2: yes)",
    OVERALL: "Overall score of the answer, from 1 to 10 in steps of 0.5 (level 1: 1, level 19: 10)",
}
_SCORES_OF = {"chosen": ("score_chosen", "margin"), "rejected": ("score_rejected",), "completion": ("score",)}
_PLACE = ("source", "path", "line")
Tables = dict[str, pl.DataFrame]


def make_judgements(rows: pl.DataFrame) -> tuple[Tables, dict[str, int]]:
    """Make the tables of pairs and single answers; also returns counts for notes, by what is counted."""
    prompts = add_key(
        rows.select(
            "source",
            pl.coalesce("parent", "id").alias("ref"),
            "task",
            "language",
            "messages",
            "group",
            "path",
            "line",
        ),
        PROMPTS,
    )
    rows = rows.with_columns(prompts["key"].alias("prompt"))
    pairs, single = rows.filter(pl.col("kind") == PAIR), rows.filter(pl.col("kind") == ANSWER)
    chosen = _completions(pairs, "answer", "chosen", "author")
    rejected = _completions(pairs, "worse", "rejected", "other_author")
    answers = _completions(single, "answer", "completion", "author")
    votes, annotators = _votes(pairs, chosen["key"], rejected["key"])
    ranked, alike = _rank(single.with_columns(answers["key"].alias("completion")))
    ratings = _ratings(single.with_columns(answers["key"].alias("completion")))
    tables = {
        PROMPTS.name: prompts.unique("key", keep="first", maintain_order=True),
        COMPLETIONS.name: pl.concat([chosen, rejected, answers]).unique(
            "key", keep="first", maintain_order=True
        ),
        ANNOTATORS.name: annotators,
        VOTES.name: pl.concat([votes, ranked], how="diagonal"),
        RATINGS.name: ratings,
        RUBRICS.name: _rubric(ratings),
    }
    left_out = single.group_by("line").agg(pl.col("left_out").first())["left_out"].sum()
    return tables, {
        "votes say that both answers are bad: read as ties": int(pairs["both_bad"].sum()),
        "answers are empty or deleted: left out": int(left_out),
        "pairs of ranked replies have equal texts: no votes": alike,
    }


def _completions(rows: pl.DataFrame, text: str, field: str, author: str) -> pl.DataFrame:
    """Equal texts of one prompt are one completion, unless they or their rows have ids."""
    several = pl.format("{}-{}", "id", pl.col("i").cast(pl.String).fill_null(field))
    return add_key(
        rows.select(
            "source",
            pl.coalesce("own", several).alias("ref"),
            "prompt",
            pl.col(text).alias("content"),
            pl.when("by_people").then(pl.lit("human")).otherwise(pl.lit("model")).alias("origin"),
            pl.col(author).alias("author"),
            pl.coalesce("about", write_scores(field)).alias("context"),
            "path",
            "line",
        ),
        COMPLETIONS,
    )


def write_scores(field: str) -> pl.Expr:
    """Write a row's scores of an answer as JSON; null if it has none."""
    names = _SCORES_OF[field]
    found = pl.any_horizontal(pl.col(name).is_not_null() for name in names)
    return pl.when(found).then(pl.struct(names).struct.json_encode()).alias("context")


def _votes(pairs: pl.DataFrame, a: pl.Series, b: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Votes of pairs, and the annotators that they name."""
    judges = (
        pairs.select(  # an arena numbers its own judges
            pl.col("source").alias("within"),
            pl.lit("crowd").alias("kind"),
            pl.col("judge").alias("pseudonym"),
        )
        .drop_nulls()
        .unique()
        .sort("pseudonym")
    )
    annotators = add_key(judges, ANNOTATORS)
    keys = annotators.select(pl.col("pseudonym").alias("judge"), pl.col("key").alias("annotator"))
    votes = (
        pairs.with_columns(a.alias("completion_a"), b.alias("completion_b"))
        .join(keys, on="judge", how="left", maintain_order="left")
        .select(
            *_PLACE,
            *("completion_a", "completion_b", "choice", "annotator"),
            pl.col("time").alias("at"),
            pl.lit(0, pl.Int64).alias("n"),
        )
    )
    return votes, annotators


def _rank(single: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Votes between ranked replies to one message; also returns how many have equal texts on both sides."""
    ranked = single.filter(pl.col("rank").is_not_null()).select(
        *_PLACE, "among", "i", "rank", "answer", "completion"
    )
    both = ranked.join(ranked, on=[*_PLACE, "among"], suffix="_b").filter(pl.col("i") < pl.col("i_b"))
    alike = pl.col("answer").str.strip_chars() == pl.col("answer_b").str.strip_chars()
    choice = (
        pl.when(pl.col("rank") < pl.col("rank_b"))
        .then(pl.lit("a"))
        .when(pl.col("rank") > pl.col("rank_b"))
        .then(pl.lit("b"))
        .otherwise(pl.lit("tie"))
    )
    votes = (
        both.filter(~alike)
        .sort("line", "i", "i_b")
        .select(
            *_PLACE,
            pl.col("completion").alias("completion_a"),
            pl.col("completion_b"),
            choice.alias("choice"),
            pl.format("{}:{}{}", "path", "line", "among").alias("ranking"),
            pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("n"),
        )
    )
    return votes, both.height - votes.height


def _ratings(single: pl.DataFrame) -> pl.DataFrame:
    """Ratings of labels, and of answers by criterion."""
    labels = single.filter(pl.col("label_type") == "BOOLEAN").select(
        *_PLACE,
        "completion",
        pl.lit(DESIRABLE).alias("criterion"),
        pl.when("desirable").then(2).otherwise(1).cast(pl.Int64).alias("value"),
        pl.lit(2, pl.Int64).alias("levels"),
    )
    rated = (
        single.select(*_PLACE, "i", "completion", "ratings")
        .explode("ratings")
        .drop_nulls("ratings")
        .unnest("ratings")
        .select(
            *_PLACE,
            "completion",
            "criterion",
            pl.col("value").cast(pl.Int64),
            pl.col("levels").cast(pl.Int64),
        )
    )
    return pl.concat([labels, rated]).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("n")
    )


def _rubric(ratings: pl.DataFrame) -> pl.DataFrame:
    return (
        ratings.select("source", "criterion", "levels")
        .unique(maintain_order=True)
        .with_columns(
            pl.col("criterion")
            .replace_strict(_WORDINGS, default=None, return_dtype=pl.String)
            .alias("wording"),
            pl.lit(True).alias("higher_is_better"),
            pl.lit(1.0).alias("weight"),
        )
    )
