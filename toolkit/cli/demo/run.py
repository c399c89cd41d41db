"""`preceptor demo`: the whole way on the packaged sample, into one folder."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import polars as pl

from ....schemas.errors import StoreError
from ....schemas.licenses import read_license
from ....schemas.recipe import read_recipe
from ....schemas.support.files import write_text
from ...dataset.build import Build, build
from ...fusion.fuse import Fit, fuse
from ...fusion.sampling.fit import OnProgress, SamplerSettings
from ...ingest.batch import Context
from ...ingest.formats import FORMATS
from ...ingest.formats.find_files import find_inputs
from ...ingest.run import IngestReport, Origin, ingest
from ...report.page import render_report
from ...store.connection import open_store, query

TARGET = 0.5
STEPS = (
    ("prompts", "sample"),
    ("votes", "sample-votes"),
    ("ratings", "sample-ratings"),
    ("outcomes", "sample-outcomes"),
)


@dataclass(frozen=True)
class Demo:
    """What the demo made and found."""

    reports: list[IngestReport]
    fit: Fit
    build: Build
    report: Path
    recovered: pl.DataFrame  # completion, low, high, truth


def run_demo(
    out: Path, on_fit: OnProgress = lambda *_: None, say: Callable[[str], None] = lambda _: None
) -> Demo:
    """Ingest, fuse, build and report the packaged sample into `out`.

    `out/preceptor.duckdb` is the store, `out/dataset` the dataset, `out/report.html` the report.
    A second run in the same folder finds everything there and writes the same. Raises StoreError if
    `out` holds anything else.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / "preceptor.duckdb").exists():
        raise StoreError(f"{out}: is not empty and holds no demo; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    license = read_license("Apache-2.0")
    with (
        as_file(files("preceptor.toolkit.cli.demo") / "sample") as sample,
        as_file(files("preceptor.toolkit.cli.demo") / "recipe.yaml") as recipe_file,
        open_store(out / "preceptor.duckdb", create=True) as con,
    ):
        reports = []
        for name, source in STEPS:
            suffix = "jsonl" if name == "prompts" else "csv"
            inputs = find_inputs(FORMATS[name], [sample / f"{name}.{suffix}"])
            context = Context(source, about="sample")
            reports.append(ingest(con, FORMATS[name], inputs, context, Origin(license)))
        say("ingested")
        fit = fuse(con, TARGET, [], SamplerSettings(), on_fit)
        say("fused")
        built = build(con, read_recipe(recipe_file), out / "dataset", fit.key)
        truth = pl.read_csv(sample / "effectiveness.csv")
        recovered = _recovered(
            query(
                con,
                """SELECT c.ref AS completion, e.mean, e.low, e.high, q.task
            FROM effectiveness e JOIN completions c ON c.key = e.completion
            JOIN prompts q ON q.key = c.prompt WHERE e.fit = ? ORDER BY c.ref""",
                [fit.key],
            ),
            truth,
        )
        report = out / "report.html"
        write_text(report, render_report(con, fit.key, built, recovered))
    return Demo(reports, fit, built, report, recovered)


def _recovered(inferred: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Join inferred means and intervals with the effectiveness that the signals were drawn from."""
    target = TARGET * pl.col("observed") + (1 - TARGET) * pl.col("expressed")
    return inferred.join(truth.select("completion", target.alias("truth")), on="completion")
