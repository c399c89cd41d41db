"""Anki: the review log of a collection (.anki2, .apkg, .colpkg) or of its export as CSV.

    id,cid,usn,ease,ivl,lastIvl,factor,time,type
    1737747496478,1724592148120,1170,3,-600,-60,0,2411,0

id: when, in milliseconds; cid: the card, which is the item unless its note names one (anki_notes); ease: 0
none, 1 again, 2 hard, 3 good, 4 easy, and again is a failure; ivl: until it is due, in days, or in seconds
where negative; time: taken, in ms, never more than the collection's cap; type: the kind of review. A row is a
row of the log. A collection is one person's: --learner names the learner. (Anki manual; rslib/src/revlog of
ankitects/anki.)
"""

import itertools
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa

from ....schemas.errors import SourceError
from ....schemas.tables import REVIEWS
from ...store.places import hold_temporary_folder
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, divide, find_repeats, make_no_ids
from ..files.delimited import read_records
from ..files.numbered_lines import Input, OnBytes
from ..people import replace_ids
from .anki_notes import check_note_map, make_no_notes, read_notes

_COLUMNS = ("id", "cid", "ease", "ivl", "time", "type")
_KINDS = {0: "learn", 1: "review", 2: "relearn", 3: "filtered", 4: "manual", 5: "rescheduled"}
_GRADES = 4
_PACKAGES = (".apkg", ".colpkg")
_COLLECTIONS = (".anki2", ".anki21")
# Newest first: a package of a new Anki also has an old collection, which only asks to update.
_INSIDE = ("collection.anki21b", "collection.anki21", "collection.anki2")
_BATCH_ROWS = 200_000
_LONGEST_CELL = 40  # characters; longer ones are no whole numbers
_LEAST_ROW = 8  # bytes of a row in a collection
_STEPS_PER_ROW = 200  # of SQLite's machine
_STEP = 100_000
_DAY_S = 86_400


def find_anki(path: Path) -> list[Path] | None:
    """Find the collections of a folder, else its revlog*.csv. Raises SourceError if it has neither."""
    if not path.is_dir():
        return None
    kinds = ("*.colpkg", "*.apkg", "*.anki2", "*.anki21", "revlog*.csv")
    for found in (sorted(path.rglob(kind)) for kind in kinds):
        if found:
            return found
    raise SourceError(f"{path}: holds no {', '.join(kinds)}; name the file itself")


def read_anki(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the reviews of one collection or export.

    Raises SourceError if the package is damaged or is not a collection.
    """
    suffix = file.path.suffix.lower()
    check_note_map(context.columns, file.path)
    if suffix in _PACKAGES:
        with _unpacked(file) as collection:
            yield from _read_collection(file, collection, context)
        on_bytes(file.path.stat().st_size)
    elif suffix in _COLLECTIONS:
        yield from _read_collection(file, file.path, context)
        on_bytes(file.path.stat().st_size)
    elif context.columns:
        raise SourceError(f"{file.path}: holds no notes, so --map has nothing to read; give the collection")
    else:
        yield from _batches(file, _csv(file, on_bytes), context)


def _read_collection(file: Input, collection: Path, context: Context) -> Iterator[Batch]:
    """Read the reviews of a collection, and say which cards are items of a store."""
    notes = _read_items(collection, file.path, context)
    yield from _batches(file, _rows(collection, file.path), context, notes)
    if notes.height:
        explained = notes["completion"].count()
        note = (
            f"{file.name}: {notes.height:,} cards are items that their notes name, {explained:,} of them "
            "with the explanation that they show"
        )
        yield Batch(0, 0, {}, collect_rejects([], file.name), (note,))


def _batches(
    file: Input,
    blocks: Iterator[tuple[pl.DataFrame, pl.DataFrame]],
    context: Context,
    notes: pl.DataFrame | None = None,
) -> Iterator[Batch]:
    notes = make_no_notes() if notes is None else notes
    seen = make_no_ids()
    longest = many = 0  # the longest time, and how many reviews took it
    for rows, bad in blocks:
        again, seen = find_repeats(rows.select("line", "id"), seen)
        marked = rows.join(again.drop("twice"), on="line", how="left", maintain_order="left").join(
            notes, on="cid", how="left", maintain_order="left"
        )
        batch = _batch(marked, bad, file.name, context)
        yield batch
        took = batch.tables[REVIEWS.name]["duration_ms"].drop_nulls()
        top = int(max(took, default=0))
        n = int((took == top).sum())
        longest, many = (longest, many + n) if top == longest else max((longest, many), (top, n))
    if many > 1 and longest and longest % 1000 == 0:
        note = (
            f"{file.name}: {many:,} reviews took {longest:,} ms, where the clock stops; "
            "they may have taken longer"
        )
        yield Batch(0, 0, {}, collect_rejects([], file.name), (note,))


def _csv(file: Input, on_bytes: OnBytes) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    for records, bad in read_records(file, on_bytes=on_bytes):
        missing = [name for name in _COLUMNS if name not in records.columns]
        if missing:
            raise SourceError(
                f"{file.path}: no column {', '.join(missing)}; expected Anki's revlog, "
                f"with {', '.join(_COLUMNS)}; other logs: preceptor ingest reviews"
            )
        yield records.select("line", "raw", *_COLUMNS), bad


@contextmanager
def _unpacked(file: Input) -> Iterator[Path]:
    """The collection inside a package, in a temporary folder beside the store."""
    try:
        with (
            hold_temporary_folder() as folder,
            zipfile.ZipFile(file.path) as package,
        ):
            inside = [name for name in _INSIDE if name in package.namelist()]
            if not inside:
                raise SourceError(f"{file.path}: holds no collection ({', '.join(_INSIDE)}); export it again")
            path = folder / "collection.anki2"
            with package.open(inside[0]) as packed, path.open("wb") as unpacked:
                stream = pa.input_stream(packed, compression="zstd" if inside[0].endswith("b") else None)
                counted = file.allowance.watch(file.path, stream)
                while block := counted.read(1 << 20):
                    unpacked.write(block)
            yield path
    except SourceError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise SourceError(f"{file.path}: a damaged package ({error}); export it again") from error


def _rows(collection: Path, shown: Path) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The log's rows as text, in its order; the line is the row's number."""
    nothing = pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "reason": pl.String})
    most = collection.stat().st_size // _LEAST_ROW
    first = 1
    try:
        with closing(_open(collection, most)) as con:
            _check_table(con, shown, "revlog")
            cells = map(_read_cell_sql, _COLUMNS)
            found = con.execute(f"SELECT {', '.join(cells)} FROM revlog ORDER BY id")
            while rows := found.fetchmany(_BATCH_ROWS):
                frame = pl.DataFrame(rows, schema=dict.fromkeys(_COLUMNS, pl.String), orient="row")
                lines = pl.int_range(first, first + frame.height, dtype=pl.Int64).alias("line")
                raw = pl.concat_str(pl.col(n).fill_null("") for n in _COLUMNS)
                yield frame.select(lines, raw.alias("raw"), *_COLUMNS), nothing
                first += frame.height
                if first > most + 1:
                    raise sqlite3.DatabaseError("it holds more rows than have room in it")
    except _UNREADABLE as error:
        raise _refuse(shown, error) from error


_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, OverflowError)


def _refuse(shown: Path, error: Exception) -> SourceError:
    return SourceError(
        f"{shown}: not an Anki collection with a review log of {', '.join(_COLUMNS)} ({error}); close Anki "
        "and export the collection with its scheduling"
    )


def _read_items(collection: Path, shown: Path, context: Context) -> pl.DataFrame:
    """Read which items cards are (`read_notes`); none where the collection has no notes."""
    try:
        with closing(_open(collection, collection.stat().st_size // _LEAST_ROW)) as con:
            there = [_check_table(con, shown, name) for name in ("revlog", "cards", "notes")]
            if all(there):
                return read_notes(con, context.columns, shown)
    except _UNREADABLE as error:
        raise _refuse(shown, error) from error
    if context.columns:
        raise SourceError(f"{shown}: holds no notes, so --map has nothing to read; export it with its notes")
    return make_no_notes()


def _read_cell_sql(name: str) -> str:
    """SQL for a cell's text; a longer one than any number is cut and marked, and so is no number."""
    text = f"CAST({name} AS TEXT)"
    cut = f"substr({text}, 1, {_LONGEST_CELL}) || '…'"
    return f"CASE WHEN length({text}) > {_LONGEST_CELL} THEN {cut} ELSE {text} END"


def _open(collection: Path, most: int) -> sqlite3.Connection:
    """Open a stranger's collection read-only, without waiting for Anki's lock; what never ends is ended."""
    con = sqlite3.connect(f"{collection.resolve().as_uri()}?mode=ro", uri=True)
    try:
        con.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        con.execute("PRAGMA trusted_schema = OFF")
        con.execute("PRAGMA query_only = ON")
        con.execute("PRAGMA cell_size_check = ON")
        steps = itertools.count(1)
        allowed = 100 + most * _STEPS_PER_ROW // _STEP
        con.set_progress_handler(lambda: next(steps) > allowed, _STEP)
    except BaseException:
        con.close()
        raise
    return con


def _check_table(con: sqlite3.Connection, shown: Path, name: str) -> bool:
    """Check that a table is one of stored rows: a view or a computed column can be without end.

    False if there is none.
    """
    named = "SELECT type, rootpage FROM sqlite_master WHERE lower(name) = ?"
    found = con.execute(named, [name]).fetchall()
    if not found:
        return False
    kinds = {kind for kind, _ in found}
    hidden = [row[1] for row in con.execute(f"PRAGMA table_xinfo({name})") if row[6]]
    if kinds != {"table"} or not found[0][1] or hidden:
        what = f"computes its column '{hidden[0]}'" if hidden else "is no table of stored rows"
        which = "review log" if name == "revlog" else f"table of {name}"
        raise SourceError(
            f"{shown}: its {which} {what}, which Anki never writes; do not open it, and ask for the "
            "export anew"
        )
    return True


def _batch(rows: pl.DataFrame, bad: pl.DataFrame, path: str, context: Context) -> Batch:
    number = {name: pl.col(name).cast(pl.Int64, strict=False) for name in _COLUMNS}
    owner = pl.lit(context.learner or context.source)
    named = replace_ids(rows.with_columns(owner.alias("learner")), context, ["learner"])
    good, wrong = divide(
        named,
        (pl.col("gone"), FORGOTTEN_REASON),
        *((number[name].is_null(), f"'{name}' is not a whole number") for name in _COLUMNS),
        (~number["id"].is_between(10**11, 10**14), "'id' is no time in milliseconds"),
        (pl.col("first").is_not_null(), pl.format("id is already used on line {}", "first")),
        (~number["ease"].is_between(0, _GRADES), pl.format("ease is {}, expected 0 to 4", "ease")),
        (~number["type"].is_in(list(_KINDS)), pl.format("type is {}, expected 0 to 5", "type")),
        (number["time"] < 0, "'time' is negative"),
    )
    graded = number["ease"] > 0
    reviews = good.select(
        pl.lit(context.source).alias("source"),
        "learner",
        pl.coalesce("item", "cid").alias("item"),
        pl.from_epoch(number["id"], time_unit="ms").dt.replace_time_zone("UTC").alias("at"),
        number["type"].replace_strict(_KINDS, default=None, return_dtype=pl.String).alias("kind"),
        pl.when(graded).then(number["ease"] > 1).alias("correct"),
        pl.when(graded).then(number["ease"]).alias("grade"),
        number["time"].alias("duration_ms"),
        pl.when(number["ivl"] < 0)
        .then(-number["ivl"] / _DAY_S)
        .otherwise(number["ivl"].cast(pl.Float64))
        .alias("interval_days"),
        "completion",
        pl.lit(0, pl.Int64).alias("n"),
        pl.lit(path).alias("path"),
        "line",
    )
    return Batch(
        rows.height + bad.height, good.height, {REVIEWS.name: reviews}, collect_rejects([bad, wrong], path)
    )
