"""Rows of answer forms that could not be taken: table `rejects` of a campaign.

week-1/5f0c2ab1d94e77a3/ada.csv:7: 'preference' is 'C'; expected A, B or tie
"""

from collections.abc import Iterable

import polars as pl

from ...schemas.tables import REJECTS
from ..privacy.pseudonyms import default_key_file, is_forgotten, naming
from ..store.connection import Store, insert, run, transaction


def store_form_rejects(
    con: Store, campaign: str, file: str, rejects: pl.DataFrame, annotators: Iterable[str]
) -> None:
    """Keep what a form's rows were rejected for, in place of what an earlier import of it left there.

    `rejects` has annotator (their own id, or null), line, raw, reason; `annotators` are all who filled
    in the form. The path is campaign, pseudonym, file: no name enters the store, and nothing of whoever
    was forgotten.
    """
    with transaction(con):
        name = naming(con, default_key_file())
        everybody = name(
            pl.Series(sorted({*annotators, *rejects["annotator"].drop_nulls()}), dtype=pl.String)
        )
        places = [f"{campaign}/{file}", *(f"{campaign}/{who}/{file}" for who in everybody)]
        named = name(rejects["annotator"])
        rows = (
            rejects.drop("annotator")
            .with_columns(named.alias("who"), is_forgotten(con)(named).alias("gone"))
            .filter(~pl.col("gone"))
            .select(
                pl.lit(campaign).alias("source"),
                _path(campaign, file),
                "line",
                "raw",
                "reason",
            )
            .group_by("source", "path", "line", "reason", maintain_order=True)
            .agg(pl.col("raw").str.join("\n"))
        )
        run(
            con,
            "DELETE FROM rejects WHERE source = ? AND list_contains(?::VARCHAR[], path)",
            [campaign, places],
        )
        insert(con, REJECTS, rows)
        run(
            con,
            "UPDATE sources SET rejects = (SELECT count(*) FROM rejects WHERE source = $name) "
            "WHERE name = $name",
            {"name": campaign},
        )


def _path(campaign: str, file: str) -> pl.Expr:
    """Campaign, the pseudonym in `who` where there is one, file."""
    parts = (pl.lit(campaign), pl.col("who"), pl.lit(file))
    return pl.concat_str(*parts, separator="/", ignore_nulls=True).alias("path")
