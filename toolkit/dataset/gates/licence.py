"""Licence: rows leave only under terms that their sources allow."""

from ....schemas.licenses import License, read_license
from ...store.connection import Store, query, run
from .gate import Gate, GateResult


def check_licence(con: Store, publish_under: str | None) -> GateResult:
    """Check that no licence of a row of `kept` forbids `publish_under`; the number counts such rows.

    All licences of a row apply, and both of one that reads A AND B. Without `publish_under` the build
    is local and passes, and is marked NOT FOR PUBLICATION.
    """
    named = """SELECT rowid AS id, unnest(licenses) AS license FROM kept"""
    counted = query(con, f"SELECT license, count(DISTINCT id) AS n FROM ({named}) GROUP BY 1 ORDER BY 1")
    names = counted["license"].to_list()
    if publish_under is None:
        of = ", ".join(names) or "none"
        return GateResult("licence", True, 0, f"local build, NOT FOR PUBLICATION (sources: {of})")
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
        return GateResult("licence", True, 0, f"every row may be published under {under.id}")
    reasons_given = [f"{n} rows: {reasons[name]}" for name, n in counted.rows() if reasons[name]]
    reasons_given += [f"{unlicensed} rows: of no source"] if unlicensed else []
    return GateResult(
        "licence",
        False,
        rows,
        f"cannot publish under {under.id}: {'; '.join(reasons_given)}; leave those sources out, "
        "change publish_under, or drop it for a local build",
    )


def _forbidden(name: str, under: License) -> str:
    """Say why data under the licences of this name may not be published under another; "" if they may."""
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


GATE = Gate("licence", lambda con, inputs: check_licence(con, inputs.recipe.publish_under))
