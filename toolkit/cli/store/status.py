"""`preceptor status`: what the store holds."""

from typing import TYPE_CHECKING, Any

import click

from ....schemas.licenses import NONE_STATED
from ....schemas.support.text import dump_json
from ..options import Common, common, make_table, open_stdout, say

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("--rejects", metavar="SOURCE", help="List the rejected rows of this source.")
@common
def status(settings: Common, as_json: bool, rejects: str | None) -> None:
    """Show sources, licences, rows, rejects, fits and builds."""
    from ...store.connection import open_store, query
    from ...store.rejects import count_rejects, list_rejects
    from ...store.status import status as read_status
    from ...store.where import check_names

    with open_store(settings.store, read_only=True) as con:
        if rejects:
            have = query(con, "SELECT name FROM sources ORDER BY 1")["name"]
            check_names("--rejects", [rejects], have, "source")
            rows = query(
                con,
                "SELECT path, line, reason, raw FROM rejects WHERE source = ? ORDER BY path, line",
                [rejects],
            ).to_dicts()
            if as_json:
                say(dump_json(rows))
            else:
                _say_rejects(open_stdout(), rejects, rows, list_rejects(count_rejects(con, rejects)))
            return
        found = read_status(con)
    if as_json:
        say(dump_json(found))
    else:
        _say(open_stdout(), found)


def _say_rejects(out: "Console", source: str, rows: list[dict[str, Any]], kinds: list[str]) -> None:
    for row in rows:
        out.print(f"{row['path']}:{row['line']}: {row['reason']}: {row['raw'][:100]}")
    for line in kinds:
        out.print(f"  {line}")
    out.print(f"{len(rows):,} rejected rows in {source}")


def _say(out: "Console", found: dict[str, Any]) -> None:
    from ...fusion.findings.summary import has_both_sides

    out.print(
        make_table(
            "sources",
            ("name", "read as", "licence", "publish", "rows ", "rejects "),
            (
                (
                    s["name"],
                    s["reader"],
                    _licence(s["license"]),
                    "yes" if s["redistribution"] else "no",
                    f"{s['rows']:,}",
                    f"{s['rejects']:,}",
                )
                for s in found["sources"]
            ),
        )
    )
    for s in found["sources"]:
        for note in (s["notes"] or "").splitlines():
            out.print(f"note on {s['name']}: {note}")
    if found["rejects"]:
        out.print(
            make_table(
                "rejects (preceptor status --rejects SOURCE lists them)",
                ("source", "value", "rows ", "first", "reason"),
                (
                    (r["source"], r["value"], f"{r['rows']:,}", r["first"], r["reason"])
                    for r in found["rejects"]
                ),
            )
        )
    out.print(
        make_table("tables", ("table", "rows "), ((t, f"{n:,}") for t, n in found["tables"].items() if n))
    )
    if any(found["people"].values()):
        out.print("people: " + ", ".join(f"{n:,} {who}" for who, n in found["people"].items() if n))
    if found["excluded"]:
        out.print(f"left out of fits (preceptor annotate include NAME): {', '.join(found['excluded'])}")
    if found["campaigns"]:
        columns = ("name", "questions ", "asked ", "begun ", "answers ", "each ", "annotators ")
        out.print(make_table("campaigns", columns, map(_list_campaign, found["campaigns"])))
        out.print(
            "begun: with one answer or more; each: fewest and most answers to one question that was asked"
        )
    if not found["fits"]:
        out.print("no fit yet: preceptor fuse")
    else:
        rows = (
            (
                f["key"][:8],
                f["config"]["target"],
                "yes" if f["converged"] else "NO",
                *_list_diagnostics(f["diagnostics"]),
                f"{f['findings']['rho']['mean']:.2f}" if has_both_sides(f["findings"]) else "not learnt",
                f["fitted_at"],
            )
            for f in found["fits"]
        )
        out.print(
            make_table(
                "fits",
                ("fit", "target ", "converged", "R-hat ", "ESS ", "divergences ", "rho ", "fitted"),
                rows,
            )
        )
    if found["builds"]:
        built = (
            (
                b["name"],
                b["fit"][:8] if b["fit"] else "none",
                _rows(b["counts"]["kept"]),
                b["out"],
                b["built_at"],
            )
            for b in found["builds"]
        )
        out.print(make_table("builds", ("name", "fit", "rows", "folder", "built"), built))


def _list_campaign(c: dict[str, Any]) -> tuple[str, ...]:
    """List the cells of a campaign's row."""
    numbers = [f"{c[name]:,}" for name in ("questions", "asked", "begun", "answers")]
    each = "" if c["fewest"] is None else f"{c['fewest']:,}"
    if c["fewest"] is not None and c["most"] > c["fewest"]:
        each += f" to {c['most']:,}"
    return (c["name"], *numbers, each, f"{c['annotators']:,}")


def _list_diagnostics(d: dict[str, Any]) -> tuple[str, str, str]:
    """List R-hat, ESS and divergences; blanks for a quick look that drew no chains."""
    approximation = d.get("approximation")
    if approximation and not approximation["completions"]:
        return "", "", ""
    return f"{d['r_hat_max']:.4f}", f"{d['ess_min']:.0f}", f"{d['divergences']:,}"


def _rows(kept: dict[str, dict[str, int]]) -> str:
    """List the number of rows of a build by config."""
    return ", ".join(f"{sum(splits.values()):,} {config}" for config, splits in kept.items())


def _licence(id: str) -> str:
    return "none stated" if id == NONE_STATED else id
