"""`preceptor demo`."""

from pathlib import Path

import click

from .fuse import convergence, correlation, doubtful
from .options import stderr, stdout, table


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder to write."
)
def demo(out: Path) -> None:
    """Run the main job on a packaged sample: ingest, fuse, build, report.

    Needs no network, no server, no GPU. The sample's signals were drawn from known effectiveness,
    so the report can show how close the model came.
    """  # fmt: skip
    from ..demo.run import run_demo
    from ..progress import bar

    console = stdout()
    with bar("fuse (the first time compiles the model)", stderr()) as update:
        done = run_demo(out, update)
    rows = [("ingested", f"{sum(r.rows for r in done.reports):,} rows in {len(done.reports)} sources, "
                         f"{sum(r.rejects for r in done.reports)} rejected")]  # fmt: skip
    inside = done.recovered.filter(done.recovered["truth"].is_between(
        done.recovered["low"], done.recovered["high"]))  # fmt: skip
    rows += [
        ("fused", convergence(done.fit.diagnostics)),
        ("rho", f"{correlation(done.fit.findings)}: expressed against observed"),
        ("annotators to look at", ", ".join(doubtful(done.fit.findings)) or "none"),
        ("true effectiveness inside its 90 % interval",
         f"{inside.height} of {done.recovered.height} completions"),
        ("built", ", ".join(f"{n} {split}" for split, n in done.build.counts.items()) + " pairs"),
    ]  # fmt: skip
    console.print(table("preceptor demo", ("", ""), rows))
    console.print(f"dataset  {done.build.out}\ncard     {done.build.out / 'README.md'}\n"
                  f"report   {done.report}   (open it in a browser)")  # fmt: skip
