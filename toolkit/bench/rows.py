"""What `make bench` measures: one class of work a row, ours first, then peers doing the same.

A side is a function of a folder of inputs that does the work once; it runs in a process of its
own, so that its peak memory is its own. Imports that are not the work are done before the clock.
"""

import json
import os
import random
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

Work = Callable[[], str]  # does the work, returns a remark
Side = Callable[[Path], Work]  # prepares, outside the clock


@dataclass(frozen=True)
class Row:
    """A piece of work: how its input is made (returns its size in words) and who does it."""

    what: str
    prepare: Callable[[Path, int], str]
    sides: dict[str, Side]
    in_process: bool = True  # else a command of its own, whose memory is not seen


def prepare_m2(folder: Path, shrink: int) -> str:
    """Invented sentences with two annotators; no corpus text."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(5000)]
    sentences = 150_000 // shrink
    with (folder / "big.m2").open("w") as out:
        for _ in range(sentences):
            tokens = rng.choices(words, k=rng.randint(6, 25))
            edits = [
                f"A {at} {at + 1}|||R:OTHER|||{rng.choice(words)}|||REQUIRED|||-NONE-|||{who}\n"
                for who in (0, 1)
                for at in sorted(rng.sample(range(len(tokens)), 2))
            ]
            out.write(f"S {' '.join(tokens)}\n{''.join(edits)}\n")
    return f"{(folder / 'big.m2').stat().st_size / 1e6:.0f} MB, {sentences:,} sentences"


def m2_ours(folder: Path) -> Work:
    """Our reader: tokens, checks, keys, rejects, as frames."""
    from ..ingest.batch import Context
    from ..ingest.lines import Input
    from ..ingest.m2 import read_m2

    def work() -> str:
        batches = read_m2(Input(folder / "big.m2", "big.m2"), Context("big"))
        return f"{sum(batch.taken for batch in batches):,} rows"

    return work


def m2_stored(folder: Path) -> Work:
    """Our reader and the store."""

    def work() -> str:
        return _ingest(folder, "m2", folder / "big.m2")

    return work


def m2_errant(folder: Path) -> Work:
    """ERRANT's own reading loop, as errant_compare runs it: split, simplify_edits, process_edits."""
    from errant.commands.compare_m2 import process_edits, simplify_edits

    options = Namespace(dt=False, ds=False, cs=False, cse=False, single=False, multi=False, filt=[])

    def work() -> str:
        blocks = (folder / "big.m2").read_text().strip().split("\n\n")
        held = [process_edits(simplify_edits(block), options) for block in blocks]
        return f"{len(held):,} sentences"

    return work


def prepare_votes(folder: Path, shrink: int) -> str:
    """Prompts with two completions each, already ingested, and a table of votes on them."""
    votes, prompts = 1_000_000 // shrink, 10_000 // shrink
    with (folder / "prompts.jsonl").open("w") as out:
        for n in range(prompts):
            pair = [{"id": f"p{n}-{s}", "content": f"answer {s} to {n}"} for s in "ab"]
            out.write(
                json.dumps({"id": f"p{n}", "task": "qa", "prompt": f"{n}?", "completions": pair}) + "\n"
            )
    pl.select(pl.int_range(votes).alias("n")).select(
        pl.format("p{}-a", pl.col("n") % prompts).alias("completion_a"),
        pl.format("p{}-b", pl.col("n") % prompts).alias("completion_b"),
        pl.when(pl.col("n") % 3 == 0).then(pl.lit("tie")).otherwise(pl.lit("a")).alias("choice"),
        pl.format("judge-{}", pl.col("n") % 997).alias("annotator"),
    ).write_csv(folder / "votes.csv")
    _ingest(folder, "prompts", folder / "prompts.jsonl")
    return f"{votes:,} votes, {(folder / 'votes.csv').stat().st_size / 1e6:.0f} MB"


def votes_ours(folder: Path) -> Work:
    """Ingest with checks, keys, annotators and rejects."""
    return lambda: _ingest(folder, "votes", folder / "votes.csv")


def votes_duckdb(folder: Path) -> Work:
    """DuckDB's own CSV reader into a table: no checks, no keys, no rejects."""
    import duckdb

    def work() -> str:
        with duckdb.connect(str(folder / f"peer-{os.getpid()}.duckdb")) as con:
            sql = f"CREATE TABLE votes AS SELECT * FROM read_csv('{folder / 'votes.csv'}', all_varchar=true)"
            ((rows,),) = con.execute(sql).fetchall()
        return f"{rows:,} rows"

    return work


def prepare_fit(folder: Path, _: int) -> str:
    """SMART's pairs if ../shared/data is there, else the packaged sample's votes."""
    smart = Path.cwd().parent / "shared" / "data" / "smart"
    if smart.is_dir():
        _ingest(folder, "smart", smart)
        return "smart (shared)"
    sample = Path(__file__).parents[1] / "demo" / "sample"
    _ingest(folder, "prompts", sample / "prompts.jsonl")
    _ingest(folder, "votes", sample / "votes.csv")
    return "the packaged votes"


def _fit(folder: Path, cache: Path) -> Work:
    def work() -> str:
        os.environ["XDG_CACHE_HOME"] = str(cache)
        from ..fuse import fuse
        from ..fusion.fit import Settings
        from ..store import open_store

        began = time.process_time()
        with open_store(folder / "ours.duckdb") as con:
            # The process id as a seed: every repetition is a new fit.
            fit = fuse(con, 0.5, [], Settings(seed=os.getpid()))
        ess, cpu = fit.diagnostics["ess_min"], time.process_time() - began
        return f"R-hat {fit.diagnostics['r_hat_max']:.4f}, ESS {ess:.0f}, {ess / cpu:.1f} ESS per CPU s"

    return work


def fit_cold(folder: Path) -> Work:
    """Four chains to R-hat <= 1.01 and ESS >= 400, nothing compiled before."""
    return _fit(folder, folder / f"cache-{os.getpid()}")


def fit_warm(folder: Path) -> Work:
    """The same with the compilation cache filled by an earlier fit."""
    return _fit(folder, folder / "cache-warm")


def fit_choix(folder: Path) -> Work:
    """choix: a point estimate from the decisive votes alone; no ties, ratings, outcomes, intervals."""
    import choix

    from ..fuse import read_signals
    from ..fusion.observations import encode
    from ..store import open_store

    with open_store(folder / "ours.duckdb", read_only=True) as con:
        obs = encode(read_signals(con, []))
    votes = obs.votes
    if votes is None:
        raise ValueError("no votes to fit")
    rows = zip(votes.first.tolist(), votes.second.tolist(), votes.counts.tolist(), strict=True)
    data = [
        pair for a, b, (wins, losses, _) in rows for pair in [(a, b)] * int(wins) + [(b, a)] * int(losses)
    ]

    def work() -> str:
        choix.opt_pairwise(len(obs.prompt), data, alpha=0.1)
        return f"{len(data):,} decisive votes"

    return work


def prepare_help(_: Path, __: int) -> str:
    """Nothing to make."""
    return "one call"


def _command(*arguments: str) -> Side:
    def side(_: Path) -> Work:
        def work() -> str:
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            return ""

        return work

    return side


def _ingest(folder: Path, format: str, path: Path) -> str:
    from ...schemas.licenses import read_license
    from ..ingest.batch import Context
    from ..ingest.registry import FORMATS
    from ..ingest.run import Origin, find_inputs, ingest
    from ..store import open_store

    name = f"{format}-{os.getpid()}"
    with open_store(folder / "ours.duckdb", create=True) as con:
        files = find_inputs(FORMATS[format], [path])
        report = ingest(con, FORMATS[format], files, Context(name), Origin(read_license("CC0-1.0")))
    return f"{report.rows:,} rows, {report.rejects} rejected"


ROWS: dict[str, Row] = {
    "m2": Row("read M2", prepare_m2,
              {"read_m2": m2_ours, "read_m2 + store": m2_stored, "errant's loop": m2_errant}),
    "votes": Row("ingest votes", prepare_votes, {"ingest": votes_ours, "duckdb read_csv": votes_duckdb}),
    "fit": Row("fuse", prepare_fit,
               {"NUTS, cold": fit_cold, "NUTS, compiled": fit_warm, "choix opt_pairwise": fit_choix}),
    "help": Row("preceptor --help", prepare_help,
                {"--help": _command("-m", "preceptor.toolkit.cli.main", "--help"),
                 "import click": _command("-c", "import click"),
                 "import polars": _command("-c", "import polars")}, in_process=False),
}  # fmt: skip
