"""Read where the chains of a stored fit ended."""

import json

import polars as pl

from ...store.connection import Store, query
from ..sampling.warm_start import Ends, sort_ends


def find_last_ends(con: Store, sources: list[str]) -> tuple[str, Ends | None]:
    """Read the key of the last converged fit of these sources, and its final states."""
    fits = query(
        con,
        """SELECT key, config FROM fits
        WHERE converged AND key IN (SELECT fit FROM chain_ends) ORDER BY fitted_at DESC, key""",
    ).rows()
    for name, config in fits:
        if json.loads(config)["sources"] == sources:
            return name, read_ends(con, name)
    return "", None


def read_ends(con: Store, fit: str) -> Ends:
    """Read the final states of a fit that has them, by its key."""
    rows = query(
        con, "SELECT site, member, ends, covariance FROM chain_ends WHERE fit = ?", [fit]
    ).with_columns(pl.col("ends", "covariance").str.json_decode(pl.List(pl.Float64)))
    ((diagnostics,),) = query(con, "SELECT diagnostics FROM fits WHERE key = ?", [fit]).rows()
    return Ends(sort_ends(rows), json.loads(diagnostics)["leapfrogs"])
