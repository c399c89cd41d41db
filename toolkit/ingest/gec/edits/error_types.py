"""Map a corpus's own error tags to ERRANT's classes: M, R or U, and a category if it is known.

The letter comes from span and correction, never from the tag: JFLEG's #Del# inserts text. The
categories are those of Bryant, Felice and Briscoe (ACL 2017); `error_types.csv` maps other
schemes to them. R:NOUN:CASE, unknown to ERRANT, is a NOUN.
"""

import csv
from functools import cache
from pathlib import Path

import polars as pl

DETECTION_ONLY = ("UNK", "Um")  # "something is wrong here, unclear what"; ERRANT's and NUCLE's tag
NOOP = "noop"

_ERRANT = frozenset(
    {
        "ADJ",
        "ADJ:FORM",
        "ADV",
        "CONJ",
        "CONTR",
        "DET",
        "MORPH",
        "NOUN",
        "NOUN:INFL",
        "NOUN:NUM",
        "NOUN:POSS",
        "ORTH",
        "OTHER",
        "PART",
        "PREP",
        "PRON",
        "PUNCT",
        "SPELL",
        "VERB",
        "VERB:FORM",
        "VERB:INFL",
        "VERB:SVA",
        "VERB:TENSE",
        "WO",
    }
)


@cache
def _known() -> dict[str, str]:
    with Path(__file__).with_name("error_types.csv").open(encoding="utf-8", newline="") as file:
        return {row["tag"]: row["category"] for row in csv.DictReader(file)}


@cache
def find_category(tag: str) -> str | None:
    """Find ERRANT's category of a tag, such as NOUN:NUM for Nn or R:NOUN:NUM; None if not known."""
    if tag in _known():
        return _known()[tag]
    name = tag[2:] if tag[:2] in ("M:", "R:", "U:") else tag
    while name:
        if name in _ERRANT:
            return name
        if name in _known():
            return _known()[name]
        name = name.rpartition(":")[0]
    return None


def derive_errant_type(edits: pl.DataFrame) -> pl.Series:
    """Derive `errant_type` of edits with start, end, error_type and correction; null if there is none."""
    names = {tag: find_category(tag) for tag in edits["error_type"].unique()}
    known = {tag: name for tag, name in names.items() if name}
    of_tag = pl.col("error_type").replace_strict(known, default=None, return_dtype=pl.String)
    letter = (
        pl.when(pl.col("start") == pl.col("end"))
        .then(pl.lit("M"))
        .when(pl.col("correction") == "")
        .then(pl.lit("U"))
        .otherwise(pl.lit("R"))
    )
    full = pl.when(of_tag.is_null()).then(letter).otherwise(pl.concat_str(letter, pl.lit(":"), of_tag))
    corrected = pl.col("correction").is_not_null()
    return edits.select(pl.when(corrected).then(full).alias("errant_type")).to_series()
