"""C4_200M: clean web sentences and edits that corrupt them.

    edits.tsv              00000002020d286371dd59a2f8a900e6  8  13  is
    target_sentences.tsv   00000002020d286371dd59a2f8a900e6  Bitcoin goes for $7,094 this morning.

Stahlberg and Kumar, Synthetic Data Generation for Grammatical Error Correction (2021). An edit has
the md5 of the clean sentence, a start and an end in bytes of UTF-8, and the text there in the
corrupted sentence, spaces included (a missing fourth field is an empty one). The corrupted sentence
is stored, with the edits that lead back. A row is an edit line or a sentence line, in any
order and in any number of shards.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ...store.connection import Store, query, run
from ...store.spool import append, open_spool
from ..batch import Batch, Context, collect_rejects, divide
from ..files.numbered_lines import Input, OnBytes, read_lines
from .edits.character_edits import apply_edits, make_batch
from .edits.repeats import count_in, mark_first, sum_before

ANNOTATOR = "0"
_EDITS_A_STEP = 200_000
_MD5 = "^[0-9a-f]{32}$"
_SPOOLED = "ORDER BY file, line"


def find_c4(path: Path) -> list[Path] | None:
    """Find the edit shards and sentence files of a folder. Raises SourceError if one kind is missing."""
    if not path.is_dir():
        return None
    found = sorted(p for p in path.rglob("*.tsv*") if p.is_file() and (_is_edits(p) or _is_sentences(p)))
    if not found:
        raise SourceError(f"{path}: holds no edits.tsv* and target_sentences* of C4_200M; name the files")
    return found


def _is_sentences(path: Path) -> bool:
    return path.name.startswith("target_sentences")


def _is_edits(path: Path) -> bool:
    return path.name.startswith("edits.tsv")


def read_c4(files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the sentences and edits of all shards; first what cannot be read, then sentences by md5.

    Raises SourceError if a file is neither, or cannot be read.
    """
    kinds = {_is_sentences(file.path) for file in files}
    if kinds != {True, False}:
        raise SourceError(
            f"{files[0].path}: expected edits of C4_200M and files named target_sentences* beside them"
        )
    names = pl.DataFrame(
        {"file": range(len(files)), "path": [file.name for file in files]},
        schema={"file": pl.Int64, "path": pl.String},
    )
    with open_spool() as con:
        for number, file in enumerate(files):
            table, parse = ("sentences", _sentences) if _is_sentences(file.path) else ("edits", _edits)
            for block in read_lines(file, on_bytes=on_bytes):
                rows = block.filter(pl.col("raw") != "")
                good, bad = parse(rows)
                append(con, table, good.with_columns(pl.lit(number, pl.Int64).alias("file")))
                if bad.height:
                    yield Batch(bad.height, 0, {}, collect_rejects([bad], file.name))
        yield from _joined(con, names, context)


def _sentences(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    fields = pl.col("raw").str.splitn("\t", 2).struct
    return _with_md5(
        rows.with_columns(fields[0].alias("md5"), fields[1].alias("text")),
        (pl.col("text").fill_null("") == "", "expected md5, tab, sentence"),
    )


def _edits(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    fields = pl.col("raw").str.splitn("\t", 4).struct
    numbers = (fields[i].cast(pl.Int64, strict=False).alias(n) for i, n in ((1, "start"), (2, "end")))
    return _with_md5(
        rows.with_columns(fields[0].alias("md5"), *numbers, fields[3].fill_null("").alias("correction")),
        (pl.col("start").is_null() | pl.col("end").is_null(), "expected md5, start, end and replacement"),
    )


def _with_md5(rows: pl.DataFrame, check: tuple[pl.Expr, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    good, bad = divide(
        rows,
        (pl.col("damaged"), "not valid UTF-8"),
        (~pl.col("md5").str.contains(_MD5), "expected a line that starts with an md5"),
        check,
    )
    return good.drop("raw", "damaged"), bad


def _joined(con: Store, names: pl.DataFrame, context: Context) -> Iterator[Batch]:
    """Batches of sentences with their edits, cut where the md5s are: they are spread evenly."""
    tables = {row[0] for row in run(con, "SELECT table_name FROM duckdb_tables()")}
    if tables != {"sentences", "edits"}:
        return
    ((total,),) = run(con, "SELECT count(*) FROM edits")
    steps = max(1, total // _EDITS_A_STEP)
    limits = [f"{round(step * 16**8 / steps):08x}" for step in range(steps)] + ["g"]
    position = 0
    for low, high in itertools.pairwise(limits):
        here = f"WHERE md5 >= '{low}' AND md5 < '{high}' {_SPOOLED}"
        clean = query(con, f"SELECT * FROM sentences {here}").join(names, on="file", maintain_order="left")
        edits = query(con, f"SELECT * FROM edits {here}").join(names, on="file", maintain_order="left")
        batch = _batch(clean, edits, context, position)
        position += batch.tables["sentences"].height
        yield batch


def _batch(clean: pl.DataFrame, edits: pl.DataFrame, context: Context, position: int) -> Batch:
    """Corrupted sentences and the edits that lead back."""
    clean = clean.with_row_index("doc").with_columns(
        pl.col("doc").cast(pl.Int64), pl.col("md5").alias("document"), pl.lit([ANNOTATOR]).alias("annotators")
    )
    raw = pl.concat_str("md5", "start", "end", "correction", separator="\t")
    of_sentence = clean.unique("md5", keep="first").select("md5", "doc", "text")
    edits = edits.with_columns(raw.alias("raw")).join(
        of_sentence, on="md5", how="left", maintain_order="left"
    )
    edits = _in_characters(edits, clean)
    edits = edits.drop("text", "md5", "file").with_columns(
        pl.lit(ANNOTATOR).alias("annotator"), pl.lit("").alias("error_type")
    )
    corrupted, back, bad = apply_edits(clean, edits)
    return make_batch(corrupted, back, bad, context, position)


def _in_characters(edits: pl.DataFrame, clean: pl.DataFrame) -> pl.DataFrame:
    """Offsets in bytes of UTF-8 as offsets in characters; null inside a character."""
    wide = clean.filter(pl.col("text").str.len_bytes() > pl.col("text").str.len_chars())
    if wide.is_empty():
        return edits
    size = pl.col("char").str.len_bytes().cast(pl.Int64)
    places = (
        wide.select("doc", pl.col("text").str.extract_all("(?s).").alias("char"))
        .explode("char")
        .select(
            "doc",
            (sum_before(size, mark_first("doc")) + size).alias("byte"),
            (count_in(mark_first("doc")) + 1).alias("at"),
        )
    )
    origin = wide.select("doc", pl.lit(0, pl.Int64).alias("byte"), pl.lit(0, pl.Int64).alias("at"))
    places = pl.concat([places, origin])
    here = edits["doc"].is_in(wide["doc"].implode()).fill_null(False)
    moved = edits.filter(here)
    for place in ("start", "end"):
        moved = moved.join(places, left_on=["doc", place], right_on=["doc", "byte"], how="left")
        beyond = pl.col(place) > pl.col("text").str.len_bytes().cast(pl.Int64)
        moved = moved.with_columns(pl.when(beyond).then(place).otherwise("at").alias(place)).drop("at")
    return pl.concat([edits.filter(~here), moved.select(edits.columns)])
