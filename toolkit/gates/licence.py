"""Licence: rows leave only under terms that their sources allow."""

import polars as pl

from ...schemas.licenses import License, read_license
from ...schemas.recipe import Recipe
from ..store import Store, query, run
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


def check_licences(con: Store, publish_under: str | None) -> Gate:
    """Red if a licence of a row of `kept` forbids `publish_under`; the number counts such rows.

    All licences of a row apply, and both of one that reads A AND B. Without `publish_under` the build
    is local and passes, and is marked NOT FOR PUBLICATION.
    """
    named = """SELECT rowid AS id, unnest(licenses) AS license FROM kept"""
    counted = query(con, f"SELECT license, count(DISTINCT id) AS n FROM ({named}) GROUP BY 1 ORDER BY 1")
    names = counted["license"].to_list()
    if publish_under is None:
        of = ", ".join(names) or "none"
        return Gate("licence", True, 0, f"local build, NOT FOR PUBLICATION (sources: {of})")
    under = read_license(publish_under)
    reasons = {name: _forbidden(name, under) for name in names}
    bad = [name for name in names if reasons[name]]
    ((unlicensed, rows),) = run(
        con,
        """SELECT count_if(len(licenses) IS NULL OR len(licenses) = 0),
            count_if(len(licenses) IS NULL OR len(licenses) = 0 OR list_has_any(licenses, $1::VARCHAR[]))
        FROM kept""",
        [bad],
    )
    if not rows:
        return Gate("licence", True, 0, f"every row may be published under {under.id}")
    told = [f"{n} rows: {reasons[name]}" for name, n in counted.rows() if reasons[name]]
    told += [f"{unlicensed} rows: of no source"] if unlicensed else []
    return Gate(
        "licence", False, rows,
        f"cannot publish under {under.id}: {'; '.join(told)}; leave those sources out, "
        "change publish_under, or drop it for a local build",
    )  # fmt: skip


def _forbidden(name: str, under: License) -> str:
    """Why data under the licences of this name may not be published under another; empty where they may."""
    alone = "OR" not in name.split()
    for part in name.split(" AND ") if alone else [name]:
        source = read_license(part.strip("() "))
        if not source.redistribution:
            return f"{name} may not be passed on"
        if under.commercial_use and not source.commercial_use:
            return f"{name} is non-commercial"
        if source.share_alike and source.id != under.id:
            return f"{name} must keep its own licence"
    return ""
