"""Licence: rows leave only under terms that their sources allow."""

import polars as pl

from ...schemas.licenses import read_license
from ...schemas.recipe import Recipe
from .gate import Gate


def check_licence(pairs: pl.DataFrame, recipe: Recipe) -> Gate:
    """Red if a row's licence forbids `publish_under`; the number counts such rows.

    Without `publish_under` the build is local and passes, and is marked NOT FOR PUBLICATION.
    """
    named = pairs.select("key", pl.col("licenses").alias("license")).explode("license")
    counted = named.group_by("license").agg(pl.col("key")).sort("license")
    if recipe.publish_under is None:
        names = ", ".join(counted["license"]) or "none"
        return Gate("licence", True, 0, f"local build, NOT FOR PUBLICATION (sources: {names})")
    under = read_license(recipe.publish_under)
    forbidden: set[str] = set()
    reasons = []
    for name, rows in counted.rows():
        source = read_license(name)
        if not source.redistribution:
            reason = f"{name} may not be passed on"
        elif under.commercial_use and not source.commercial_use:
            reason = f"{name} is non-commercial"
        elif source.share_alike and source.id != under.id:
            reason = f"{name} must keep its own licence"
        else:
            continue
        forbidden.update(rows)
        reasons.append(f"{len(rows)} rows: {reason}")
    if not forbidden:
        return Gate("licence", True, 0, f"every row may be published under {under.id}")
    return Gate(
        "licence",
        False,
        len(forbidden),
        f"cannot publish under {under.id}: {'; '.join(reasons)}; leave those sources out, "
        "change publish_under, or drop it for a local build",
    )
