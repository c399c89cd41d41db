"""Edits with character offsets in running text -> sentences and edits in tokens.

A sentence is a line of the text, its tokens are the strings between spaces. An edit is widened to whole
tokens ("alot" with a space put in at 1 becomes alot -> a lot), so that applying it gives the
annotator's text with its own spacing and punctuation. Edits of one annotator inside one token
become one. A line end inside an edit joins its two lines to one sentence.
"""

import polars as pl

from .....schemas.tables import SENTENCES
from ....store.connection import add_key
from ...batch import Batch, Context, divide_named
from .error_types import NOOP, derive_errant_type
from .repeats import count_in, find_highest_before, mark_first, sum_before, take_before
from .whole import is_incomplete, mark_incomplete
from .widen import convert_to_tokens

DOCUMENTS = pl.Schema(
    {
        "doc": pl.Int64(),  # any number that distinguishes the documents of a batch
        "document": pl.String(),
        "text": pl.String(),
        "annotators": pl.List(pl.String()),  # all its annotators, also those who changed nothing
        "lost": pl.List(
            pl.String()
        ),  # annotators of whom the reader rejected an edit; ANYONE: not known whose
        "original": pl.String(),  # as published, where `text` was tokenised since; or null
        "learner": pl.String(),
        "level": pl.String(),
        "first_language": pl.String(),
        "context": pl.String(),
        "path": pl.String(),
        "line": pl.Int64(),
    }
)
EDITS = pl.Schema(
    {
        "doc": pl.Int64(),
        "annotator": pl.String(),
        "start": pl.Int64(),  # characters of the text
        "end": pl.Int64(),
        "correction": pl.String(),  # null: detected only
        "alternatives": pl.List(pl.String()),  # further corrections that the annotator allows, or null
        "error_type": pl.String(),
        "comment": pl.String(),
        "aligned_by": pl.String(),
        "path": pl.String(),
        "line": pl.Int64(),
        "raw": pl.String(),  # for rejects
    }
)


def make_batch(
    documents: pl.DataFrame, edits: pl.DataFrame, bad: pl.DataFrame, context: Context, position: int
) -> Batch:
    """Make a batch from DOCUMENTS, EDITS and the rejects so far (path, line, raw, reason).

    A row is a document or an edit. `position` is that of the first sentence.
    """
    documents = _with(documents, DOCUMENTS)
    edits = _with(edits, EDITS).with_row_index("order")
    if context.annotator_names:
        names = context.annotator_names
        edits = edits.with_columns(pl.col("annotator").replace(names))
        documents = documents.with_columns(
            pl.col("annotators", "lost").list.eval(pl.element().replace(names))
        )
    inside, out_of_range = _in_range(documents, edits)
    sentences = _sentences(documents, inside, context, position)
    sentences = mark_incomplete(sentences, edits.join(inside, on="order", how="anti"))
    placed, nowhere = _placed(sentences, inside)
    whole, only_spaces = convert_to_tokens(placed)
    rejects = pl.concat([bad.select("path", "line", "raw", "reason"), out_of_range, nowhere, only_spaces])
    read = documents.height + edits.height + bad.height
    return make_token_batch(sentences, whole, rejects, read, context)


def make_token_batch(
    sentences: pl.DataFrame, edits: pl.DataFrame, rejects: pl.DataFrame, read: int, context: Context
) -> Batch:
    """Make a batch from sentences (with `key` and `annotators`) and edits in tokens.

    Edits have `sentence_at`, the row of their sentence, and `order`. An annotator who did not change a
    sentence gets a noop, unless an edit of theirs was rejected (`incomplete`).
    """
    if "incomplete" not in sentences.columns:
        sentences = sentences.with_columns(pl.lit(None, pl.List(pl.String)).alias("incomplete"))
    made = pl.concat([edits, _noops(sentences, edits)], how="diagonal")
    made = made.sort("sentence_at", "annotator", "start", "end", "order")
    made = made.with_columns(
        count_in(mark_first("sentence_at")).alias("position"),
        sentences["key"].gather(made["sentence_at"]).alias("sentence"),
        pl.lit(context.source).alias("source"),
        pl.lit(True).alias("required"),
    )
    return Batch(
        read, read - rejects.height, {"sentences": sentences, "edits": made}, rejects.sort("path", "line")
    )


def apply_edits(
    documents: pl.DataFrame, edits: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Apply edits to their texts, and return these texts with the edits that lead back.

    For edits that corrupt a clean text. Edits that overlap an earlier one of their document are returned as
    rejects.
    """
    edits = edits.sort("doc", "start", "end", maintain_order=True)
    texts = documents.select("doc", "text", pl.col("text").str.len_chars().cast(pl.Int64).alias("size"))
    inside, outside = divide_named(
        edits.join(texts, on="doc", how="left", maintain_order="left"),
        (pl.col("text").is_null(), "an edit without a text that could be read"),
        (pl.col("start").is_null() | pl.col("end").is_null(), "an offset inside a character"),
        (
            (pl.col("end") > pl.col("size")) | (pl.col("start") < 0) | (pl.col("end") < pl.col("start")),
            pl.format("edit {}-{} lies outside the text's {} characters", "start", "end", "size"),
        ),
    )
    done = find_highest_before(pl.col("end"), mark_first("doc")).fill_null(0)
    good, clashing = divide_named(
        inside.with_columns(done.alias("done")),
        (pl.col("start") < pl.col("done"), "overlaps the edit before it"),
    )
    text, start, end = pl.col("text"), pl.col("start"), pl.col("end")
    done = take_before(end, mark_first("doc")).fill_null(0)  # again, without the rejected ones
    pieces = good.with_columns(
        pl.concat_str(text.str.slice(done, start - done), "correction").alias("piece"),
        text.str.slice(start, end - start).alias("before"),
    ).with_columns(pl.col("piece").str.len_chars().cast(pl.Int64).alias("length"))
    pieces = pieces.with_columns(
        (sum_before(pl.col("length"), mark_first("doc")) + pl.col("length")).alias("to")
    )
    made = pieces.group_by("doc", maintain_order=True).agg(
        pl.concat_str(pl.col("piece").str.join(""), text.last().str.slice(end.last())).alias("made")
    )
    back = pieces.with_columns(
        (pl.col("to") - pl.col("correction").str.len_chars()).cast(pl.Int64).alias("start"),
        pl.col("to").alias("end"),
        pl.col("before").alias("correction"),
    ).drop("piece", "length", "before", "to", "text", "size", "done")
    documents = documents.join(made, on="doc", how="left", maintain_order="left")
    documents = documents.with_columns(pl.coalesce("made", "text").alias("text")).drop("made")
    return documents, back, pl.concat([outside, clashing])


def make_frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Make a frame of documents or edits from a parser that returns them one by one."""
    return pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame(schema={"doc": pl.Int64})


def _with(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The schema's columns; those that are absent are null."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def _in_range(documents: pl.DataFrame, edits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    start, end, size = pl.col("start"), pl.col("end"), pl.col("size")
    sized = edits.join(
        documents.select("doc", "text", pl.col("text").str.len_chars().cast(pl.Int64).alias("size")),
        on="doc",
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("text").str.slice(start, pl.max_horizontal(end - start, 0)).alias("before"))
    good, bad = divide_named(
        sized,
        (size.is_null(), "an edit without a text that could be read"),
        (start.is_null() | end.is_null(), "expected two character offsets"),
        (
            (start < 0) | (end < start) | (end > size),
            pl.format("edit {}-{} lies outside the text's {} characters", start, end, size),
        ),
        (
            (pl.col("correction") == pl.col("before")) & pl.col("alternatives").is_null(),
            "the edit changes nothing",
        ),
    )
    return good.drop("text", "size"), bad


def _sentences(documents: pl.DataFrame, edits: pl.DataFrame, context: Context, position: int) -> pl.DataFrame:
    """The lines of the documents, with `doc` and the place of their first character in it."""
    lines = (
        documents.with_columns(pl.col("text").str.split("\n"))
        .explode("text")
        .with_columns((pl.col("text").str.len_chars().cast(pl.Int64) + 1).alias("size"))
        .with_columns(sum_before(pl.col("size"), mark_first("doc")).alias("from"))
        .with_row_index("row")
    )
    broken = edits.filter(pl.col("before").str.contains("\n", literal=True))
    if broken.height:
        first, last = (_line_of(lines, broken, name) for name in ("start", "end"))
        inner = pl.select(pl.int_ranges(pl.lit(first) + 1, pl.lit(last) + 1).alias("row")).explode("row")
        glued = lines["row"].cast(pl.Int64).is_in(inner["row"].implode())
        groups = (~glued).cum_sum()
        lines = (
            lines.with_columns(groups.alias("group"))
            .group_by("group", maintain_order=True)
            .agg(pl.exclude("text", "size").first(), pl.col("text").str.join("\n"))
        )
    text = pl.col("text").str.strip_chars(" \r\t")
    lead = (
        pl.col("text").str.len_chars() - pl.col("text").str.strip_chars_start(" \r\t").str.len_chars()
    ).cast(pl.Int64)
    kept = lines.select(
        "doc",
        "document",
        "annotators",
        "lost",
        "original",
        "learner",
        "level",
        "first_language",
        "context",
        "path",
        "line",
        pl.col("from").alias("begin"),
        (pl.col("from") + lead).alias("from"),
        text.alias("text"),
    ).filter(pl.col("text") != "")
    kept = kept.with_columns(
        pl.lit(context.source).alias("source"),
        pl.lit(context.language).alias("language"),
        pl.int_range(position, position + pl.len(), dtype=pl.Int64).alias("position"),
    )
    return add_key(kept, SENTENCES)


def _line_of(lines: pl.DataFrame, edits: pl.DataFrame, place: str) -> pl.Series:
    """Find the row of the line in which each edit's start or end is."""
    found = edits.select("doc", pl.col(place).alias("from")).with_row_index("n").sort("from")
    places = lines.select("doc", "from", pl.col("row").cast(pl.Int64)).sort("from")
    return found.join_asof(places, on="from", by="doc", check_sortedness=False).sort("n")["row"]


def _placed(sentences: pl.DataFrame, edits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Edits with their sentence, offsets in it, and its text; `errant_type` from the annotator's span."""
    edits = edits.with_columns(derive_errant_type(edits))
    rows = sentences.select("doc", "begin", "from", "text").with_row_index("sentence_at").sort("begin")
    found = (
        edits.sort("start")
        .join_asof(rows, left_on="start", right_on="begin", by="doc", check_sortedness=False)
        .sort("order")
    )
    # An edit in the white space before a line's first word is that line's: text inserted there goes first.
    # White space before the first line belongs to no sentence.
    size = pl.col("text").str.len_chars().cast(pl.Int64)
    first = rows.group_by("doc").agg(pl.all().sort_by("begin").first())
    missing = (
        found.filter(pl.col("text").is_null())
        .drop("sentence_at", "begin", "from", "text")
        .join(first, on="doc", how="left")
    )
    found = pl.concat([found.filter(pl.col("text").is_not_null()), missing.select(found.columns)]).sort(
        "order"
    )
    found = _keep_apart(found.with_columns(pl.col("sentence_at").cast(pl.Int64)), size)
    good, bad = divide_named(
        found.with_columns(
            pl.min_horizontal((pl.col(name) - pl.col("from")).clip(0), size).alias(name)
            for name in ("start", "end")
        ),
        (pl.col("text").is_null(), "an edit in an empty text"),
    )
    return good.drop("begin", "from", "before"), bad


def _keep_apart(edits: pl.DataFrame, size: pl.Expr) -> pl.DataFrame:
    """Put a space between a line and text that is put into the white space around it, but not right beside.

    That white space is no part of the sentence. Of edits side by side the one next to it gets the space.
    """
    begin = pl.col("from")
    by = ("sentence_at", "annotator")
    before, after = pl.col("end") < begin, pl.col("start") > begin + size
    if not edits.select((before | after).any()).item():
        return edits
    rows = edits.sort(*by, "start", "end", "order").with_columns(mark_first(*by).alias("first"))
    first = pl.col("first")
    last = first.shift(-1, fill_value=True)
    lead = before & (last | (pl.col("start").shift(-1) != pl.col("end")))
    tail = after & (first | (pl.col("end").shift() != pl.col("start")))
    space = pl.lit(" ")

    def put(text: pl.Expr) -> pl.Expr:
        bare = text.str.strip_chars() == ""
        return pl.when(bare).then(text).when("lead").then(text + space).when("tail").then(space + text)

    rows = rows.with_columns(lead.alias("lead"), tail.alias("tail"))
    moved = rows.filter(pl.col("lead") | pl.col("tail"))
    others = (
        moved.select("order", "lead", "tail", "alternatives")
        .drop_nulls("alternatives")
        .explode("alternatives")
        .with_columns(put(pl.col("alternatives")).alias("alternatives"))
        .group_by("order", maintain_order=True)
        .agg("alternatives")
    )
    moved = moved.with_columns(put(pl.col("correction")).alias("correction")).drop("alternatives")
    moved = moved.join(others, on="order", how="left")
    still = rows.filter(~(pl.col("lead") | pl.col("tail")))
    return pl.concat([still, moved.select(rows.columns)]).drop("lead", "tail", "first").sort("order")


def _noops(sentences: pl.DataFrame, edits: pl.DataFrame) -> pl.DataFrame:
    """A noop for every sentence that an annotator of its document did not change."""
    everyone = (
        sentences.with_row_index("sentence_at")
        .select(
            pl.col("sentence_at").cast(pl.Int64),
            pl.col("annotators").alias("annotator"),
            "path",
            "line",
            "incomplete",
        )
        .explode("annotator")
        .drop_nulls("annotator")
        .filter(~is_incomplete())
        .drop("incomplete")
    )
    silent = everyone.join(edits, on=["sentence_at", "annotator"], how="anti", maintain_order="left")
    minus = pl.lit(-1, pl.Int64)
    return silent.with_columns(minus.alias("start"), minus.alias("end"), pl.lit(NOOP).alias("error_type"))
