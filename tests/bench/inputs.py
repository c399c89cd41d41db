"""Inputs for the bench: M2 and votes are made up by seeded generators, no corpus text.

Heavy modules are loaded where they are used, so that a peer's process holds none of ours.
"""

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

STORE = "ours.duckdb"
ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
SMART = SHARED / "smart"
CORPORA = (
    "cweb/m2/CWEB-S.dev.m2",
    "relco/errors_tagged.m2",
    "ua-gec/gec-only.test.m2",
    "ua-gec/gec-fluency.test.m2",
    "jfleg/EACL_exp/m2converter/dev.ref.m2",
)
SAMPLE = ROOT / "toolkit" / "cli" / "demo" / "sample"
SIGNALS = ("votes", "ratings", "outcomes")


def prepare_m2(folder: Path, shrink: int) -> str:
    """`big.m2`: sentences of invented words, each with two annotators who correct it twice or not at all."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(5000)]
    sentences = 140_000 // shrink
    path = folder / "big.m2"
    with path.open("w", encoding="utf-8") as out:
        for _ in range(sentences):
            tokens = rng.choices(words, k=rng.randint(6, 25))
            edits = "".join(_edits(tokens, who, rng) for who in (0, 1))
            out.write(f"S {' '.join(tokens)}\n{edits}\n")
    return f"{_megabytes(path)}, {sentences:,} sentences"


def prepare_large(folder: Path, shrink: int) -> str:
    """`big.m2`, real files again and again; twice that as `double.m2`; packed as `big.m2.gz`."""
    real = b"".join((SHARED / name).read_bytes() for name in CORPORA if (SHARED / name).is_file())
    if not real:
        prepare_m2(folder, 20)
        real = (folder / "big.m2").read_bytes()
    wanted = 1_000_000_000 // shrink
    times = max(1, wanted // len(real))
    for name, n in (("big.m2", times), ("double.m2", 2 * times)):
        with (folder / name).open("wb") as out:
            for _ in range(n):
                out.write(real)
    with (folder / "big.m2").open("rb") as whole, gzip.open(folder / "big.m2.gz", "wb", 1) as packed:
        shutil.copyfileobj(whole, packed, 1 << 20)
    return f"{_megabytes(folder / 'big.m2')}, {'real' if SHARED.is_dir() else 'made-up'} sentences"


def prepare_c4(folder: Path, shrink: int) -> str:
    """`c4/`: four shards of edits and of target sentences, three edits a sentence, sorted by md5."""
    import duckdb

    sentences = 3_333_334 // shrink
    (folder / "c4").mkdir()
    words = ", ".join(
        f"'w' || substr(md5((hash(i * 31 + {k}) % 5000)::VARCHAR), 1, {2 + k % 6})" for k in range(12)
    )
    with duckdb.connect() as con:
        con.execute(
            f"CREATE TABLE s AS SELECT md5(i::VARCHAR) AS md5, i, concat_ws(' ', {words}) || "
            f"CASE WHEN i % 10 = 0 THEN ' café.' ELSE '.' END AS text FROM range({sentences}) r(i)"
        ).fetchall()
        for shard in range(4):
            for name, select in (
                ("edits", "SELECT md5, k * 15 AS a, k * 15 + 4 AS b, 'xx' || k || ' ' FROM s, range(3) t(k)"),
                ("target_sentences", "SELECT md5, text FROM s"),
            ):
                path = folder / "c4" / f"{name}.tsv-0000{shard}-of-00004"
                order = "md5, a" if name == "edits" else "md5"
                con.execute(
                    f"COPY ({select} WHERE i % 4 = {shard} ORDER BY {order}) TO '{path}' "
                    "(DELIM '\t', HEADER false, QUOTE '', ESCAPE '')"
                ).fetchall()
    size = sum(path.stat().st_size for path in (folder / "c4").iterdir())
    return f"{size / 1e6:.0f} MB, {3 * sentences:,} edits of {sentences:,} sentences"


def _edits(tokens: list[str], who: int, rng: random.Random) -> str:
    """One annotator's lines: a replacement and an insertion, or, one time in ten, that all is well."""
    if rng.random() < 0.1:
        return f"A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||{who}\n"
    first, second = sorted(rng.sample(range(len(tokens)), 2))
    return (
        f"A {first} {first + 1}|||R:OTHER|||{tokens[first]}s|||REQUIRED|||-NONE-|||{who}\n"
        f"A {second} {second}|||M:OTHER|||{rng.choice(tokens)}|||REQUIRED|||-NONE-|||{who}\n"
    )


def prepare_votes(folder: Path, shrink: int) -> str:
    """A store with prompts of two completions each, and `votes.csv` on them."""
    import polars as pl

    votes, prompts = 1_000_000 // shrink, 10_000 // shrink
    with (folder / "prompts.jsonl").open("w", encoding="utf-8") as out:
        for i in range(prompts):
            pair = [{"id": f"p{i}-{side}", "content": f"answer {side} to {i}"} for side in "ab"]
            prompt = {"id": f"p{i}", "task": "qa", "prompt": f"{i}?", "completions": pair}
            out.write(json.dumps(prompt) + "\n")
    n = pl.col("n")
    pl.select(pl.int_range(votes).alias("n")).select(
        pl.format("p{}-a", n % prompts).alias("completion_a"),
        pl.format("p{}-b", n % prompts).alias("completion_b"),
        pl.when(n % 3 == 0).then(pl.lit("tie")).otherwise(pl.lit("a")).alias("choice"),
        pl.format("judge-{}", n % 997).alias("annotator"),
    ).write_csv(folder / "votes.csv")
    ingesting(folder / STORE, "prompts", folder / "prompts.jsonl")()
    return f"{_megabytes(folder / 'votes.csv')}, {votes:,} votes on {2 * prompts:,} completions"


def prepare_reviews(folder: Path, shrink: int) -> str:
    """`reviews.parquet`, twenty million events of a study log, and a store with what was studied."""
    import duckdb

    reviews, items = 20_000_000 // shrink, 20_000
    with (folder / "cards.jsonl").open("w", encoding="utf-8") as out:
        for i in range(items // 2):
            cards = [{"id": f"card-{2 * i + k}", "content": f"answer {k} to {i}"} for k in range(2)]
            out.write(
                json.dumps({"id": f"p{i}", "task": "qa", "prompt": f"{i}?", "completions": cards}) + "\n"
            )
    with duckdb.connect() as con:
        con.execute("SET threads = 1")
        con.execute(
            f"""COPY (SELECT 'learner-' || hash(i * 3) % {max(reviews // 100, 1)} AS learner,
                'card-' || hash(i * 5 + 1) % {items} AS item,
                TIMESTAMP '2026-01-01' + to_seconds(i) AS "at", hash(i * 7 + 2) % 10 < 7 AS correct,
                (hash(i * 11 + 3) % 60000)::INT AS duration_ms
            FROM range({reviews}) r(i)) TO '{folder / "reviews.parquet"}' (FORMAT parquet)"""
        ).fetchall()
    ingesting(folder / STORE, "prompts", folder / "cards.jsonl")()
    return f"{_megabytes(folder / 'reviews.parquet')}, {reviews:,} reviews of {items:,} cards"


def prepare_build(folder: Path, shrink: int) -> str:
    """A store of ten million prompts, each with a right and a wrong answer of a dozen invented words."""
    from preceptor.toolkit.store.connection import open_store, run

    prompts = 10_000_000 // shrink
    text = """array_to_string([chr(97 + (hash({0}, i, k) % 26)::INT)
        || to_base((hash({0}, i, k) % 40000)::BIGINT, 36) FOR k IN range(12)], ' ')"""
    with open_store(folder / STORE, create=True) as con:
        run(
            con,
            """INSERT INTO sources BY NAME SELECT 's' AS key, 'made' AS name, 'generated' AS kind,
            'en' AS language, 'MIT' AS license, true AS redistribution, true AS commercial_use,
            false AS share_alike, '0' AS sha256, 'prompts' AS reader, 0 AS "rows", 0 AS rejects,
            now() AS ingested_at""",
        )
        run(
            con,
            f"""INSERT INTO prompts BY NAME SELECT md5(i::VARCHAR)[:20] AS key, 'made' AS source,
            'qa' AS task, 'en' AS language, [{{'role': 'user', 'content': {text.format(1)}}}] AS messages,
            'g' || i AS "group", 'made' AS path, i + 1 AS line FROM range({prompts}) r(i)""",
        )
        for right in (True, False):
            run(
                con,
                f"""INSERT INTO completions BY NAME SELECT md5({right} || ':' || i)[:20] AS key,
                'made' AS source, md5(i::VARCHAR)[:20] AS prompt, {text.format(2 + right)} AS content,
                'model' AS origin, '{{"right": {str(right).lower()}}}' AS context, 'made' AS path,
                i + 1 AS line FROM range({prompts}) r(i)""",
            )
    return f"{prompts:,} prompts with two answers each, {_megabytes(folder / STORE)}"


def prepare_fit(folder: Path, shrink: int) -> str:
    """A store with SMART's pairs; where ../shared/data has none, or for --quick, the packaged sample."""
    store = folder / STORE
    if shrink == 1 and SMART.is_dir():
        name = "SMART"
        ingesting(store, "smart", SMART)()
    else:
        name = "packaged sample"
        ingesting(store, "prompts", SAMPLE / "prompts.jsonl")()
        for signal in SIGNALS:
            ingesting(store, signal, SAMPLE / f"{signal}.csv")()
    return f"{name}: {_signals(store)}"


def _signals(store: Path) -> str:
    from preceptor.schemas.tables import TABLES
    from preceptor.toolkit.store.connection import count, open_store

    with open_store(store, read_only=True) as con:
        return ", ".join(f"{count(con, TABLES[name]):,} {name}" for name in SIGNALS)


def prepare_nothing(_: Path, __: int) -> str:
    """A row that needs no input."""
    return "one call"


def ingesting(store: Path, format: str, path: Path) -> Callable[[], str]:
    """What ingests a file or folder as a source named like its format, and says what it did."""
    from unittest.mock import patch

    from preceptor.schemas.licenses import read_license
    from preceptor.toolkit.ingest.batch import Context
    from preceptor.toolkit.ingest.formats import FORMATS
    from preceptor.toolkit.ingest.formats.find_files import find_inputs
    from preceptor.toolkit.ingest.run import Origin, ingest
    from preceptor.toolkit.privacy.pseudonyms import VARIABLE
    from preceptor.toolkit.store.connection import open_store

    # Not the user's own key, and only here: what is measured leaves nothing behind.
    key = {VARIABLE: str(store.parent / "pseudonyms.key")}

    def work() -> str:
        with patch.dict(os.environ, key), open_store(store, create=True) as con:
            files = find_inputs(FORMATS[format], [path])
            report = ingest(con, FORMATS[format], files, Context(format), Origin(read_license("CC0-1.0")))
        return f"{report.rows:,} rows, {report.rejects} rejected"

    return work


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.0f} MB"
