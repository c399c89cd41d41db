"""Data sets whose votes can be held out, how they are divided, and how a prediction is scored."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import xlogy

from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations, encode
from preceptor.toolkit.fusion.signals import read_signals
from preceptor.toolkit.store.connection import open_store

from ...inputs import SHARED, STORE, ingesting
from ..published.votes_only import split_votes

FOLDS, QUICK_FOLDS = 5, 2
QUICK_PROMPTS = 20
RESAMPLES = 4000

# MRBench rates replies and has no votes. Four of its criteria become votes, the other four stay ratings:
# a vote from a rating that the model also sees would be no prediction.
VOTED = ("Mistake_Identification", "Mistake_Location", "Providing_Guidance", "Actionability")

Floats = NDArray[np.float64]
Signals = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Case:
    """A data set and its held-out votes: `held` is (folds, rows, 3), rows those of `obs.votes`."""

    name: str
    obs: Observations
    held: Floats

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
    """SMART, JFLEG and MRBench over votes, and SMART over whole pairs."""
    signals = {
        "SMART": _signals("smart", SHARED / "smart"),
        "JFLEG": _signals("votes", SHARED / "jfleg" / "EACL_exp" / "mturk" / "pairwise.csv"),
        "MRBench": derived_votes(_signals("mrbench", SHARED / "mrbench"), seed=0),
    }
    if quick:
        signals = {name: some_prompts(found, QUICK_PROMPTS) for name, found in signals.items()}
    made = [(name, encode(found), split_votes) for name, found in signals.items()]
    made.append(("SMART, whole pairs", made[0][1], split_rows))
    folds = QUICK_FOLDS if quick else FOLDS
    return [_case(name, obs, split, folds) for name, obs, split in made]


Split = Callable[[Floats, int, np.random.Generator], Floats]


def _case(name: str, obs: Observations, split: Split, folds: int) -> Case:
    if obs.votes is None:
        raise ValueError(f"{name}: there are no votes")
    return Case(name, obs, split(obs.votes.counts, folds, np.random.default_rng(0)))


def split_rows(counts: Floats, folds: int, rng: np.random.Generator) -> Floats:
    """Deal whole rows out to folds (where annotators are unnamed a row is a pair)."""
    fold = rng.permutation(len(counts)) % folds
    return np.where((fold == np.arange(folds)[:, None])[:, :, None], counts, 0.0)


def _signals(format: str, path: Path) -> Signals:
    """A data set's signals, by way of a store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE
        ingesting(store, format, path)()
        with open_store(store, read_only=True) as con:
            return read_signals(con, [])


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
