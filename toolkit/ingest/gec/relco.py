"""ReLCo: Russian learners' answers with the expected ones, and sentences annotated by hand.

    gram_err.csv                7|1499630677.97||Они __суровые__ люди .
    correct_gram_err.csv        7|1499630677.97||Они __суровыми__ людьми .
    manually_annotated_sent.csv 7|1499630677.97||1|Number: s/p|Все ++смогли++ сделать .

Katinskaia et al., Semi-automatically Annotated Learner Corpus for Russian (LREC 2022). Lines of a
pair of files belong together; no field is quoted. The n-th marked word is the expected one for
the n-th; if marks or the text around them differ, the edits are the fewest tokens changed
(`aligned_by`). By hand, the word between ++ is an error of the category, without a correction.

errors_tagged.m2 changes direction: after its first noop the sentences are the expected ones and
the edits put the learner's errors in. The direction is found by counts against the pairs of the csv
files; where it is the wrong one the blocks are reversed and a note says so.
A row is a pair of lines, a marked word, a line annotated by hand, a line of the M2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ..batch import FORGOTTEN_REASON, Batch, Context, divide
from ..files.numbered_lines import Input, OnBytes, read_lines
from ..people import hide_ids, replace_ids
from .edits.align import load_aligner
from .edits.character_edits import apply_edits, make_batch
from .edits.direction import RIGHT_ELSEWHERE
from .m2 import read_m2, split_tokens

EXPECTED = "expected"  # the annotator for the exercise's expected answers
BY_HAND = "by hand"
_PREFIX = "correct_"
_MANUAL = "manually_annotated_sent.csv"
_HEADS = {4: "id|time|attempt|sentence", 6: "id|time|attempt|label|category|sentence"}


def find_relco(path: Path) -> list[Path] | None:
    """Find the pairs of csv files of a folder, then the sentences annotated by hand, then the M2.

    Raises SourceError if the folder has none of them.
    """
    if not path.is_dir():
        return None
    pairs = [
        p for c in sorted(path.rglob(f"{_PREFIX}*.csv")) for p in (c.with_name(c.name[len(_PREFIX) :]), c)
    ]
    found = [*pairs, *sorted(path.rglob(_MANUAL)), *sorted(path.rglob("*.m2"))]
    if not found:
        raise SourceError(f"{path}: holds no {_PREFIX}*.csv, {_MANUAL} or *.m2 of ReLCo")
    return found


def read_relco(
    files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None
) -> Iterator[Batch]:
    """Read batches of each file or pair of files; the M2 last, since the pairs determine its direction.

    Raises SourceError if the other file of a pair is missing or of another length, or a header is unknown.
    """
    by_name = {file.path.name: file for file in files}
    known: list[pl.DataFrame] = []
    for file in files:
        name = file.path.name
        if name.startswith(_PREFIX) or name.endswith(".m2"):
            continue
        if name == _MANUAL:
            yield _by_hand(file, context, on_bytes)
        elif _PREFIX + name in by_name:
            batch, words = _pairs(file, by_name[_PREFIX + name], context, on_bytes)
            known.append(words)
            yield batch
        else:
            raise SourceError(f"{file.path}: no {_PREFIX}{name} beside it to say what was expected")
    for file in files:
        if file.path.name.startswith(_PREFIX) and file.path.name[len(_PREFIX) :] not in by_name:
            raise SourceError(f"{file.path}: no {file.path.name[len(_PREFIX) :]} beside it with the answers")
        if file.path.name.endswith(".m2"):
            yield _directed(file, pl.concat(known).unique() if known else None, context, on_bytes)


def _rows(file: Input, width: int, on_bytes: OnBytes) -> pl.DataFrame:
    """All lines of a file with their fields `f0`, `f1` …; the files have a few thousand."""
    lines = pl.concat([*read_lines(file, on_bytes=on_bytes)])
    if lines["raw"][0] != _HEADS[width]:
        raise SourceError(f"{file.path}:1: expected the header {_HEADS[width]}, got '{lines['raw'][0][:80]}'")
    fields = pl.col("raw").str.split("|")
    return lines[1:].with_columns(
        fields.list.len().alias("width"),
        *(fields.list.get(n, null_on_oob=True).alias(f"f{n}") for n in range(width)),
    )


def _pairs(file: Input, correct: Input, context: Context, on_bytes: OnBytes) -> tuple[Batch, pl.DataFrame]:
    """Read answers with the expected ones; and the pairs of words, in lower case."""
    mine, theirs = _rows(file, 4, on_bytes), _rows(correct, 4, on_bytes)
    if mine.height != theirs.height:
        raise SourceError(
            f"{file.path}: {mine.height:,} rows, {correct.path}: {theirs.height:,}; "
            "line n of both must be about one answer"
        )
    rows = mine.with_columns(
        pl.Series(f"{n}_", theirs[n]) for n in ("width", "damaged", "f0", "f1", "f2", "f3")
    )
    other = pl.any_horizontal(pl.col(f"f{n}") != pl.col(f"f{n}_") for n in range(3))
    rows = replace_ids(rows.with_columns(other.alias("other")), context, ("f0",))
    good, bad = divide(
        rows,
        (pl.col("gone"), FORGOTTEN_REASON),
        (pl.col("damaged") | pl.col("damaged_"), "not valid UTF-8"),
        ((pl.col("width") != 4) | (pl.col("width_") != 4), "expected id|time|attempt|sentence"),
        (pl.col("other"), pl.format("not the same answer as line {} of the file of corrections", "line")),
        (pl.col("f3").str.replace_all("__", "").str.strip_chars() == "", "the sentence is empty"),
    )
    parts = good.select(
        "line", pl.col("f3").str.split("__").alias("mine"), pl.col("f3_").str.split("__").alias("theirs")
    )
    around = [pl.col(n).list.gather_every(2) for n in ("mine", "theirs")]
    as_many = pl.col("mine").list.len() == pl.col("theirs").list.len()
    parts = parts.with_columns((as_many & (around[0] == around[1])).alias("aligned"))
    marked = (
        parts.filter("aligned")
        .drop("aligned")
        .explode("mine", "theirs")
        .with_columns(pl.col("mine").str.len_chars().cast(pl.Int64).alias("size"))
        .with_columns(
            (pl.col("size").cum_sum().over("line") - pl.col("size")).alias("start"),
            (pl.int_range(pl.len()).over("line") % 2 == 1).alias("mark"),
        )
        .filter("mark")
    )
    edits = marked.filter(pl.col("mine") != pl.col("theirs")).select(
        pl.col("line").alias("doc"),
        "line",
        "start",
        (pl.col("start") + pl.col("size")).alias("end"),
        pl.col("theirs").alias("correction"),
        pl.lit(None, pl.String).alias("aligned_by"),
    )
    edits = pl.concat([edits, _aligned(parts.filter(~pl.col("aligned")))])
    words = marked.select(
        pl.col("mine").str.to_lowercase().alias("learner"),
        pl.col("theirs").str.to_lowercase().alias("expected"),
    ).filter(pl.col("learner") != pl.col("expected"))
    documents = _documents(good, pl.col("f3").str.replace_all("__", ""), file, EXPECTED)
    rejects = _rejects(file, bad, rows)
    return make_batch(documents, _edits(edits, file, EXPECTED), rejects, context, 0), words


def _aligned(parts: pl.DataFrame) -> pl.DataFrame:
    """Edits of the rows whose marks do not line up: the fewest tokens changed."""
    align, by = load_aligner("minimal", "ru")
    found = []
    for line, mine, theirs in parts.select("line", "mine", "theirs").rows():
        source, target = ("".join(text).split(" ") for text in (mine, theirs))
        places = [0]
        for token in source:
            places.append(places[-1] + len(token) + 1)
        for start, end, correction, _ in align(source, target):
            if end > start:
                found.append((line, line, places[start], places[end] - 1, correction, by))
            elif end < len(source):
                found.append((line, line, places[start], places[start], f"{correction} ", by))
            else:
                found.append((line, line, places[-1] - 1, places[-1] - 1, f" {correction}", by))
    schema = {
        "doc": pl.Int64,
        "line": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,
        "correction": pl.String,
        "aligned_by": pl.String,
    }
    return pl.DataFrame(found, schema=schema, orient="row")


def _documents(rows: pl.DataFrame, text: pl.Expr, file: Input, annotator: str) -> pl.DataFrame:
    return rows.select(
        pl.col("line").alias("doc"),
        pl.lit(file.name).alias("document"),
        text.alias("text"),
        pl.lit([annotator]).alias("annotators"),
        pl.col("f0").alias("learner"),
        pl.struct(pl.col("f1").alias("time"), pl.col("f2").replace("", None).alias("attempt"))
        .struct.json_encode()
        .alias("context"),
        pl.lit(file.name).alias("path"),
        "line",
    )


def _rejects(file: Input, bad: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    fields = [name for name in ("line", "raw", "gone", *(f"f{n}" for n in range(6))) if name in rows.columns]
    _, hidden = hide_ids(bad.clear(), bad, rows.select(fields), ("f0",))
    return hidden.select(pl.lit(file.name).alias("path"), "line", "raw", "reason")


def _edits(edits: pl.DataFrame, file: Input, annotator: str) -> pl.DataFrame:
    shown = pl.format("{}-{} {}", "start", "end", pl.col("correction").fill_null(""))
    return edits.with_columns(
        pl.lit(annotator).alias("annotator"),
        pl.lit(file.name).alias("path"),
        shown.alias("raw"),
        (pl.col("error_type") if "error_type" in edits.columns else pl.lit("")).alias("error_type"),
    )


def _by_hand(file: Input, context: Context, on_bytes: OnBytes) -> Batch:
    """Sentences with the word under annotation: a category, no correction."""
    rows = replace_ids(_rows(file, 6, on_bytes), context, ("f0",))
    sentence = pl.col("f5")
    good, bad = divide(
        rows,
        (pl.col("gone"), FORGOTTEN_REASON),
        (pl.col("damaged"), "not valid UTF-8"),
        (pl.col("width") != 6, "expected id|time|attempt|label|category|sentence"),
        (sentence.str.replace_all("__|\\+\\+", "").str.strip_chars() == "", "the sentence is empty"),
    )
    marked = (
        good.select("line", "f3", "f4", sentence.str.replace_all("__", "").str.split("++").alias("part"))
        .explode("part")
        .with_columns(pl.col("part").str.len_chars().cast(pl.Int64).alias("size"))
        .with_columns(
            (pl.col("size").cum_sum().over("line") - pl.col("size")).alias("start"),
            (pl.int_range(pl.len()).over("line") % 2 == 1).alias("mark"),
        )
        .filter("mark")
    )
    edits = marked.select(
        pl.col("line").alias("doc"),
        "line",
        "start",
        (pl.col("start") + pl.col("size")).alias("end"),
        pl.lit(None, pl.String).alias("correction"),
        pl.col("f4").alias("error_type"),
        pl.format("label {}", "f3").alias("comment"),
    )
    documents = _documents(good, sentence.str.replace_all("__|\\+\\+", ""), file, BY_HAND)
    rejects = _rejects(file, bad, rows)
    return make_batch(documents, _edits(edits, file, BY_HAND), rejects, context, 0)


def _directed(file: Input, known: pl.DataFrame | None, context: Context, on_bytes: OnBytes) -> Batch:
    """Return the M2 in one batch, each part turned in the direction that the pairs indicate."""
    parts = list(read_m2(file, context, on_bytes))
    sentences, edits, rejects = (
        pl.concat(frames)
        for frames in (
            [p.tables["sentences"] for p in parts],
            [p.tables["edits"] for p in parts],
            [p.rejects for p in parts],
        )
    )
    whole = Batch(
        sum(p.read for p in parts),
        sum(p.taken for p in parts),
        {"sentences": sentences, "edits": edits},
        rejects,
        tuple(note for p in parts for note in p.notes),
    )
    noops = edits.filter(pl.col("start") == -1)
    if known is None or noops.is_empty():
        note = f"{file.name}: which way its edits go was not checked: the csv files say it"
        return replace(whole, notes=(note, *whole.notes)) if known is None else whole
    first = int(noops["line"].min()) - 1  # type: ignore[arg-type]
    before, after = (
        _votes(sentences, edits.filter(side), known)
        for side in (pl.col("line") < first, pl.col("line") > first)
    )
    if after[1] <= after[0]:
        return whole
    counts = f"{after[1]:,} of its edits turn an expected word into a learner's, {after[0]:,} the other way"
    note = (
        f"{file.name}: from line {first} on the sentences are the expected ones and the edits put errors in "
        f"({counts}; before it {before[1]:,} and {before[0]:,}); these were turned round"
    )
    reverse = sentences.filter(pl.col("line") >= first)
    kept = sentences.filter(pl.col("line") < first)
    back = _turned_round(
        reverse, edits.join(reverse, left_on="sentence", right_on="key", how="semi"), context
    )
    left = edits.join(kept, left_on="sentence", right_on="key", how="semi")
    tables = {
        "sentences": pl.concat([kept, back.tables["sentences"]], how="diagonal"),
        "edits": pl.concat([left, back.tables["edits"]], how="diagonal"),
    }
    lost = back.rejects.height
    notes = (note, *(other for other in whole.notes if RIGHT_ELSEWHERE not in other))
    return Batch(whole.read, whole.taken - lost, tables, pl.concat([rejects, back.rejects]), notes)


def _votes(sentences: pl.DataFrame, edits: pl.DataFrame, known: pl.DataFrame) -> tuple[int, int]:
    """Count edits from a learner's word to the expected one, and edits the other way."""
    tokens = sentences.select(
        pl.col("key").alias("sentence"), split_tokens(sentences["text"]).alias("tokens")
    )
    span = pl.col("tokens").list.slice(pl.col("start"), pl.col("end") - pl.col("start"))
    words = (
        edits.filter(pl.col("start") >= 0)
        .join(tokens, on="sentence")
        .select(
            span.list.join(" ").str.to_lowercase().alias("a"),
            pl.col("correction").str.to_lowercase().alias("b"),
        )
    )
    forth = words.join(
        known, left_on=["a", "b"], right_on=["learner", "expected"], how="semi", maintain_order="left"
    )
    back = words.join(
        known, left_on=["b", "a"], right_on=["learner", "expected"], how="semi", maintain_order="left"
    )
    both = forth.join(known, left_on=["b", "a"], right_on=["learner", "expected"], how="semi").height
    return forth.height - both, back.height - both


def _turned_round(sentences: pl.DataFrame, edits: pl.DataFrame, context: Context) -> Batch:
    """The learner's sentences, and the edits that lead to the expected ones."""
    who = edits.group_by("sentence").agg(pl.col("annotator").unique().sort().alias("annotators"))
    docs = (
        sentences.with_row_index("doc")
        .join(who, left_on="key", right_on="sentence", how="left", maintain_order="left")
        .with_columns(pl.col("doc").cast(pl.Int64), split_tokens(sentences["text"]).alias("tokens"))
    )
    changes = edits.filter(pl.col("start") >= 0).join(
        docs.select(pl.col("key").alias("sentence"), "doc", "tokens"), on="sentence", maintain_order="left"
    )
    begin, end = (_place("tokens", pl.col(name)) for name in ("start", "end"))
    inserted = pl.col("start") == pl.col("end")
    gap = pl.when(inserted).then(pl.lit(" ")).otherwise(pl.lit(""))
    changes = changes.select(
        "doc",
        "annotator",
        "error_type",
        "comment",
        "path",
        "line",
        begin.alias("start"),
        pl.when(inserted).then(begin).otherwise(end - 1).alias("end"),
        pl.concat_str("correction", gap).alias("correction"),
        pl.concat_str("start", "end", "correction", separator=" ").alias("raw"),
    )
    texts, back, bad = apply_edits(docs, changes)
    # Who lost an edit, here or when the M2 was read, gives no full correction.
    lost = pl.concat(
        [
            docs.select("doc", pl.col("incomplete").alias("lost")).explode("lost").drop_nulls("lost"),
            changes.join(bad, on=["path", "line"], how="semi").select(
                "doc", pl.col("annotator").alias("lost")
            ),
        ]
    )
    lost = lost.group_by("doc").agg(pl.col("lost").unique().sort())
    texts = texts.join(lost, on="doc", how="left", maintain_order="left")
    position = int(sentences["position"].min()) if sentences.height else 0  # type: ignore[arg-type]
    return make_batch(texts, back, bad, context, position)


def _place(tokens: str, index: pl.Expr) -> pl.Expr:
    """Characters before a token in the text: the tokens before it, and a space between words."""
    before = pl.col(tokens).list.slice(0, index)
    is_run = pl.col(tokens).list.get(index, null_on_oob=True).str.starts_with(" ").fill_null(False)
    words = before.list.eval(pl.element().filter(pl.element().str.strip_chars(" ") != "")).list.len()
    spaces = before.list.eval(pl.element().filter(pl.element().str.strip_chars(" ") == "")).list.len()
    size = before.list.eval(pl.element().str.len_chars()).list.sum()
    return (size + words - spaces - is_run.cast(pl.Int64)).cast(pl.Int64)
