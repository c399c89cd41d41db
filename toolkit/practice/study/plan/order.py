"""In which order new items come to each learner.

fsrs        an order of each learner's own, by chance
recommend   by expected gain, where a fit of mastery knows the learner; by level for everybody else

Orders change at a push alone; items that are due are FSRS's, whichever it is.
"""

from datetime import datetime

import polars as pl

from ....store.connection import Store
from ...learners.recommend import LEVELS, find_level, order_items

FSRS, RECOMMEND = "fsrs", "recommend"
EVERYBODY = ""  # stands for learners without an order of their own


def compute_places(con: Store, items: pl.DataFrame, people: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """Compute places of items (id, skills, level) for people (person, learner): person, item, place.

    Person EVERYBODY has the order by level, from A1; items of one level have the same place, and those whose
    level is not known come last.
    """
    asked = items.select(pl.col("id").alias("item"), "skills", "level")
    ranked = order_items(con, people["learner"].to_list(), asked, at)
    own = ranked.join(people, on="learner").select("person", "item", "place")
    by_level = asked.select(
        pl.lit(EVERYBODY).alias("person"), "item", find_level("level").fill_null(len(LEVELS)).alias("place")
    )
    return pl.concat([by_level, own])
