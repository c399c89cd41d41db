"""What `make bench` measures: one class of work a row, ours first, then peers doing the same.

Imports that are not the work are done before the clock starts. The fit's are: a cold start is part
of what it measures, on both sides.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from .annotating import prepare_campaign, pull_ours, pull_plain, push_ours, push_plain
from .inputs import (
    STORE,
    ingesting,
    prepare_build,
    prepare_c4,
    prepare_fit,
    prepare_large,
    prepare_m2,
    prepare_nothing,
    prepare_reviews,
    prepare_votes,
)
from .measure import LAST_WORDS, Done, Job, Row, Side, Work, peak_mb
from .training import prepare_training, train_ours, train_plain, train_told


def m2_ours(job: Job) -> Work:
    """Our reader: tokens, checks, keys, rejects, as frames; streamed."""
    from preceptor.toolkit.ingest.batch import Context
    from preceptor.toolkit.ingest.files.numbered_lines import Input
    from preceptor.toolkit.ingest.gec.m2 import read_m2

    def work() -> Done:
        batches = read_m2(Input(job.folder / "big.m2", "big.m2"), Context("big"))
        return Done(f"{sum(batch.taken for batch in batches):,} rows")

    return work


def m2_stored(job: Job) -> Work:
    """Our reader and a fresh store."""
    work = ingesting(job.folder / f"m2-{job.repetition}.duckdb", "m2", job.folder / "big.m2")
    return lambda: Done(work())


def m2_errant(job: Job) -> Work:
    """ERRANT's own reading loop, as errant_compare runs it on each of its two files."""
    from errant.commands.compare_m2 import process_edits, simplify_edits

    options = Namespace(dt=False, ds=False, cs=False, cse=False, single=False, multi=False, filt=[])

    def work() -> Done:
        blocks = (job.folder / "big.m2").read_text(encoding="utf-8").strip().split("\n\n")
        edits = 0
        for block in blocks:
            by_annotator = process_edits(simplify_edits(block), options)
            edits += sum(map(len, by_annotator.values()))
        return Done(f"{len(blocks) + edits:,} sentences and edits")

    return work


def m2_errant_stored(job: Job) -> Work:
    """ERRANT's loop, and what it read put into DuckDB with tokens, as whole columns."""
    import duckdb
    import pyarrow as pa
    from errant.commands.compare_m2 import process_edits, simplify_edits

    options = Namespace(dt=False, ds=False, cs=False, cse=False, single=False, multi=False, filt=[])
    con = duckdb.connect(str(job.folder / f"errant-{job.repetition}.duckdb"))
    con.execute("CREATE TABLE sentences (n BIGINT, text VARCHAR, tokens VARCHAR[])")
    con.execute(
        'CREATE TABLE edits (n BIGINT, annotator VARCHAR, start BIGINT, "end" BIGINT, '
        "error_type VARCHAR, correction VARCHAR)"
    )
    names = {
        "sentences": ["n", "text", "tokens"],
        "edits": ["n", "annotator", "start", "end", "error_type", "correction"],
    }
    columns: dict[str, list[list[object]]] = {name: [[] for _ in keys] for name, keys in names.items()}

    def flush() -> None:
        for name, lists in columns.items():
            rows = pa.table(dict(zip(names[name], lists, strict=True)))
            con.execute(f"INSERT INTO {name} FROM rows").fetchall()
            del rows
            for values in lists:
                values.clear()

    def work() -> Done:
        blocks = (job.folder / "big.m2").read_text(encoding="utf-8").strip().split("\n\n")
        edits = 0
        con.begin()
        for n, block in enumerate(blocks):
            text = block.partition("\n")[0][2:]
            for values, value in zip(columns["sentences"], (n, text, text.split(" ")), strict=True):
                values.append(value)
            for annotator, found in process_edits(simplify_edits(block), options).items():
                for (start, end, *_, correction), types in found.items():
                    row = (n, str(annotator), start, end, str(types[0]), str(correction))
                    edits += 1
                    for values, value in zip(columns["edits"], row, strict=True):
                        values.append(value)
            if len(columns["edits"][0]) > 200_000:
                flush()
        flush()
        con.commit()
        con.close()
        return Done(f"{len(blocks) + edits:,} sentences and edits")

    return work


def ingest_file(format: str, name: str) -> Callable[[Job], Work]:
    """Ours: a file or folder of the row's input into a fresh store."""

    def ready(job: Job) -> Work:
        work = ingesting(job.folder / f"{format}-{name}.duckdb", format, job.folder / name)
        return lambda: Done(work())

    return ready


def c4_duckdb(job: Job) -> Work:
    """DuckDB's own CSV reader, both tables as they stand."""
    import duckdb

    def work() -> Done:
        rows = 0
        with duckdb.connect(str(job.folder / "peer.duckdb")) as con:
            for table, files, columns in (
                ("edits", "edits*", "{'md5': 'VARCHAR', 's': 'BIGINT', 'e': 'BIGINT', 'r': 'VARCHAR'}"),
                ("sentences", "target*", "{'md5': 'VARCHAR', 'text': 'VARCHAR'}"),
            ):
                con.execute(
                    f"CREATE TABLE {table} AS FROM read_csv('{job.folder / 'c4' / files}', delim='\t', "
                    f"header=false, quote='', escape='', columns={columns})"
                ).fetchall()
                ((n,),) = con.execute(f"SELECT count(*) FROM {table}").fetchall()
                rows += n
        return Done(f"{rows:,} rows")

    return work


def votes_ours(job: Job) -> Work:
    """Ingest into a store that holds the prompts: checks, keys, annotators, rejects."""
    store = job.folder / f"votes-{job.repetition}.duckdb"
    shutil.copyfile(job.folder / STORE, store)
    work = ingesting(store, "votes", job.folder / "votes.csv")
    return lambda: Done(work())


def votes_duckdb(job: Job) -> Work:
    """DuckDB's own CSV reader and an INSERT of the same columns."""
    import duckdb

    def work() -> Done:
        with duckdb.connect(str(job.folder / f"peer-{job.repetition}.duckdb")) as con:
            con.execute(
                "CREATE TABLE votes (completion_a VARCHAR, completion_b VARCHAR, choice VARCHAR, "
                "annotator VARCHAR)"
            )
            con.execute("INSERT INTO votes SELECT * FROM read_csv(?)", [str(job.folder / "votes.csv")])
            ((rows,),) = con.execute("SELECT count(*) FROM votes").fetchall()
        return Done(f"{rows:,} rows")

    return work


def reviews_ours(job: Job) -> Work:
    """Ingest into a store that holds what was studied: checks, pseudonyms, rejects."""
    store = job.folder / "reviews.duckdb"
    shutil.copyfile(job.folder / STORE, store)
    work = ingesting(store, "reviews", job.folder / "reviews.parquet")
    return lambda: Done(work())


def reviews_outcomes(job: Job) -> Work:
    """Turns until the first success, of the log that was ingested before."""
    from preceptor.schemas.recipe import Recipe
    from preceptor.toolkit.fusion.outcomes import make_outcomes
    from preceptor.toolkit.store.connection import open_store

    recipe = Recipe.model_validate({"name": "r", "outcomes": [{"reviews": "reviews", "about": "prompts"}]})

    def work() -> Done:
        with open_store(job.folder / "reviews.duckdb") as con:
            (made,) = make_outcomes(con, recipe)
        return Done(f"{made.outcomes:,} outcomes")

    return work


def reviews_duckdb(job: Job) -> Work:
    """DuckDB's own Parquet reader, the columns as they stand."""
    import duckdb

    def work() -> Done:
        with duckdb.connect(str(job.folder / "peer.duckdb")) as con:
            con.execute("CREATE TABLE reviews AS FROM read_parquet(?)", [str(job.folder / "reviews.parquet")])
            ((rows,),) = con.execute("SELECT count(*) FROM reviews").fetchall()
        return Done(f"{rows:,} rows")

    return work


def build_ours(job: Job) -> Work:
    """Pairs, examples and labels with their meta data, all gates, card and digests."""
    from preceptor.schemas.recipe import Recipe
    from preceptor.toolkit.dataset.build import build
    from preceptor.toolkit.store.connection import open_store

    recipe = Recipe.model_validate(
        {
            "name": "bench",
            "publish_under": "MIT",
            "pairs": {"policy": "right-over-wrong"},
            "configs": ["preference", "sft", "unpaired"],
        }
    )

    def work() -> Done:
        with open_store(job.folder / STORE) as con:
            counts = build(con, recipe, job.folder / "out").counts
        return Done(", ".join(f"{sum(splits.values()):,} {config}" for config, splits in counts.items()))

    return work


def build_duckdb(job: Job) -> Work:
    """DuckDB's own join of prompts with both answers, copied to one Parquet file."""
    import duckdb

    def work() -> Done:
        with duckdb.connect(str(job.folder / STORE), read_only=True) as con:
            con.execute("SET memory_limit = '3GB'")
            con.execute(
                f"""COPY (SELECT p.messages AS prompt, a.content AS chosen, b.content AS rejected
                FROM prompts p JOIN completions a ON a.prompt = p.key AND a.context->>'right' = 'true'
                JOIN completions b ON b.prompt = p.key AND b.context->>'right' = 'false')
                TO '{job.folder / "peer.parquet"}' (FORMAT parquet, COMPRESSION zstd)"""
            ).fetchall()
        return Done("one table")

    return work


def fit_cold(job: Job) -> Work:
    """Four chains to R-hat <= 1.01 and ESS >= 400; nothing was compiled before."""
    return _fit(job, "cold", _cache(job))


def fit_warm(job: Job) -> Work:
    """The same draws once more, with what this repetition's cold start compiled."""
    if not any(_cache(job).rglob("*")):
        raise FileNotFoundError("nothing was compiled before: the cold start comes first")
    return _fit(job, "warm", _cache(job))


def _cache(job: Job) -> Path:
    return job.folder / f"cache-{job.repetition}"


def _fit(job: Job, name: str, cache: Path) -> Work:
    # A store of its own, since the same fit is made once; the repetition is the seed.
    store = job.folder / f"{name}-{job.repetition}.duckdb"
    shutil.copyfile(job.folder / STORE, store)
    os.environ["XDG_CACHE_HOME"] = str(cache)

    def work() -> Done:
        began = time.process_time()
        from preceptor.toolkit.fusion.fuse import fuse
        from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
        from preceptor.toolkit.store.connection import open_store

        with open_store(store) as con:
            found = fuse(con, 0.5, [], SamplerSettings(seed=job.repetition)).diagnostics
        per_second = found["ess_min"] / (time.process_time() - began)
        return Done(
            f"R-hat {found['r_hat_max']:.4f}, worst ESS {found['ess_min']:.0f} ({found['ess_parameter']}), "
            f"{per_second:.1f} ESS per CPU second{'' if found['converged'] else ', NOT converged'}"
        )

    return work


def fit_choix(job: Job) -> Work:
    """choix: the maximum a posteriori of Bradley-Terry on the decisive votes."""

    def work() -> Done:
        import choix
        import duckdb

        # Read with DuckDB alone: our own reading loads jax, which is no work of choix's.
        with duckdb.connect(str(job.folder / STORE), read_only=True) as con:
            votes = con.execute("SELECT completion_a, completion_b, choice FROM votes").fetchall()
        items = {key: i for i, key in enumerate(dict.fromkeys(key for vote in votes for key in vote[:2]))}
        pairs = [(items[a], items[b]) for a, b, _ in votes]
        ends = [(vote[2], pair) for vote, pair in zip(votes, pairs, strict=True) if vote[2] != "tie"]
        data = [(a, b) if choice == "a" else (b, a) for choice, (a, b) in ends]
        choix.opt_pairwise(len(items), data, alpha=0.1)
        return Done(f"{len(data):,} decisive votes on {len(items):,} completions")

    return work


def program(code: str, *arguments: str, less: str = "") -> Side:
    """A side that starts Python anew for a line of code, as a console script does."""
    command = [sys.executable, "-c", LAST_WORDS + code, *arguments]

    def work() -> Done:
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        return Done(peak_mb=peak_mb(ended.stderr, resource.RUSAGE_CHILDREN))

    return Side(lambda _: work, less=less)


ROWS: dict[str, Row] = {
    "m2": Row(
        "read M2",
        prepare_m2,
        {
            "read_m2": Side(m2_ours),
            "errant's loop": Side(m2_errant, "errant", "no tokens, checks, keys or rejects"),
            "read_m2 + store": Side(m2_stored),
            "errant + store": Side(m2_errant_stored, "errant", "no checks, keys, lines or rejects"),
        },
        "A made-up file in M2 format. errant's loop is what `errant_compare` does with each of its files: "
        "read, split at blank lines, `simplify_edits`, `process_edits`; its package imports spaCy, which "
        "counts as memory. `read_m2` makes frames and drops them; `+ store` ingests into a fresh store. "
        "errant + store splits tokens and puts sentences and edits into DuckDB in columns.",
    ),
    "m2-large": Row(
        "ingest a large M2",
        prepare_large,
        {
            "ingest M2": Side(ingest_file("m2", "big.m2")),
            "ingest M2, twice": Side(
                ingest_file("m2", "double.m2"), less="twice the file: compare the memory"
            ),
            "ingest M2, gzip": Side(ingest_file("m2", "big.m2.gz")),
            "errant's loop": Side(m2_errant, "errant", "no tokens, checks, keys, rejects or store"),
            "errant + store": Side(m2_errant_stored, "errant", "no checks, keys, lines or rejects"),
        },
        "The M2 files of ../shared/data, one after the other until 1 GB; without them, made-up sentences.",
        repetitions=1,
    ),
    "c4": Row(
        "ingest C4_200M",
        prepare_c4,
        {
            "ingest C4_200M": Side(ingest_file("c4-200m", "c4")),
            "duckdb read_csv": Side(c4_duckdb, less="no join, offsets, tokens, edits, checks or keys"),
        },
        "Made-up sentences in C4_200M's form, four shards, one sentence in ten with a character beyond "
        "ASCII. The peer only reads both tables.",
        repetitions=1,
    ),
    "votes": Row(
        "ingest votes",
        prepare_votes,
        {
            "ingest": Side(votes_ours),
            "duckdb read_csv": Side(votes_duckdb, less="no checks, keys, annotators or rejects"),
        },
        "Ours goes into a store that holds the prompts already. The peer is DuckDB's own `read_csv` and an "
        "`INSERT` of the same columns as text into an empty table.",
    ),
    "reviews": Row(
        "ingest a study log",
        prepare_reviews,
        {
            "ingest reviews": Side(reviews_ours),
            "outcomes: turns": Side(reviews_outcomes, less="of the log that was ingested"),
            "duckdb read_parquet": Side(reviews_duckdb, less="no checks, pseudonyms, lines or rejects"),
        },
        "Made-up events in Parquet, a hundred a learner. The peer reads the file into a table.",
        repetitions=1,
    ),
    "build": Row(
        "build ten million pairs",
        prepare_build,
        {
            "build": Side(build_ours),
            "duckdb COPY": Side(build_duckdb, less="no gates, order, splits, meta data, labels"),
        },
        "Made-up texts, a right and a wrong answer a prompt, no fit; half of the groups trained on "
        "go into examples. All gates, near-duplicates among them. The peer joins and copies the same rows.",
        repetitions=1,
    ),
    "fit": Row(
        "fuse signals",
        prepare_fit,
        {
            "fuse, cold": Side(fit_cold),
            "fuse, compiled": Side(fit_warm),
            "choix": Side(fit_choix, "choix", "point estimate: no ties, ratings, outcomes or intervals"),
        },
        "Ours reads the signals, runs four chains until R-hat ≤ 1.01 and ESS ≥ 400 for every parameter, and "
        "stores what they say. Cold: a fresh process and an empty compilation cache; compiled: another "
        "fresh process, the cache as the cold one left it. choix's `opt_pairwise` fits Bradley-Terry to the "
        "decisive votes alone: a quick point estimate that does far less. Imports count on every side.",
    ),
    "push": Row(
        "put a campaign to annotators",
        prepare_campaign,
        {
            "annotate push": Side(push_ours),
            "plain requests": Side(push_plain, less="no choice of questions, checks, store; Python's start"),
        },
        "Each side has a fresh Argilla server of its own, not counted. Ours is the whole command: Python's "
        "start, questions chosen and stored, the dataset made, the records sent. The peer sends the same "
        "records, a hundred a request, to a dataset that is there.",
    ),
    "pull": Row(
        "take answers in",
        prepare_campaign,
        {
            "annotate pull": Side(pull_ours),
            "plain requests": Side(pull_plain, less="no checks, pseudonyms, history, votes; Python's start"),
        },
        "As for push; every annotator has answered every record. Ours reads the answers and stores them with "
        "their history, the votes, the annotators and what does not fit. The peer reads them into a list.",
    ),
    "train": Row(
        "train an adapter (DPO)",
        prepare_training,
        {
            "preceptor train": Side(train_ours, "trl"),
            "trl dpo": Side(train_plain, "trl", "no preflight, digests, provenance, card or curves"),
        },
        "Whole programs that read the same recipe: a Llama of 3 million random weights, one thread. The peer "
        "is the script that `trl dpo` launches, without its launcher.",
        repetitions=5,
        there_and_back=True,
        told=train_told,
    ),
    "help": Row(
        "start the command",
        prepare_nothing,
        {
            "preceptor --help": program("from preceptor.toolkit.cli.main import main; main()", "--help"),
            "import click": program("import click", less="no commands"),
            "import polars": program("import polars", less="for scale"),
        },
        "A fresh process each, Python's own start included.",
        repetitions=9,
    ),
}
