"""Near-duplicates among millions of texts: MinHash and bands find candidates, exact Jaccard decides.

    texts   rowid 0  "natalia sold clips to 48 of her friends in april."
            rowid 7  "natalia sold clips to 48 of her friends in april!"
    near    l 0  r 7  similarity 0.957

Two texts are as similar as the sets of their shingles: Jaccard, what both have over what either has
(Broder 1997). A shingle is five characters, so that languages without spaces need no words. Measured
on 754 sentences of JFLEG and their corrections (5,667 pairs that belong together), on 600 problems of
GSM8K and on 262 dialogues of socratic-llm: at 0.8, five characters find three to seven times as many
of these pairs as two or three words do, and no pair that does not belong together; three characters
find twice as many again, but then any two dialogues share 30 % of their shingles, and the search
drowns in candidates. A text of less than `SHORTEST` characters counts as near to none: one character
changed in its middle already leaves less than 0.8, so for these equality is all there is.

Signatures are rensa's (fast similarity sketching, Dahlgaard et al. 2017), 20 bands of 6 values: a
pair of similarity 0.8 is a candidate with probability 0.998. Data of the size of the input is
in DuckDB, which spills to disk: the bands of each text, joined band by band.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from rensa import RMinHash

from .....schemas.tables import Column, Table
from ....store.chunks import split_rows
from ....store.connection import Store, run
from ....store.temporary import add_frames, drop, make

_PAIR = (Column("l", "int", "rowid of a text"), Column("r", "int", "rowid of another text"))
NEAR = Table(
    "near",
    "two texts that are nearly the same",
    (*_PAIR, Column("similarity", "float", "Jaccard of their shingles, 0 to 1")),
)
_CANDIDATES = Table("near_candidates", "two texts that share a bucket of some band", _PAIR)

SHINGLE = 5
SHORTEST = 50
BANDS, ROWS = 20, 6
_SEED = 7
_CHUNK = 200_000  # texts or pairs between two writes
_BATCH = 4_096  # of those, read from the database at once
_CHARACTERS = 2_000_000  # worked on at once: some eight arrays of so many 8-byte numbers
_CROWDED = 100_000  # pairs of a bucket beyond which only its first texts are compared with the others
_FIRST = 8

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of splitmix64
_STEP = np.uint64(0x9E3779B97F4A7C15)

_BAND_NAMES = [f"b{band}" for band in range(BANDS)]
_BAND_TABLE = Table(
    "near_bands",
    "a text that may be near to another",
    (
        Column("id", "int", "rowid of the text"),
        Column("tag", "hash64", "of the text, to order texts by"),
        Column("sides", "int", "sum of the bits of the sides it stands on"),
        *(Column(name, "hash32", "its bucket in this band") for name in _BAND_NAMES),
    ),
)


def find_near(
    con: Store, texts: str, threshold: float = 0.8, between: Sequence[tuple[int, int]] = ((1, 1),)
) -> None:
    """Make the temporary table `near`: pairs of texts that are at least `threshold` similar.

    `texts` is a table with `text`, normalised (`pairs.NORMAL`), each text once, and `sides`, the sum
    of the bits of its sides; the table must not change meanwhile. `between` are the sides to compare, as
    pairs of bits: l is on the first, r on the second. The result depends on
    the texts alone, not on their order, the machine or its threads. If more than 100,000 pairs fall
    into one bucket (thousands of variants of one text), each of its texts is compared with the first 8 of
    every side only, and pairs may be missing.
    """
    wanted = "(" + " OR ".join(f"(l.sides & {a} <> 0 AND r.sides & {b} <> 0)" for a, b in between) + ")"
    both_ways = set(between) == {(b, a) for a, b in between}
    _write_bands(con, texts, reduce(or_, (a | b for a, b in between)))
    _write_candidates(con, wanted + (" AND l.tag < r.tag" if both_ways else " AND l.id <> r.id"), between)
    make(con, NEAR)
    for first in split_rows(con, _CANDIDATES.name, _CHUNK):
        pairs = f"""SELECT c.l, c.r, a."text" AS a, b."text" AS b
            FROM (FROM near_candidates WHERE rowid >= {first} AND rowid < {first + _CHUNK}) AS c
            JOIN "{texts}" AS a ON a.rowid = c.l JOIN "{texts}" AS b ON b.rowid = c.r"""
        add_frames(
            con,
            NEAR,
            [
                part.select(
                    "l", "r", similarity=compute_similarity(part["a"].to_list(), part["b"].to_list())
                ).filter(pl.col("similarity") >= threshold)
                for part in _parts(con, pairs, ("a", "b"))
            ],
        )
    drop(con, _BAND_TABLE, _CANDIDATES)


def compute_similarity(a: list[str], b: list[str]) -> NDArray[np.float64]:
    """Compute the Jaccard similarity of each text of `a` to the one in its place of `b`.

    Shape (texts,); NaN if neither text has a shingle. Computed from 64-bit hashes of the
    shingles, of which two out of billions may coincide.
    """
    sides = {"a": _lists(*hash_shingles(a)), "b": _lists(*hash_shingles(b))}
    both, either = (
        pl.col("a").list.set_intersection("b").list.len(),
        pl.col("a").list.set_union("b").list.len(),
    )
    return pl.DataFrame(sides).select(both / either).to_series().to_numpy()


def hash_shingles(texts: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash every shingle of every text; return the hashes, text after text, and where each text's begin.

    Shapes (shingles,) and (texts + 1,); the last offset is the number of hashes. Computed from code
    points by wrapping arithmetic, so the same on every machine; a repeated shingle is there twice.
    """
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths)
    hashes = np.zeros(max(len(points) - SHINGLE + 1, 0), np.uint64)
    for place in range(SHINGLE):
        hashes = hashes * _STEP + points[place : place + len(hashes)]
    left_over = np.repeat(ends, lengths)[: len(hashes)] - np.arange(len(hashes))
    hashes = _mixed(hashes[left_over >= SHINGLE])  # those that lie within one text
    counts = np.maximum(lengths - SHINGLE + 1, 0)
    return hashes, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64-bit hashes, so that every bit of the input changes every bit of the output."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX[1]
    return hashes ^ (hashes >> np.uint64(31))


def _lists(values: NDArray[np.uint64], offsets: NDArray[np.int64]) -> pl.Series:
    return pl.Series(pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values)))


def _bands(texts: list[str]) -> NDArray[np.uint32]:
    """Compute a number per text and band, equal where the band's six values are; shape (texts, BANDS)."""
    hashes, offsets = hash_shingles(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets.astype(np.uint64), BANDS * ROWS, _SEED
    )
    values = np.array(matrix.to_rows(), np.uint64).reshape(len(texts), BANDS, ROWS)
    banded = np.zeros((len(texts), BANDS), np.uint64)
    for row in range(ROWS):
        banded = _mixed(banded * _STEP + values[:, :, row])
    return (banded >> np.uint64(32)).astype(np.uint32)


def _write_bands(con: Store, texts: str, sides: int) -> None:
    """Make `near_bands`."""
    make(con, _BAND_TABLE)
    for first in split_rows(con, texts, _CHUNK):
        wanted = f"""SELECT rowid AS id, md5_number_lower("text") AS tag, sides, "text"
            FROM "{texts}" WHERE rowid >= {first} AND rowid < {first + _CHUNK}
            AND sides & {sides} <> 0 AND length("text") >= {SHORTEST}"""
        add_frames(
            con,
            _BAND_TABLE,
            [
                part.drop("text").hstack(pl.from_numpy(_bands(part["text"].to_list()), _BAND_NAMES))
                for part in _parts(con, wanted, ("text",))
            ],
        )


def _write_candidates(con: Store, wanted: str, between: Sequence[tuple[int, int]]) -> None:
    """Make `near_candidates`."""
    left, right = (reduce(or_, sides) for sides in zip(*between, strict=True))
    run(con, "CREATE OR REPLACE TEMP TABLE near_shared (l BIGINT, r BIGINT)")
    for band in range(BANDS):
        run(
            con,
            _ONE_BAND.format(
                band=band, left=left, right=right, wanted=wanted, crowded=_CROWDED, first=_FIRST
            ),
        )
    make(con, _CANDIDATES, "SELECT DISTINCT l, r FROM near_shared")
    run(con, "DROP TABLE near_shared")


# Texts that share a bucket of one band. In a crowded bucket all are compared with the first texts of each
# kind of sides, which are the first in every band, so that similar texts give the same pairs in all bands.
_ONE_BAND = """
INSERT INTO near_shared
WITH mine AS (
    SELECT id, tag, sides, b{band} AS b FROM near_bands
), bucket AS (
    SELECT b, count_if(sides & {left} <> 0) * count_if(sides & {right} <> 0) AS n FROM mine GROUP BY b
    HAVING count(*) > 1 AND n > 0
), plain AS (
    FROM mine SEMI JOIN (FROM bucket WHERE n <= {crowded}) USING (b)
), crowded AS (
    SELECT *, row_number() OVER (PARTITION BY b, sides ORDER BY tag, id) AS place
    FROM mine SEMI JOIN (FROM bucket WHERE n > {crowded}) USING (b)
)
SELECT l.id, r.id FROM plain AS l JOIN plain AS r USING (b) WHERE {wanted}
UNION ALL
SELECT l.id, r.id FROM crowded AS l JOIN crowded AS r USING (b)
WHERE (l.place <= {first} OR r.place <= {first}) AND {wanted}"""


def _parts(con: Store, select: str, texts: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield the rows of a SELECT in frames of one row or of texts of at most _CHARACTERS together."""
    for batch in con.sql(select).to_arrow_reader(_BATCH):
        frame = pl.DataFrame(batch)
        size = pl.sum_horizontal(pl.col(name).str.len_chars() for name in texts)
        parts = frame.with_columns(part=size.cum_sum() // _CHARACTERS)
        yield from parts.partition_by("part", include_key=False)
