"""Licence: rows leave only under terms that their sources allow."""

from ...schemas.licenses import read_license
from ...schemas.recipe import Recipe
from ..store import Store, run
from .gate import Gate


def check_licence(con: Store, recipe: Recipe) -> Gate:
    """Red if a row's licence forbids `publish_under`; the number counts such rows.

    Without `publish_under` the build is local and passes, and is marked NOT FOR PUBLICATION.
    """
    combined = run(con, "SELECT licenses, count(*) FROM kept GROUP BY 1 ORDER BY 1")
    counted = sorted({name for names, _ in combined for name in names})
    if recipe.publish_under is None:
        names = ", ".join(counted) or "none"
        return Gate("licence", True, 0, f"local build, NOT FOR PUBLICATION (sources: {names})")
    under = read_license(recipe.publish_under)
    forbidden: set[str] = set()
    reasons = []
    for name in counted:
        source = read_license(name)
        if not source.redistribution:
            reason = f"{name} may not be passed on"
        elif under.commercial_use and not source.commercial_use:
            reason = f"{name} is non-commercial"
        elif source.share_alike and source.id != under.id:
            reason = f"{name} must keep its own licence"
        else:
            continue
        forbidden.add(name)
        reasons.append(f"{sum(n for names, n in combined if name in names):,} rows: {reason}")
    if not forbidden:
        return Gate("licence", True, 0, f"every row may be published under {under.id}")
    return Gate(
        "licence",
        False,
        sum(n for names, n in combined if forbidden & set(names)),
        f"cannot publish under {under.id}: {'; '.join(reasons)}; leave those sources out, "
        "change publish_under, or drop it for a local build",
    )
