"""Find models that gave the same judgements, and count them as one.

A second name for one judge, or the same model asked again without randomness, brings nothing new. The shared
taste would find that out only where many pairs show it.
"""

from collections.abc import Mapping

import polars as pl

from ....schemas.tables import EXPRESSED
from ..observations import MODEL

LEAST = 20  # judgements: fewer are alike by chance


def find_copies(signals: Mapping[str, pl.DataFrame]) -> list[list[str]]:
    """Find groups of models (keys of annotators) with the same judgements, at least LEAST; the first is kept.

    `signals` are those of `read_signals`. The order in which sides were shown does not matter.
    """
    annotators = signals["annotators"]
    if "kind" not in annotators.columns:
        return []
    models = annotators.filter(pl.col("kind") == MODEL)["annotator"]
    if len(models) < 2:
        return []
    said = [
        _describe(signals[signal.name].filter(pl.col("annotator").is_in(models.implode())))
        for signal in EXPRESSED
        if signal.name in signals
    ]
    rows = pl.concat(said).group_by("annotator", "row").agg(pl.col("n").sum()).sort("annotator", "row")
    whole = rows.group_by("annotator").agg(
        pl.format("{} {}", "row", "n").str.join("\n").alias("rows"), pl.col("n").sum().alias("judgements")
    )
    alike = (
        models.to_frame("annotator")
        .join(whole.filter(pl.col("judgements") >= LEAST), on="annotator", how="inner", maintain_order="left")
        .group_by("rows", maintain_order=True)
        .agg("annotator")
    )
    return alike.filter(pl.col("annotator").list.len() > 1)["annotator"].to_list()


def _describe(rows: pl.DataFrame) -> pl.DataFrame:
    """Describe each judgement in one text, votes with the lower key first: annotator, row, n."""
    n = pl.col("n").cast(pl.Int64) if "n" in rows.columns else pl.lit(1, pl.Int64)
    if "choice" not in rows.columns:
        return rows.select(
            "annotator", pl.format("{} {} {}", "completion", "criterion", "value").alias("row"), n.alias("n")
        )
    swap = pl.col("completion_a") > pl.col("completion_b")
    choice = pl.when(swap).then(pl.col("choice").replace({"a": "b", "b": "a"})).otherwise("choice")
    first, second = (f("completion_a", "completion_b") for f in (pl.min_horizontal, pl.max_horizontal))
    return rows.select("annotator", pl.format("{} {} {}", first, second, choice).alias("row"), n.alias("n"))


def drop_copies(signals: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Drop the judgements of models that only repeat another; without copies, the frames stay."""
    spare = [key for group in find_copies(signals) for key in group[1:]]
    if not spare:
        return dict(signals)
    kept = ~pl.col("annotator").is_in(spare)
    judged = {"annotators"} | {signal.name for signal in EXPRESSED}
    return {
        name: frame.filter(kept | pl.col("annotator").is_null()) if name in judged else frame
        for name, frame in signals.items()
    }
