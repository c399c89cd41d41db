"""Data sets whose votes can be held out, how they are divided, and how a prediction is scored."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import xlogy

from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations, encode
from preceptor.toolkit.store.connection import open_store, query

from ...inputs import SHARED, STORE, ingesting
from ..published.votes_only import split_votes

FOLDS, QUICK_FOLDS = 5, 2
QUICK_PROMPTS = 20
RESAMPLES = 4000
JFLEG = SHARED / "jfleg" / "EACL_exp" / "mturk" / "pairwise.csv"

# MRBench rates replies and has no votes. Four of its criteria become votes, the other four stay ratings:
# a vote from a rating that the model also sees would be no prediction.
VOTED = ("Mistake_Identification", "Mistake_Location", "Providing_Guidance", "Actionability")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Signals = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Case:
    """A data set and its held-out votes: `held` is (folds, rows, 3), rows those of `obs.votes`."""

    name: str
    obs: Observations
    held: Floats
    ranking: Ints | None = None  # number of the ranking that each row belongs to, where there are rankings

    @property
    def votes(self) -> Votes:
        """The votes; ValueError where the data set has none."""
        if self.obs.votes is None:
            raise ValueError(f"{self.name}: there are no votes")
        return self.obs.votes

    def training(self, fold: int) -> Observations:
        """The signals without a fold's votes. Rows stay, with fewer votes or none: a row of none adds
        nothing to a likelihood, and shapes that do not change are compiled once.
        """
        votes = replace(self.votes, counts=self.votes.counts - self.held[fold])
        others = (part for part in self.obs.parts if part is not self.votes)
        return replace(self.obs, parts=(votes, *others))


@dataclass(frozen=True)
class Score:
    """Sums over the held-out votes of each prompt, each (prompts,): a prompt's pairs share completions."""

    votes: Floats
    loss: Floats
    decisive: Floats
    decisive_loss: Floats
    right: Floats  # of the decisive; half a point where both sides were as likely


def cases(quick: bool) -> list[Case]:
    """SMART and MRBench over votes, SMART over whole pairs, JFLEG over whole rankings and over annotators.

    Of a ranking whose other votes are known most votes follow: only whole ones foretell anything.
    """
    signals = {
        "SMART": read_source("smart", SHARED / "smart"),
        "JFLEG": read_source("votes", JFLEG),
        "MRBench": derived_votes(read_source("mrbench", SHARED / "mrbench"), seed=0),
    }
    if quick:
        signals = {name: some_prompts(found, QUICK_PROMPTS) for name, found in signals.items()}
    folds = QUICK_FOLDS if quick else FOLDS
    smart, mrbench = encode(signals["SMART"]), encode(signals["MRBench"])
    return [
        _case("SMART", smart, split_votes, folds),
        *jfleg_cases(signals["JFLEG"], folds),
        _case("MRBench", mrbench, split_votes, folds),
        _case("SMART, whole pairs", smart, split_rows, folds),
    ]


def jfleg_cases(signals: Signals, folds: int) -> list[Case]:
    """JFLEG's rankings, whole ones held out, and all of an annotator."""
    obs = encode(signals)
    ranking = number_rankings(obs, signals["rankings"])
    return [
        Case("JFLEG, whole rankings", obs, split_rankings(obs, ranking, folds), ranking),
        Case("JFLEG, an annotator left out", obs, split_annotators(obs), ranking),
    ]


def number_rankings(obs: Observations, rankings: pl.DataFrame) -> Ints:
    """Number the ranking of each row of the votes (rows,); a vote outside of any is one of its own.

    `rankings` has the votes as they are stored: completion_a, completion_b, annotator, ranking.
    """
    votes = _need_votes(obs)
    keys = obs.completions["completion"]
    rows = pl.DataFrame({"one": keys.gather(votes.first), "other": keys.gather(votes.second)}).with_columns(
        pl.Series("who", votes.annotator)
    )
    people = obs.annotators.select("annotator").with_row_index("who").cast({"who": pl.Int64})
    named = (
        rankings.join(people, on="annotator")
        .select(
            pl.min_horizontal("completion_a", "completion_b").alias("least"),
            pl.max_horizontal("completion_a", "completion_b").alias("most"),
            "who",
            pl.format("{} {}", "ranking", "who").alias("ranking"),
        )
        .group_by("least", "most", "who")
        .agg(pl.col("ranking").min())
    )
    found = rows.with_columns(
        pl.min_horizontal("one", "other").alias("least"), pl.max_horizontal("one", "other").alias("most")
    ).join(named, on=["least", "most", "who"], how="left", maintain_order="left")
    own = pl.format("row {}", pl.int_range(pl.len()))
    numbers = found.select(pl.coalesce("ranking", own).rank("dense")).to_series()
    return numbers.to_numpy().astype(np.int64) - 1


def split_rankings(obs: Observations, ranking: Ints, folds: int) -> Floats:
    """Deal whole rankings out to folds: (folds, rows, 3)."""
    fold = (np.random.default_rng(0).permutation(ranking.max() + 1) % folds)[ranking]
    return np.where((fold == np.arange(folds)[:, None])[:, :, None], _need_votes(obs).counts, 0.0)


def split_annotators(obs: Observations) -> Floats:
    """Hold out all votes of one annotator after another: (annotators, rows, 3)."""
    votes = _need_votes(obs)
    mine = votes.annotator == np.arange(obs.annotators.height)[:, None]
    return np.where(mine[:, :, None], votes.counts, 0.0)


def _need_votes(obs: Observations) -> Votes:
    if obs.votes is None:
        raise ValueError("there are no votes")
    return obs.votes


Split = Callable[[Floats, int, np.random.Generator], Floats]


def _case(name: str, obs: Observations, split: Split, folds: int) -> Case:
    return Case(name, obs, split(_need_votes(obs).counts, folds, np.random.default_rng(0)))


def split_rows(counts: Floats, folds: int, rng: np.random.Generator) -> Floats:
    """Deal whole rows out to folds (where annotators are unnamed a row is a pair)."""
    fold = rng.permutation(len(counts)) % folds
    return np.where((fold == np.arange(folds)[:, None])[:, :, None], counts, 0.0)


def read_source(format: str, path: Path) -> Signals:
    """A data set's signals, by way of a store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE
        ingesting(store, format, path)()
        with open_store(store, read_only=True) as con:
            kept = query(con, "SELECT completion_a, completion_b, annotator, ranking FROM votes ORDER BY key")
            return read_signals(con, []) | {"rankings": kept}


def some_prompts(signals: Signals, prompts: int) -> Signals:
    """The signals about the first prompts alone."""
    of_prompt = signals["completions"]["prompt"].unique().sort().head(prompts)
    completions = signals["completions"].filter(pl.col("prompt").is_in(of_prompt.implode()))
    kept = completions["completion"].implode()
    about = {"votes": "completion_a", "ratings": "completion", "outcomes": "completion"}
    return signals | {
        "completions": completions,
        **{name: signals[name].filter(pl.col(column).is_in(kept)) for name, column in about.items()},
    }


def derived_votes(signals: Signals, seed: int) -> Signals:
    """Votes from the ratings on the criteria of `VOTED`; only the other ratings stay ratings.

    On each criterion the completions of a prompt are put into pairs at random, each into one pair at
    most, and the higher rated wins: so each rating says something once, and no vote follows from others
    by transitivity.
    """
    voted = pl.col("criterion").is_in(VOTED)
    rated = signals["ratings"].filter(voted).join(signals["completions"], on="completion")
    rated = rated.sort("prompt", "criterion", "completion")
    order = pl.Series("order", np.random.default_rng(seed).random(rated.height))
    place = pl.int_range(pl.len()).over("prompt", "criterion")
    placed = rated.with_columns(order).sort("prompt", "criterion", "order").with_columns(place.alias("place"))
    sides = [
        placed.filter(pl.col("place") % 2 == side).select(
            "prompt", "criterion", (pl.col("place") // 2).alias("pair"), "completion", "value"
        )
        for side in (0, 1)
    ]
    a, b = pl.col("value"), pl.col("value_b")
    votes = (
        sides[0]
        .join(sides[1], on=["prompt", "criterion", "pair"], suffix="_b", maintain_order="left")
        .select(
            pl.col("completion").alias("completion_a"),
            pl.col("completion_b"),
            pl.when(a > b)
            .then(pl.lit("a"))
            .when(a < b)
            .then(pl.lit("b"))
            .otherwise(pl.lit("tie"))
            .alias("choice"),
            pl.lit(None, pl.String).alias("annotator"),
            pl.lit(None, pl.String).alias("shown_first"),
        )
    )
    return signals | {"votes": votes, "ratings": signals["ratings"].filter(~voted)}


def score(case: Case, predicted: Floats) -> Score:
    """Score predictions (folds, rows, 3) of the held-out votes."""
    decided = predicted[..., :2] / predicted[..., :2].sum(axis=-1, keepdims=True)
    decisive = case.held[..., :2]
    right = (decided > decided[..., ::-1]) + 0.5 * (decided == decided[..., ::-1])
    of_row = case.obs.prompt[case.votes.first]

    def by_prompt(values: Floats) -> Floats:
        return np.bincount(of_row, values.sum(axis=(0, 2)), case.obs.prompt.max() + 1).astype(float)

    return Score(
        votes=by_prompt(case.held),
        loss=by_prompt(-xlogy(case.held, predicted)),
        decisive=by_prompt(decisive),
        decisive_loss=by_prompt(-xlogy(decisive, decided)),
        right=by_prompt(decisive * right),
    )


def resampled(total: Floats, count: Floats, seed: int = 0) -> tuple[float, float, float]:
    """The mean total / count and its 90 % interval, prompts drawn again with replacement."""
    n = len(count)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    low, high = np.quantile((times @ total) / (times @ count), [0.05, 0.95])
    return float(total.sum() / count.sum()), float(low), float(high)
