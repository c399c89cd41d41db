"""Learners' answers in order, as the mastery model takes them: which skills each one used, and how long ago.

A question is an item with its set of skills; an item without skills is a skill itself. Components are what a
learner's state consists of: skills, and for sets of several skills the set (solving them together is an
ability of its own).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SEPARATOR = "\x1f"  # between the skills of a set's name
FEATURES = 13  # columns of `describe_moments`
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Answers:
    """Answers, learner after learner, each learner's in order; `row` numbers them from 0.

    `rows`: row, learner (index), turn (from 0 in each learner), question (index), right (0 or 1), day (float,
    null where not known), key (of the review). `touches`, one row per answer and component: row, component
    (index), weight (in the answer's ability), skill (false: a set), nth (answers with it before), gap
    (answers since) and days (since, 0 where not known).
    """

    learners: list[str]
    components: list[str]  # names; skills first
    skills: int  # how many components are skills
    questions: pl.DataFrame  # item, skills (list of names), in the order of their index
    rows: pl.DataFrame
    touches: pl.DataFrame

    def keep(self, learners: Ints) -> "Answers":
        """Keep the answers of these learners (indices, (n,)), with all components and questions."""
        kept = self.rows.filter(pl.col("learner").is_in(learners.tolist())).with_columns(
            pl.int_range(pl.len(), dtype=pl.Int64).alias("new")
        )
        places = kept.select("row", "new")
        touches = self.touches.join(places, on="row").drop("row").rename({"new": "row"}).sort("row")
        return replace(self, rows=kept.drop("row").rename({"new": "row"}), touches=touches)


def order_answers(
    events: pl.DataFrame,
    components: Sequence[str] = (),
    questions: pl.DataFrame | None = None,
) -> Answers:
    """Order events: learner, item, skills (list or null), correct, at (null where not known), key.

    Events of a learner come in their order. With `components` and `questions` of an earlier fit, these keep
    their indices, and new ones follow.
    """
    named = events.with_columns(
        pl.coalesce(pl.col("skills").list.eval(pl.element().sort()), pl.concat_list("item")).alias("skills")
    ).with_columns(pl.col("skills").list.join(SEPARATOR).alias("set"))
    first = pl.DataFrame({"name": list(components)}, schema={"name": pl.String})
    skills = named.select(pl.col("skills").explode().alias("name")).unique(maintain_order=True)
    sets = (
        named.filter(pl.col("skills").list.len() > 1)
        .select(pl.col("set").alias("name"))
        .unique(maintain_order=True)
    )
    old_sets = first["name"].str.contains(SEPARATOR, literal=True)
    names = pl.concat([first.filter(~old_sets), skills, first.filter(old_sets), sets]).unique(
        maintain_order=True
    )
    index = names.with_row_index("component").with_columns(pl.col("component").cast(pl.Int64))
    asked = named.select("item", "set").unique(maintain_order=True)
    if questions is not None:
        asked = pl.concat([questions.select("item", "set"), asked]).unique(maintain_order=True)
    numbered = asked.with_row_index("question").with_columns(pl.col("question").cast(pl.Int64))
    rows = (
        named.with_row_index("row")
        .join(numbered, on=["item", "set"], how="left", maintain_order="left")
        .select(
            pl.col("row").cast(pl.Int64),
            (pl.col("learner").rle_id()).cast(pl.Int64).alias("learner"),
            pl.int_range(pl.len(), dtype=pl.Int64).over("learner").alias("turn"),
            "question",
            pl.col("correct").cast(pl.Float64).alias("right"),
            (pl.col("at").cast(pl.Datetime("us")).cast(pl.Int64) / _DAY_US).alias("day"),
            "key",
        )
    )
    touches = _touch(named, index, rows)
    n_skills = int((~names["name"].str.contains(SEPARATOR, literal=True)).sum())
    return Answers(
        named["learner"].unique(maintain_order=True).to_list(),
        names["name"].to_list(),
        n_skills,
        asked.with_columns(pl.col("set").str.split(SEPARATOR).alias("skills")),
        rows,
        touches,
    )


def _touch(named: pl.DataFrame, index: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Which components each answer uses; see `Answers.touches`."""
    numbered = named.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    single = numbered.select(
        "row", pl.col("skills").alias("name"), pl.col("skills").list.len().alias("n")
    ).explode("name")
    together = numbered.filter(pl.col("skills").list.len() > 1).select("row", pl.col("set").alias("name"))
    used = pl.concat(
        [
            single.select("row", "name", (1 / pl.col("n")).alias("weight"), pl.lit(True).alias("skill")),
            together.select("row", "name", pl.lit(1.0).alias("weight"), pl.lit(False).alias("skill")),
        ]
    )
    of = ["learner", "component"]
    return (
        used.join(index, on="name", how="left")
        .join(rows.select("row", "learner", "turn", "day"), on="row", how="left")
        .sort("row", "component")
        .with_columns(
            pl.int_range(pl.len(), dtype=pl.Int64).over(of).alias("nth"),
            (pl.col("turn") - pl.col("turn").shift(1).over(of) - 1).fill_null(0).clip(0).alias("gap"),
            (pl.col("day") - pl.col("day").shift(1).over(of)).fill_null(0.0).clip(0.0).alias("days"),
        )
        .select("row", "learner", "component", "weight", "skill", "nth", "gap", "days")
    )


def describe_moments(answers: Answers) -> Floats:
    """Describe what is known before each answer, beside the state: (answers, FEATURES).

    Last answer right and wrong on the same skills, right on others; first try; log of tries, gap and
    position; position in a block of the same skills; streaks of right and wrong; three right in a row; a
    return; wrong before.
    """
    same = ["learner", "set"]
    sets = answers.questions.select(pl.col("set").rank("dense").alias("set")).with_row_index("question")
    rows = answers.rows.join(
        sets.with_columns(pl.col("question").cast(pl.Int64)), on="question", how="left", maintain_order="left"
    )
    before = pl.col("right").shift(1).over(same)
    block = (pl.col("set") != pl.col("set").shift(1).over("learner")).fill_null(True)
    rows = rows.with_columns(
        pl.col("right").shift(1).over("learner").fill_null(-1).alias("last"),
        (~block).alias("again"),
        block.cast(pl.Int64).cum_sum().over("learner").alias("block"),
        pl.int_range(pl.len()).over(same).alias("nth"),
        (pl.col("turn") - pl.col("turn").shift(1).over(same) - 1).fill_null(0).alias("gap"),
        before.fill_null(-1).alias("before"),
        (pl.col("right") != before).fill_null(True).cast(pl.Int64).cum_sum().over(same).alias("run"),
    )
    rows = rows.with_columns(
        pl.int_range(pl.len()).over(["learner", "block"]).alias("position"),
        (pl.int_range(pl.len()).over([*same, "run"]) + 1).alias("length"),
    ).with_columns(pl.col("length").shift(1).over(same).fill_null(0).alias("streak"))
    won, lost = pl.col("before") == 1, pl.col("before") == 0
    gap = pl.col("gap")
    columns = [
        pl.col("again") & (pl.col("last") == 1),
        pl.col("again") & (pl.col("last") == 0),
        ~pl.col("again") & (pl.col("last") == 1),
        pl.col("nth") == 0,
        pl.col("nth").log1p(),
        gap.log1p(),
        pl.col("turn").log1p() / 3,
        pl.col("position").log1p(),
        pl.when(won).then(pl.col("streak").clip(0, 4) / 2).otherwise(0),
        pl.when(lost).then(pl.col("streak").clip(0, 4) / 2).otherwise(0),
        won & (pl.col("streak") >= 3),
        gap > 0,
        lost & (pl.col("streak") == 1),
    ]
    named = [column.cast(pl.Float64).alias(f"x{k}") for k, column in enumerate(columns)]
    return rows.sort("row").select(named).to_numpy()
