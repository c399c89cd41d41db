"""Keep replies of models in table `replies`, as a record and a cache.

openai:gpt-4o-mini  3f2c…  1  {"preference": "first"}   a kept reply is never requested again
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ...annotation.models.memory import KnownReplies, sort_replies
from ...annotation.models.requests import Reply, make_row
from ...schemas.derive import derive_polars_schema
from ...schemas.tables import REPLIES
from ..store.connection import Store, insert, query, transaction


@dataclass(frozen=True)
class ReplyTable:
    """A memory of one model in the store; `source`, `purpose` and `template` are those of new rows.

    `about` names the columns of `replies` that the requests' `about` holds, in their order.
    """

    con: Store
    model: str
    source: str
    purpose: str
    template: str
    about: tuple[str, ...]

    def find(self, digests: Sequence[str]) -> KnownReplies:
        """Find the kept replies to these requests: rows of `replies` of all sources."""
        return sort_replies(find_replies(self.con, self.model, digests).iter_rows(named=True))

    def keep(self, replies: Sequence[Reply]) -> None:
        """Add replies in one transaction."""
        rows = [dict(zip(self.about, one.request.about, strict=True)) | make_row(one) for one in replies]
        frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(
            source=pl.lit(self.source),
            purpose=pl.lit(self.purpose),
            model=pl.lit(self.model),
            template=pl.lit(self.template),
        )
        with transaction(self.con):
            keep_replies(self.con, frame)


def find_replies(con: Store, model: str, requests: Sequence[str]) -> pl.DataFrame:
    """Find all replies of a model to these requests, given their digests.

    Columns of `replies`, by request and nth.
    """
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
    """Add replies within the caller's transaction; existing ones are kept. Return how many were added.

    `rows` has the columns of `replies` but the key; nullable ones may be left out.
    """
    return insert(con, REPLIES, rows)
