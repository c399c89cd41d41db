"""M2: a tokenised sentence and its annotators' edits.

    S This are a sentence .
    A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0
    A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1

Alternatives stand between "||" inside the correction: the first is the correction, `as_written` has all.
Dahlmeier and Ng (NAACL 2012) and ERRANT (Bryant et al., ACL 2017). A sentence starts at "S ",
not at a blank line: some corpora leave blank lines out. A row is an S line or an A line. Where a
file's first sentence is "# 0002" and its annotators say noop, such sentences name documents (UA-GEC).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from ....schemas.tables import SENTENCES
from ...store.connection import add_key
from ..batch import Batch, Context, collect_rejects, divide
from ..files.numbered_lines import Input, OnBytes, read_lines
from .edits.direction import collect_judgements, note_direction
from .edits.error_types import DETECTION_ONLY, NOOP, derive_errant_type
from .edits.repeats import count_in, mark_first
from .edits.whole import ANYONE
from .edits.widen import NONE, OR

_KNOWN_LINE = r"^T\d+(-A\d+)? "  # CherrANT's: the sentence as an annotator would have it
_FIELDS = ("span", "error_type", "written", "required", "comment", "annotator")
_HEADER = r"^# \S+$"


@dataclass
class _Place:
    """The place in the file where the next block starts."""

    position: int = 0
    document: str | None = None  # of the last header
    has_headers: bool | None = None  # not known before the first sentence
    known_lines: int = 0  # of CherrANT
    judgements: list[pl.DataFrame] = field(default_factory=list)  # collect_judgements of each block


def read_m2(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the sentences and edits of one M2 file, a block at a time.

    Edits outside their sentence, edits that change nothing, lines of no known kind and edits without a
    sentence are rejected with their line; the rest of the block is kept, and the annotator (all of them,
    where it cannot be read whose the line is) stands in the sentence's `incomplete`. A line of no known kind
    after a blank line may be a damaged S line: the edits below it are rejected too, and not given to the
    sentence before it. A note says where edits seem to put errors in. Raises SourceError if the file cannot
    be read.
    """
    place = _Place()
    held: Batch | None = None
    for block in read_lines(file, cut=b"\nS ", on_bytes=on_bytes):
        if held is not None:
            yield held
        known = pl.col("raw").str.contains(_KNOWN_LINE)
        place.known_lines += int(block.select(known.sum()).item())
        held = _parse(block.filter(~known), file.name, context, place)
        place.judgements.append(collect_judgements(held.tables["sentences"], held.tables["edits"]))
    if held is not None:
        notes = _note_known_lines(file.name, place.known_lines)
        yield replace(held, notes=(*notes, *note_direction(file.name, place.judgements)))


def _note_known_lines(path: str, n: int) -> tuple[str, ...]:
    if not n:
        return ()
    return (
        f"{path}: {n:,} lines T0-A0 … (CherrANT: the sentence as an annotator would have it) are not stored: "
        "the edits give these texts",
    )


def _parse(block: pl.DataFrame, path: str, context: Context, place: _Place) -> Batch:
    raw, blank = pl.col("raw"), pl.col("raw").str.strip_chars() == ""
    rows = (
        block.with_columns(blank.shift(1, fill_value=True).alias("after_blank"))
        .filter(~blank)
        .with_columns(
            (raw.str.starts_with("S ") | (raw == "S")).alias("is_sentence"),
            raw.str.starts_with("A ").alias("is_edit"),
        )
        .with_columns((pl.col("is_sentence") | (~pl.col("is_edit") & pl.col("after_blank"))).alias("opens"))
        .with_columns((pl.col("opens").cum_sum().cast(pl.Int64) - 1).alias("block"))  # -1: before any
    )
    blocks, tokens, bad_sentences = _sentences(rows.filter("opens"))
    edits, bad_edits, lost = _edits(rows.filter("is_edit"), blocks, tokens, context)
    blocks, headers = _documents(blocks, edits, path, context, place)
    sentences = blocks.filter("sound", ~pl.col("header"))
    unknown = rows.filter(~pl.col("is_sentence"), ~pl.col("is_edit"))
    strays = unknown.select(
        "line", "raw", pl.lit("expected a line that starts with 'S ' or 'A '").alias("reason")
    )
    sentences = _mark_incomplete(sentences, lost, unknown)
    kept = edits if not headers else edits.filter(~blocks["header"].gather(edits["block"]))
    kept = kept.with_columns(
        blocks["key"].gather(kept["block"]).alias("sentence"),
        pl.lit(context.source).alias("source"),
        pl.lit(path).alias("path"),
    )
    return Batch(
        read=rows.height,
        taken=sentences.height + headers + edits.height,
        tables={"sentences": sentences, "edits": kept},
        rejects=collect_rejects([bad_sentences, bad_edits, strays], path),
    )


def _mark_incomplete(sentences: pl.DataFrame, lost: pl.DataFrame, strays: pl.DataFrame) -> pl.DataFrame:
    """Add `incomplete`: annotators of rejected A lines; ANYONE for lines of no known kind in the block.

    A line of no known kind after a blank line may be an edit of the sentence before it.
    """
    at = pl.col("block") - pl.col("opens").cast(pl.Int64)
    unknown = strays.select(at.alias("block"), pl.lit(ANYONE).alias("annotator"))
    marks = (
        pl.concat([lost.select("block", "annotator"), unknown])
        .group_by("block")
        .agg(pl.col("annotator").unique().sort().alias("incomplete"))
    )
    return sentences.join(marks, left_on="opened", right_on="block", how="left", maintain_order="left")


def split_tokens(texts: pl.Series) -> pl.Series:
    """Split texts into tokens as in `sentences.tokens`: a run of spaces is a token."""
    runs = texts.str.contains("  ", literal=True)
    if not runs.any():
        return texts.str.split(" ")
    # The slow way for those that need it; then all back in their order.
    parts = [texts.filter(~runs).str.split(" "), texts.filter(runs).str.extract_all("[^ ]+| {2,}")]
    return pl.concat(parts).gather(pl.concat([(~runs).arg_true(), runs.arg_true()]).arg_sort())


def _sentences(opening: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series, pl.DataFrame]:
    """One row per block, its tokens in one long series, and the S lines that cannot be taken.

    A block's tokens start at `first` of that series and are `size` many.
    """
    text = pl.col("raw").str.slice(2).str.strip_chars_end(" ")
    blocks = opening.select(
        "line", "raw", "damaged", "is_sentence", pl.col("block").alias("opened"), text.alias("text")
    )
    sound = pl.col("is_sentence") & ~pl.col("damaged") & (pl.col("text") != "")
    blocks = blocks.with_columns(sound.alias("sound"))
    _, bad = divide(
        blocks.filter("is_sentence"),
        (pl.col("damaged"), "not valid UTF-8"),
        (pl.col("text") == "", "the sentence is empty"),
    )
    lists = split_tokens(blocks["text"])
    sizes = lists.list.len().cast(pl.Int64)
    blocks = blocks.with_columns(sizes.alias("size"), (sizes.cum_sum() - sizes).alias("first"))
    return blocks.drop("raw", "damaged"), lists.explode(), bad


def _fields(lines: pl.DataFrame, blocks: pl.DataFrame) -> pl.DataFrame:
    """A lines split into their fields, with size, first and sound of their block."""
    at = lines.select(pl.when(pl.col("block") >= 0).then("block"))["block"]
    fields = pl.col("raw").str.split("|||")
    span = pl.col("span").str.strip_chars_end(" ").str.splitn(" ", 3).struct
    return (
        lines.select("line", "raw", "damaged", "block", fields.alias("fields"))
        .with_columns(
            pl.col("fields").list.len().alias("n_fields"),
            *(pl.col("fields").list.get(i, null_on_oob=True).alias(n) for i, n in enumerate(_FIELDS)),
            *(blocks[name].gather(at) for name in ("size", "first", "sound")),
        )
        .with_columns(
            span[1].cast(pl.Int64, strict=False).alias("start"),
            span[2].cast(pl.Int64, strict=False).alias("end"),
            pl.col("annotator").str.strip_chars(),
            pl.col("written").str.contains(OR, literal=True).alias("several"),
            pl.col("written").str.split(OR).list.first().replace(NONE, "").alias("correction"),
        )
    )


def _edits(
    lines: pl.DataFrame, blocks: pl.DataFrame, tokens: pl.Series, context: Context
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Edits that can be taken, the A lines that cannot, and block and annotator of the latter."""
    start, end, size = pl.col("start"), pl.col("end"), pl.col("size")
    noop = (start == -1) & (end == -1)
    detected = pl.col("error_type").is_in(DETECTION_ONLY)
    fields = _fields(lines, blocks)
    fields = fields.with_columns(_same(fields, tokens).alias("same"))
    good, bad = divide(
        fields,
        (pl.col("damaged"), "not valid UTF-8"),
        (~pl.col("sound").fill_null(False), "an edit without a sentence that could be read"),
        (
            pl.col("n_fields") != len(_FIELDS),
            pl.format("expected 6 fields between '|||', found {}", "n_fields"),
        ),
        (
            pl.col("required").str.starts_with("|"),
            "where one alternative ends and the next field begins cannot be told: five or more bars in a row",
        ),
        (start.is_null() | end.is_null(), "expected two token offsets after 'A '"),
        (pl.col("annotator") == "", "the annotator's id is empty"),
        (
            ~noop & ((start < 0) | (end < start) | (end > size)),
            pl.format("edit {}-{} lies outside the sentence's {} tokens", start, end, size),
        ),
        (~noop & ~detected & pl.col("same") & ~pl.col("several"), "the edit changes nothing"),
    )
    names = context.annotator_names
    edits = good.select(
        "block",
        count_in(mark_first("block")).alias("position"),
        pl.col("annotator").replace(names) if names else "annotator",
        "start",
        "end",
        pl.when(noop).then(pl.lit(NOOP)).otherwise("error_type").alias("error_type"),
        pl.when(~noop & ~detected).then("correction").alias("correction"),
        (pl.col("required") == "REQUIRED").alias("required"),
        pl.when(pl.col("comment") != NONE).then("comment").alias("comment"),
        pl.when(
            pl.col("written")
            != pl.when(noop).then(pl.lit(NONE)).when(detected).then(pl.lit("")).otherwise("correction")
        )
        .then("written")
        .alias("as_written"),
        "line",
    )
    readable = (pl.col("n_fields") == len(_FIELDS)) & ~pl.col("damaged") & (pl.col("annotator") != "")
    who = pl.col("annotator").replace(names) if names else pl.col("annotator")
    lost = fields.join(bad, on="line", how="semi").select(
        "block", pl.when(readable).then(who).otherwise(pl.lit(ANYONE)).alias("annotator")
    )
    return edits.with_columns(derive_errant_type(edits)), bad, lost


def _same(fields: pl.DataFrame, tokens: pl.Series) -> pl.Series:
    """True if a correction equals the tokens it replaces."""
    width = pl.col("end") - pl.col("start")
    inside = (pl.col("start") >= 0) & (pl.col("end") <= pl.col("size")) & (width >= 0)
    at = fields.select(pl.when(inside & (width == 1)).then(pl.col("first") + pl.col("start")))
    wanted = pl.col("correction").str.strip_chars()
    one = fields.select(tokens.gather(at.to_series()).alias("token"), wanted)
    same = one.select((pl.col("token") == pl.col("correction")).fill_null(False)).to_series()
    same |= fields.select((inside & (width == 0) & (wanted == "")).fill_null(False)).to_series()
    row = pl.int_range(pl.len(), dtype=pl.Int64).alias("row")
    long = inside & (width > 1) & wanted.str.contains(" ", literal=True)
    spans = fields.select("first", "start", "end", wanted.alias("wanted"), row, long.alias("long"))
    spans = spans.filter("long")
    if spans.is_empty():
        return same
    reach = pl.int_ranges(pl.col("first") + pl.col("start"), pl.col("first") + pl.col("end"))
    places = spans.select("row", reach.alias("at")).explode("at")
    before = (
        places.with_columns(tokens.gather(places["at"]).alias("token"))
        .group_by("row", maintain_order=True)
        .agg(pl.col("token").str.join(" "))
    )
    equal = before["token"] == spans["wanted"]
    return same.scatter(spans["row"].filter(equal), True)


def _documents(
    blocks: pl.DataFrame, edits: pl.DataFrame, path: str, context: Context, place: _Place
) -> tuple[pl.DataFrame, int]:
    """Blocks with key, document and position; how many of them only name a document."""
    blocks = blocks.with_columns(pl.lit(False).alias("header"))
    if place.has_headers is not False:
        # A sentence without any A line is a sentence: it may well be "# 1".
        said = edits.group_by("block").agg((pl.col("error_type") == NOOP).all().alias("unchanged"))
        unchanged = said.filter("unchanged")["block"].implode()
        is_header = pl.int_range(pl.len(), dtype=pl.Int64).is_in(unchanged)
        blocks = blocks.with_columns(
            (pl.col("sound") & is_header & pl.col("text").str.contains(_HEADER)).alias("header")
        )
    if place.has_headers is None and blocks["sound"].any():
        place.has_headers = bool(blocks.filter("sound")["header"][0])
    if not place.has_headers:
        blocks = blocks.with_columns(pl.lit(False).alias("header"))
    name = pl.when("header").then(pl.col("text").str.slice(2)).forward_fill()
    is_sentence = pl.col("sound") & ~pl.col("header")
    blocks = blocks.with_columns(
        pl.lit(context.source).alias("source"),
        pl.lit(path).alias("path"),
        pl.lit(context.language).alias("language"),
        name.fill_null(place.document or path).alias("document"),
        (is_sentence.cum_sum().cast(pl.Int64) - 1 + place.position).alias("position"),
    )
    if blocks.height:
        last = blocks.row(-1, named=True)
        place.position = last["position"] + 1
        place.document = last["document"] if place.has_headers else None
    return add_key(blocks, SENTENCES), int(blocks["header"].sum())
