"""`preceptor demo`."""

from pathlib import Path

import click

from ..dataset.fuse import TELLING, list_findings, say_next
from ..options import make_table, open_stderr, open_stdout


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder to write to.",
)
def demo(out: Path) -> None:
    """Run the main steps on a packaged sample: ingest, fuse, build, report.

    It needs no network, no server and no GPU. The sample's signals were drawn at random from known
    effectiveness, so the report can show how close the estimates are.
    """
    from ...fusion.findings.summary import read_pairs
    from ...store.connection import open_store
    from ..progress import show_bar
    from .run import run_demo

    console = open_stdout()
    with show_bar("fuse (the first time compiles the model)", open_stderr()) as update:
        done = run_demo(out, update)
    rows = [
        (
            "ingested",
            f"{sum(r.rows for r in done.reports):,} rows in {len(done.reports)} sources, "
            f"{sum(r.rejects for r in done.reports)} rejected",
        )
    ]
    inside = done.recovered.filter(
        done.recovered["truth"].is_between(done.recovered["low"], done.recovered["high"])
    )
    with open_store(out / "preceptor.duckdb", read_only=True) as con:
        pairs = read_pairs(con, done.fit.key, TELLING)
    built = done.build.counts["preference"]
    rows += list_findings(done.fit, pairs)
    rows += [
        (
            "known values",
            f"{inside.height} of {done.recovered.height} completions have their true "
            "effectiveness inside its 90 % interval",
        ),
        ("built", ", ".join(f"{n} {split}" for split, n in built.items()) + " pairs"),
    ]
    console.print(make_table("preceptor demo", ("", ""), rows))
    say_next(pairs, done.fit.findings)
    console.print(
        f"dataset  {done.build.out}\ncard     {done.build.out / 'README.md'}\n"
        f"report   {done.report}   (open it in a browser)"
    )
