"""From the store's signals to index arrays: what the fusion model is conditioned on.

Rows that say the same thing are counted, not repeated: five votes for the same side of the same
pair by an unnamed crowd are one row with count 5. Given the model this is exact, and it is many
times faster than one row per vote.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...schemas.errors import FusionError

Ints = NDArray[np.int64]
Counts = NDArray[np.float64]

NOBODY = -1  # index of an annotator, learner or author that the source does not name


@dataclass(frozen=True)
class Votes:
    """Votes on pairs, counted. All arrays have one entry per distinct (pair, annotator, order)."""

    first: Ints  # item index of the pair's first completion
    second: Ints  # item index of the pair's second completion
    annotator: Ints  # annotator index, NOBODY where the source is aggregated
    shown_first: Counts  # +1 the first was shown first, -1 the second was, 0 unknown
    counts: Counts  # (rows, 3): votes for the first, for the second, ties


@dataclass(frozen=True)
class Ratings:
    """Ratings on one criterion, counted per completion and annotator."""

    name: str  # the criterion; with its levels where they differ between sources
    levels: int
    item: Ints
    annotator: Ints
    counts: Counts  # (rows, levels), already mirrored so that the last level is the best


@dataclass(frozen=True)
class Outcomes:
    """Outcomes on one measure, as successes and failures of independent tries.

    turns: a learner who failed twice and then succeeded is one success, two failures;
    a censored row contributes its failures only. success: one try a row.
    """

    measure: str
    item: Ints
    learner: Ints
    successes: Counts
    failures: Counts


@dataclass(frozen=True)
class Observations:
    """Everything a fit sees. Item i is the completion `completions["completion"][i]`."""

    completions: pl.DataFrame  # completion, prompt, n_votes, n_ratings, n_outcomes
    prompt: Ints  # prompt index of each item
    annotators: pl.DataFrame  # annotator (key), pseudonym
    learners: list[str]
    votes: Votes | None = None
    ratings: tuple[Ratings, ...] = field(default=())
    outcomes: tuple[Outcomes, ...] = field(default=())
    author: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # of each item, or NOBODY
    authors: tuple[str, ...] = ()  # none where too few completions share one

    @property
    def tried(self) -> Ints:
        """Sorted item indices of the completions that any learner worked with."""
        items = [y.item for y in self.outcomes]
        return np.unique(np.concatenate(items)) if items else np.zeros(0, dtype=np.int64)

    @property
    def rows(self) -> int:
        """Distinct rows of all signals."""
        voted = len(self.votes.counts) if self.votes else 0
        return voted + sum(len(r.counts) for r in self.ratings) + sum(len(y.item) for y in self.outcomes)


def thinned(obs: Observations, rows: int, seed: int) -> Observations:
    """Whole prompts drawn at random, as many as hold about `rows` rows; people and order stay."""
    share = rows / max(obs.rows, 1)
    if share >= 1:
        return obs
    n = int(obs.prompt.max()) + 1
    keeps = np.zeros(n, dtype=bool)
    keeps[np.random.default_rng([seed, 4]).permutation(n)[: max(1, round(share * n))]] = True
    kept = keeps[obs.prompt]
    place = np.cumsum(kept) - 1

    def votes(v: Votes) -> Votes:
        rows = kept[v.first]
        return Votes(
            place[v.first[rows]],
            place[v.second[rows]],
            v.annotator[rows],
            v.shown_first[rows],
            v.counts[rows],
        )

    def ratings(r: Ratings) -> Ratings:
        rows = kept[r.item]
        return replace(r, item=place[r.item[rows]], annotator=r.annotator[rows], counts=r.counts[rows])

    def outcomes(y: Outcomes) -> Outcomes:
        rows = kept[y.item]
        return replace(
            y,
            item=place[y.item[rows]],
            learner=y.learner[rows],
            successes=y.successes[rows],
            failures=y.failures[rows],
        )

    return replace(
        obs,
        completions=obs.completions.filter(pl.Series(kept)),
        prompt=np.unique(obs.prompt[kept], return_inverse=True)[1].astype(np.int64),
        author=obs.author[kept] if obs.authors else obs.author,
        votes=votes(obs.votes) if obs.votes and kept[obs.votes.first].any() else None,
        ratings=tuple(ratings(r) for r in obs.ratings if kept[r.item].any()),
        outcomes=tuple(outcomes(y) for y in obs.outcomes if kept[y.item].any()),
    )


def encode(signals: dict[str, pl.DataFrame]) -> Observations:
    """Turn signal tables into index arrays.

    `signals` holds `completions` (completion, prompt, and author where known), `annotators`
    (annotator, pseudonym), `votes` (one a row, or `n` of them), `ratings` (with levels and
    higher_is_better) and `outcomes`, as `read_signals` returns them. Raises FusionError where there
    is nothing to fuse.
    """
    if "n" not in signals["votes"].columns:
        signals = signals | {"votes": signals["votes"].with_columns(n=pl.lit(1))}
    votes, ratings, outcomes = signals["votes"], signals["ratings"], signals["outcomes"]
    if not (votes.height or ratings.height or outcomes.height):
        raise FusionError(
            "there is nothing to fuse: the store holds no votes, ratings or outcomes for the "
            "completions asked for; ingest some (preceptor ingest --help), or name other --source"
        )
    completions = _count_signals(signals)
    items = completions.select("completion").with_row_index("item")
    annotators = signals["annotators"].with_row_index("index")
    learners = outcomes["learner"].drop_nulls().unique(maintain_order=True).to_list()
    authors, author = _authors(completions, signals["completions"])
    prompt = completions["prompt"].rank("dense").to_numpy().astype(np.int64) - 1
    return Observations(
        completions=completions,
        prompt=prompt,
        annotators=annotators.drop("index"),
        learners=learners,
        author=author,
        authors=authors,
        votes=_encode_votes(votes, items, annotators) if votes.height else None,
        ratings=tuple(_encode_ratings(part, name, items, annotators) for name, part in _criteria(ratings)),
        outcomes=tuple(
            _encode_outcomes(part, items, learners)
            for _, part in sorted(outcomes.partition_by("measure", as_dict=True).items())
        ),
    )


def _authors(completions: pl.DataFrame, named: pl.DataFrame) -> tuple[tuple[str, ...], Ints]:
    """Authors of at least two completions, and the author of each completion or NOBODY.

    None at all where there is one such author only: there is nobody to differ from.
    """
    if "author" not in named.columns:
        return (), np.zeros(0, dtype=np.int64)
    of = completions.join(
        named.select("completion", "author"), on="completion", how="left", maintain_order="left"
    )
    # In the order of their completions: another key for pseudonyms must not change the draws.
    counted = of.drop_nulls("author").group_by("author", maintain_order=True).len()
    names = counted.filter(pl.col("len") > 1)["author"]
    if len(names) < 2:
        return (), np.zeros(0, dtype=np.int64)
    index = _index(of, "author", pl.DataFrame({"author": names}).with_row_index("i"), "author")
    return tuple(names), index.to_numpy().astype(np.int64)


def _count_signals(signals: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Completions in a fixed order, with the number of each signal they received."""
    sides = pl.concat(
        signals["votes"].select(pl.col(side).alias("completion"), "n")
        for side in ("completion_a", "completion_b")
    )
    counted = signals["completions"].select("completion", "prompt").sort("prompt", "completion")
    for name, frame in (
        ("n_votes", sides),
        ("n_ratings", signals["ratings"].select("completion", n=1)),
        ("n_outcomes", signals["outcomes"].select("completion", n=1)),
    ):
        counts = frame.group_by("completion").agg(pl.col("n").sum().cast(pl.Int64).alias(name))
        counted = counted.join(counts, on="completion", how="left", maintain_order="left")
    return counted.with_columns(pl.col("n_votes", "n_ratings", "n_outcomes").fill_null(0))


def _index(frame: pl.DataFrame, column: str, names: pl.DataFrame, name: str) -> pl.Series:
    """Positions of `frame[column]` in `names[name]`; NOBODY where it is null."""
    joined = frame.select(pl.col(column).alias(name)).join(names, on=name, how="left", maintain_order="left")
    return joined[names.columns[0]].cast(pl.Int64).fill_null(NOBODY).alias(column)


def _encode_votes(votes: pl.DataFrame, items: pl.DataFrame, annotators: pl.DataFrame) -> Votes:
    """Orient every pair one way (lower item index first) and count equal rows."""
    rows = votes.select(
        _index(votes, "completion_a", items, "completion").alias("a"),
        _index(votes, "completion_b", items, "completion").alias("b"),
        _index(votes, "annotator", annotators, "annotator"),
        pl.col("shown_first").replace_strict({"a": 1, "b": -1}, default=0).alias("shown_first"),
        "choice",
        "n",
    )
    swap = pl.col("a") > pl.col("b")
    counted = (
        rows.select(
            pl.min_horizontal("a", "b").alias("first"),
            pl.max_horizontal("a", "b").alias("second"),
            "annotator",
            pl.when(swap).then(-pl.col("shown_first")).otherwise("shown_first"),
            (pl.col("choice") == pl.when(swap).then(pl.lit("b")).otherwise(pl.lit("a")))
            .mul(pl.col("n"))
            .alias("n0"),
            (pl.col("choice") == pl.when(swap).then(pl.lit("a")).otherwise(pl.lit("b")))
            .mul(pl.col("n"))
            .alias("n1"),
            (pl.col("choice") == "tie").mul(pl.col("n")).alias("n2"),
        )
        .group_by("first", "second", "annotator", "shown_first")
        .agg(pl.col("n0", "n1", "n2").sum())
        .sort("first", "second", "annotator", "shown_first")
    )
    return Votes(
        first=counted["first"].to_numpy().astype(np.int64),
        second=counted["second"].to_numpy().astype(np.int64),
        annotator=counted["annotator"].to_numpy().astype(np.int64),
        shown_first=counted["shown_first"].to_numpy().astype(np.float64),
        counts=counted.select("n0", "n1", "n2").to_numpy().astype(np.float64),
    )


def _criteria(ratings: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Ratings on one scale each: a criterion rated on 5 and on 7 levels is two scales."""
    parts = sorted(ratings.partition_by("criterion", "levels", as_dict=True).items())
    scales = ratings.group_by("criterion").agg(pl.col("levels").n_unique())
    several = set(scales.filter(pl.col("levels") > 1)["criterion"])
    return [
        (f"{criterion} ({levels} levels)" if criterion in several else str(criterion), part)
        for (criterion, levels), part in parts
    ]


def _encode_ratings(part: pl.DataFrame, name: str, items: pl.DataFrame, annotators: pl.DataFrame) -> Ratings:
    """Count levels per completion and annotator; mirror criteria where lower is better."""
    levels = int(part["levels"][0])
    value = pl.when(pl.col("higher_is_better")).then(pl.col("value")).otherwise(levels + 1 - pl.col("value"))
    counted = (
        part.select(
            _index(part, "completion", items, "completion").alias("item"),
            _index(part, "annotator", annotators, "annotator"),
            value.alias("value"),
        )
        .group_by("item", "annotator")
        .agg((pl.col("value") == level).sum().alias(str(level)) for level in range(1, levels + 1))
        .sort("item", "annotator")
    )
    return Ratings(
        name=name,
        levels=levels,
        item=counted["item"].to_numpy().astype(np.int64),
        annotator=counted["annotator"].to_numpy().astype(np.int64),
        counts=counted.drop("item", "annotator").to_numpy().astype(np.float64),
    )


def _encode_outcomes(part: pl.DataFrame, items: pl.DataFrame, learners: list[str]) -> Outcomes:
    """Successes and failures per completion and learner."""
    names = pl.DataFrame({"learner": learners}, schema={"learner": pl.String}).with_row_index("i")
    turns = pl.col("measure") == "turns"
    counted = (
        part.select(
            _index(part, "completion", items, "completion").alias("item"),
            _index(part, "learner", names, "learner"),
            pl.when(turns)
            .then((~pl.col("censored")).cast(pl.Float64))
            .otherwise(pl.col("value"))
            .alias("successes"),
            pl.when(turns).then(pl.col("value")).otherwise(1 - pl.col("value")).alias("failures"),
        )
        .group_by("item", "learner")
        .agg(pl.col("successes", "failures").sum())
        .sort("item", "learner")
    )
    return Outcomes(
        measure=str(part["measure"][0]),
        item=counted["item"].to_numpy().astype(np.int64),
        learner=counted["learner"].to_numpy().astype(np.int64),
        successes=counted["successes"].to_numpy().astype(np.float64),
        failures=counted["failures"].to_numpy().astype(np.float64),
    )
