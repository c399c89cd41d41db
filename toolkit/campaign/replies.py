"""Replies of models: table `replies`, the record of what was asked and the cache of what need not be.

openai:gpt-4o-mini  3f2c…  1  {"preference": "first"}   a reply that is there is never asked for again
"""

from collections.abc import Sequence

import polars as pl

from ...schemas.derive import derive_polars_schema
from ...schemas.tables import REPLIES
from ..store.connection import Store, insert, query


def known_replies(con: Store, model: str, requests: Sequence[str]) -> pl.DataFrame:
    """All replies of a model to these requests (their digests): columns of `replies`, by request and nth."""
    if not requests:
        return pl.DataFrame(schema=derive_polars_schema(REPLIES))
    wanted = pl.DataFrame({"request": list(requests)}, schema={"request": pl.String})
    con.register("wanted", wanted.to_arrow())
    try:
        return query(
            con,
            "SELECT * FROM replies WHERE model = ? AND request IN (FROM wanted) ORDER BY request, nth",
            [model],
        )
    finally:
        con.unregister("wanted")


def keep_replies(con: Store, rows: pl.DataFrame) -> int:
    """Add replies within the caller's transaction; what is there already stays. How many were added.

    `rows` has the columns of `replies` but the key; those that may be null may be left out.
    """
    return insert(con, REPLIES, rows)
