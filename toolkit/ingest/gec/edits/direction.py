"""Check which way the edits of an M2 file go, as far as the file itself says it.

    S главным богом был зевс .       noop: right as it is
    S главным богом был зевс .       A 1 2|||R:NOUN|||богам|||…   so this edit puts an error in

Annotators seldom correct a sentence that they hold right elsewhere: 0 to 1.5 % of the corrected sentences of
CWEB, EstGEC, JFLEG and UA-GEC, 44 % of ReLCo's, where most edits put a learner's error into the right text.
"""

import polars as pl

_LEAST, _SHARE = 10, 0.1  # contradictions, and of all corrected sentences
RIGHT_ELSEWHERE = "the same annotator holds right elsewhere in the file"


def collect_judgements(sentences: pl.DataFrame, edits: pl.DataFrame) -> pl.DataFrame:
    """Collect who judged which text: text (a hash of it and the annotator), right (noop), line."""
    texts = sentences.select(pl.col("key").alias("sentence"), "text", pl.col("line").alias("at"))
    return (
        edits.join(texts, on="sentence")
        .group_by(pl.struct("text", "annotator").hash().alias("text"), "at")
        .agg((pl.col("start") == -1).all().alias("right"))
        .rename({"at": "line"})
    )


def note_direction(path: str, judgements: list[pl.DataFrame]) -> tuple[str, ...]:
    """Say that edits seem to put errors in, if corrected sentences are often held right elsewhere."""
    rows = pl.concat(judgements)
    right = rows.filter("right").group_by("text").agg(pl.col("line").min().alias("other"))
    corrected = rows.filter(~pl.col("right"))
    both = corrected.join(right, on="text").sort("line")
    if both.height < max(_LEAST, _SHARE * corrected.height):
        return ()
    line, other = both.select("line", "other").row(0)
    return (
        f"{path}: {both.height:,} of {corrected.height:,} corrected sentences are ones that "
        f"{RIGHT_ELSEWHERE} (lines {line} and {other}): these edits seem to put errors in, and were not "
        "turned round; if this is ReLCo, give its folder to `preceptor ingest relco`",
    )
