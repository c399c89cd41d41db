"""Line-aligned texts: a learner's sentences and one or more corrections of each.

    dev.src    For not use car .
    dev.ref0   Not for use with a car .
    dev.ref1   Do not use a car .

The first file is the source, the others its references, each by one annotator (JFLEG,
Napoles, Sakaguchi and Tetreault, EACL 2017). A single file is read as a table without a header:
source, tab, correction, tab, correction (SIGHAN and its like), after an id in brackets if there is
one. Tables of MuCGEC and Lang-8 are known, others with further columns are refused (layouts.py).
Chinese, Japanese and Thai are cut into characters. The edits are found by `align`. A row is a line of
any of the files, or a field of a table.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import SENTENCES
from ...store.connection import add_key
from ..batch import Batch, Context, collect_rejects, divide
from ..files.numbered_lines import Input, OnBytes, read_lines
from .edits.align import Aligner, load_aligner
from .edits.character_edits import make_token_batch
from .edits.error_types import derive_errant_type
from .layouts import find_columns, refuse_tables, refuse_unrelated, replace_no_error
from .m2 import split_tokens
from .order import MOST_SENTENCES, check_file_names, collect_words, note_order

_UNSPACED = ("zh", "ja", "th", "lo", "km", "my")
_ID = r"^\((?:id=)?([^)\s]+)\)$"


def find_parallel(path: Path) -> list[Path] | None:
    """Find `*.src` and its `*.ref*` in a folder, in that order.

    Raises SourceError unless there is exactly one source with references.
    """
    if not path.is_dir():
        return None
    sources = [p for p in sorted(path.glob("*.src")) if p.with_suffix(".ref0").exists() or _references(p)]
    if len(sources) != 1:
        found = ", ".join(p.name for p in sources) or "none"
        raise SourceError(
            f"{path}: expected one *.src with its *.ref0, *.ref1 …, found {found}; name the files"
        )
    return [sources[0], *_references(sources[0])]


def _references(source: Path) -> list[Path]:
    found = [p for p in source.parent.glob(f"{source.stem}.ref*") if p.is_file()]
    return sorted(found, key=lambda p: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", p.name)])


def read_parallel(
    files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None
) -> Iterator[Batch]:
    """Read the sentences of the source and the edits of every reference.

    A note says if the corrections seem to come first. Raises SourceError if the files' names say so, they
    differ in length, one cannot be read, or what should be sentences are
    numbers, a header, addresses, or corrections that share nothing with their sources.
    """
    align, by = load_aligner(context.align, context.language)
    rows = _table(files[0], on_bytes) if len(files) == 1 else _lines(files, on_bytes)
    named = check_file_names(files) if len(files) > 1 else False
    position = 0
    words: list[pl.DataFrame] = []
    for frame in rows:
        batch = _batch(frame, files, context, position, align, by)
        if position < MOST_SENTENCES:
            words.append(collect_words(batch.tables, context.annotator_names.get("0", "0")))
        position += batch.tables["sentences"].height
        yield batch
    if words and not context.language.startswith(_UNSPACED):
        notes = note_order(words, files[0].name, named)
        yield Batch(0, 0, {}, collect_rejects([], files[0].name), notes)


def _lines(files: Sequence[Input], on_bytes: OnBytes) -> Iterator[pl.DataFrame]:
    """Frames of line, source and its references `r0`, `r1` …; SourceError if lengths differ."""
    streams = [_Lines(file, on_bytes) for file in files]
    while True:
        size = min(stream.ready() for stream in streams)
        if not size:
            break
        parts = [stream.take(size) for stream in streams]
        frame = parts[0].select(
            "line", pl.lit(None, pl.String).alias("id"), pl.col("raw").alias("source"), "damaged"
        )
        for number, part in enumerate(parts[1:]):
            frame = frame.with_columns(part["raw"].alias(f"r{number}"), frame["damaged"] | part["damaged"])
        for part, file in zip(parts, files, strict=True):
            refuse_tables(part["raw"], file.name)
        yield frame
    for stream in streams:
        stream.drain()
    longest = max(stream.lines for stream in streams)
    for stream in streams:
        if stream.lines < longest:
            raise SourceError(
                f"{stream.file.path}: has {stream.lines:,} lines, another file {longest:,}; "
                "line n of each must belong together"
            )


class _Lines:
    """A file's lines as a queue: blocks of several files do not end at the same line."""

    def __init__(self, file: Input, on_bytes: OnBytes) -> None:
        """Open the file; nothing is read yet."""
        self.file, self.lines = file, 0
        self._blocks = read_lines(file, on_bytes=on_bytes)
        self._held = pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "damaged": pl.Boolean})

    def ready(self) -> int:
        """Return the number of buffered lines; 0 at the end of the file."""
        if self._held.is_empty():
            self._held = next(self._blocks, self._held)
        return self._held.height

    def drain(self) -> None:
        """Count what is left."""
        while size := self.ready():
            self.take(size)

    def take(self, size: int) -> pl.DataFrame:
        """The next lines."""
        taken, self._held = self._held[:size], self._held[size:]
        self.lines += size
        return taken


def _table(file: Input, on_bytes: OnBytes) -> Iterator[pl.DataFrame]:
    """The same frames from one table."""
    width, shift = 0, None
    for block in read_lines(file, on_bytes=on_bytes):
        lines = block.filter(pl.col("raw").str.strip_chars() != "")
        fields = lines["raw"].str.split("\t")
        if shift is None:
            shift = find_columns(fields, file.name)
        head, fields = fields, fields.list.slice(shift)
        width = max(width, int(fields.list.len().max() or 0))  # type: ignore[arg-type]
        has_id = fields.list.get(0, null_on_oob=True).str.contains(_ID)
        rest = pl.select(pl.when(has_id).then(fields.list.slice(1)).otherwise(fields)).to_series()
        yield lines.select(
            "line",
            "damaged",
            pl.when(has_id)
            .then(fields.list.get(0, null_on_oob=True).str.extract(_ID))
            .otherwise(head.list.get(1 if shift > 1 else 0, null_on_oob=True) if shift else None)
            .alias("id"),
            rest.list.get(0, null_on_oob=True).alias("source"),
            *(rest.list.get(n + 1, null_on_oob=True).alias(f"r{n}") for n in range(max(1, width - 1))),
        )


def _batch(
    frame: pl.DataFrame, files: Sequence[Input], context: Context, position: int, align: Aligner, by: str
) -> Batch:
    path = files[0].name
    chinese = context.language.startswith("zh")
    names = [name for name in frame.columns if re.fullmatch(r"r\d+", name)]
    table = len(files) == 1
    if chinese:
        frame = frame.with_columns(replace_no_error(pl.col(n), pl.col("source")).alias(n) for n in names)
    for n in names:
        refuse_unrelated(frame["source"], frame[n], path if table else files[int(n[1:]) + 1].name)
    good, bad = divide(
        frame.with_columns(pl.col("source").fill_null("").alias("raw")),
        (pl.col("damaged"), "not valid UTF-8"),
        (pl.col("raw").str.strip_chars() == "", "the sentence is empty"),
        (pl.all_horizontal(pl.col(n).is_null() for n in names), "expected source, tab, correction"),
    )
    sentences = _sentences(good, path, context, position, names)
    source = [tokens.to_list() for tokens in split_tokens(sentences["text"])]
    edits, bad_references = [], []
    for name in names:
        who = context.annotator_names.get(name[1:], name[1:])
        at = path if table else files[int(name[1:]) + 1].name
        for row, (tokens, text, line) in enumerate(zip(source, good[name], good["line"], strict=True)):
            if text is None:
                continue
            if not text.strip():
                bad_references.append((at, line, text, "the correction is empty"))
                continue
            target = _tokens(text, context.language)
            if target != tokens:
                edits += [(row, who, *edit, at, line) for edit in align(tokens, target)]
    made = pl.DataFrame(
        edits,
        orient="row",
        schema={
            "sentence_at": pl.Int64,
            "annotator": pl.String,
            "start": pl.Int64,
            "end": pl.Int64,
            "correction": pl.String,
            "error_type": pl.String,
            "path": pl.String,
            "line": pl.Int64,
        },
    )
    made = made.with_columns(pl.lit(by).alias("aligned_by"), derive_errant_type(made)).with_row_index("order")
    missing = pl.DataFrame(
        bad_references,
        orient="row",
        schema={"path": pl.String, "line": pl.Int64, "raw": pl.String, "reason": pl.String},
    )
    rejects = pl.concat([bad.select(pl.lit(path).alias("path"), "line", "raw", "reason"), missing])
    references = sum(good.height - good[name].null_count() for name in names)
    return make_token_batch(sentences, made, rejects, good.height + bad.height + references, context)


def _sentences(
    rows: pl.DataFrame, path: str, context: Context, position: int, names: list[str]
) -> pl.DataFrame:
    """Sentences with the annotators whose reference of them is there."""
    spaced = not context.language.startswith(_UNSPACED)
    present = [
        pl.when(pl.col(n).str.strip_chars() != "").then(pl.lit(context.annotator_names.get(n[1:], n[1:])))
        for n in names
    ]
    raw = pl.col("source").str.strip_chars()
    texts = rows.select(raw).to_series()
    if not spaced:
        texts = pl.Series([" ".join(_tokens(text, context.language)) for text in texts], dtype=pl.String)
    sentences = rows.select(
        pl.lit(context.source).alias("source"),
        pl.lit(path).alias("path"),
        pl.coalesce("id", pl.lit(path)).alias("document"),
        pl.int_range(position, position + pl.len(), dtype=pl.Int64).alias("position"),
        pl.lit(context.language).alias("language"),
        texts.alias("text"),
        pl.lit(None, pl.String).alias("original") if spaced else raw.alias("original"),
        pl.concat_list(present).list.drop_nulls().alias("annotators"),
        "line",
    )
    return add_key(sentences, SENTENCES)


def _tokens(text: str, language: str) -> list[str]:
    """Tokens of a text: between spaces, or characters where the language writes none."""
    text = text.strip()
    if not language.startswith(_UNSPACED):
        return split_tokens(pl.Series([text]))[0].to_list() if "  " in text else text.split(" ")
    return list(re.findall(r"[A-Za-z0-9]+|\S", text))
