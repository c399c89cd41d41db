"""Signals made by the model itself, so that the truth behind them is known.

Parameters come from the priors (for calibration) or are set to ordinary values (for size and speed).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, softmax

from preceptor.toolkit.fusion.likelihoods.likelihood import NOBODY
from preceptor.toolkit.fusion.likelihoods.outcomes import Outcomes
from preceptor.toolkit.fusion.likelihoods.ratings import Ratings
from preceptor.toolkit.fusion.likelihoods.votes import RELIABILITY_SPREAD, Votes
from preceptor.toolkit.fusion.observations import Observations

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = 5


@dataclass(frozen=True)
class Size:
    """How much of everything; a signal whose number is 0 is left out."""

    prompts: int
    per_prompt: int
    annotators: int = 0  # 0: an unnamed crowd
    votes: int = 0
    ratings: int = 0
    outcomes: int = 0
    learners: int = 0
    careless: float = 0.0  # share of annotators who vote by chance
    adversarial: float = 0.0  # share who vote against what they see

    @property
    def items(self) -> int:
        """Completions of all prompts."""
        return self.prompts * self.per_prompt


@dataclass(frozen=True)
class Simulated:
    """Observations and what is behind them, by the names of the model's sites."""

    obs: Observations
    truth: dict[str, Any] = field(default_factory=dict)


def ordinary() -> dict[str, Any]:
    """Globals of an ordinary crowd."""
    return {
        "rho": 0.4,
        "vote_slope": 1.5,
        "vote_tie": -1.0,
        "tau_reliability": 0.3,
        "tau_tie_habit": 0.5,
        "rating_slope": 1.5,
        "rating_cuts": np.array([-2.5, -1.0, 0.5, 2.0]),
        "tau_rating_prompt": 0.7,
        "tau_severity": 0.5,
        "outcome_slope": 1.0,
        "outcome_level": 0.5,
        "tau_outcome_prompt": 0.7,
        "tau_ability": 0.7,
    }


def from_priors(rng: np.random.Generator) -> dict[str, Any]:
    """Globals drawn from the model's priors (docs/fusion.md)."""
    lowest = rng.normal(-2, 1.5)
    gaps = rng.lognormal(0, 0.7, LEVELS - 2)
    halves = {
        "vote_slope": 2,
        "rating_slope": 2,
        "outcome_slope": 2,
        "tau_reliability": RELIABILITY_SPREAD,
        "tau_tie_habit": 1,
        "tau_rating_prompt": 1,
        "tau_severity": 1,
        "tau_outcome_prompt": 1,
        "tau_ability": 1,
    }
    return {
        "rho": 2 * rng.beta(2, 2) - 1,
        "vote_tie": rng.normal(-1, 1.5),
        "outcome_level": rng.normal(0, 1.5),
        "rating_cuts": lowest + np.concatenate([[0], np.cumsum(gaps)]),
        **{name: abs(rng.normal(0, scale)) for name, scale in halves.items()},
    }


def simulate(rng: np.random.Generator, size: Size, g: dict[str, Any]) -> Simulated:
    """Observations of this size given globals `g`: qualities, people, then what they did."""
    n, people = size.items, max(size.annotators, 1)
    prompt = np.repeat(np.arange(size.prompts), size.per_prompt)
    e, w = rng.normal(size=(2, n))
    o = g["rho"] * e + np.sqrt(1 - g["rho"] ** 2) * w
    named = size.annotators > 1
    around = rng.normal(size=people) * named
    reliability = 1 + g["tau_reliability"] * (around - around.mean())
    kind = np.zeros(people, dtype=int)  # 1 careless, 2 adversarial
    bad = rng.permutation(people)
    careless, adversarial = (round(share * people) for share in (size.careless, size.adversarial))
    kind[bad[:careless]], kind[bad[careless : careless + adversarial]] = 1, 2
    reliability = np.where(kind == 1, 0.0, np.where(kind == 2, -1.0, reliability))
    # Only slope times reliability is seen: as in the model, the mean reliability is 1.
    g = g | {"vote_slope": g["vote_slope"] * reliability.mean()}
    reliability = reliability / reliability.mean()
    tie_habit = g["tau_tie_habit"] * rng.normal(size=people) * named
    severity = g["tau_severity"] * rng.normal(size=people) * named
    truth = {**g, "e": e, "o": o, "annotator_reliability": reliability, "kind": kind}
    votes = ratings = outcomes = None
    if size.votes:
        first, second = pairs(rng, size, size.votes)
        who = rng.integers(people, size=size.votes)
        eta = g["vote_slope"] * reliability[who] * (e[first] - e[second])
        scores = np.stack([eta / 2, -eta / 2, g["vote_tie"] + tie_habit[who]], axis=1)
        chosen = choose(rng, softmax(scores, axis=1))
        votes = Votes(
            first,
            second,
            who if named else np.full(size.votes, NOBODY),
            np.zeros(size.votes),
            np.eye(3)[chosen],
        )
    if size.ratings:
        item, who = rng.integers(n, size=size.ratings), rng.integers(people, size=size.ratings)
        effect = g["tau_rating_prompt"] * rng.normal(size=size.prompts)
        location = g["rating_slope"] * e[item] + effect[prompt[item]] - severity[who]
        below = expit(g["rating_cuts"] - location[:, None])
        level = (rng.random((size.ratings, 1)) > below).sum(axis=1)
        ratings = Ratings(
            "quality", LEVELS, item, who if named else np.full(size.ratings, NOBODY), np.eye(LEVELS)[level]
        )
    if size.outcomes:
        item = rng.integers(n, size=size.outcomes)
        learner = rng.integers(max(size.learners, 1), size=size.outcomes)
        difficulty = g["tau_outcome_prompt"] * rng.normal(size=size.prompts)
        ability = g["tau_ability"] * rng.normal(size=max(size.learners, 1)) * (size.learners > 1)
        logit = (
            g["outcome_level"] + g["outcome_slope"] * o[item] - difficulty[prompt[item]] + ability[learner]
        )
        failures = np.minimum(rng.geometric(np.maximum(expit(logit), 1e-6)) - 1, 10)
        outcomes = Outcomes(
            "turns",
            item,
            learner if size.learners > 1 else np.full(size.outcomes, NOBODY),
            (failures < 10).astype(float),
            failures.astype(float),
        )
    names = [f"{i:08d}" for i in range(n)]
    counts = {
        "n_votes": np.bincount(np.concatenate([votes.first, votes.second]), minlength=n) if votes else 0,
        "n_ratings": np.bincount(ratings.item, minlength=n) if ratings else 0,
        "n_outcomes": np.bincount(outcomes.item, minlength=n) if outcomes else 0,
    }
    obs = Observations(
        completions=pl.DataFrame({"completion": names, "prompt": [f"{p:08d}" for p in prompt]}).with_columns(
            pl.Series(name, np.broadcast_to(values, n).astype(np.int64)) for name, values in counts.items()
        ),
        prompt=prompt,
        annotators=_people(size.annotators),
        learners=[str(i) for i in range(size.learners)],
        parts=tuple(part for part in (votes, ratings, outcomes) if part),
    )
    return Simulated(obs, truth)


def crowd(rng: np.random.Generator, size: Size, g: dict[str, Any]) -> Simulated:
    """Votes of an unnamed crowd on every pair of every prompt, counted as `encode` counts them."""
    one, other = np.triu_indices(size.per_prompt, 1)
    base = size.per_prompt * np.arange(size.prompts)[:, None]
    first, second = (base + one).ravel(), (base + other).ravel()
    e = rng.normal(size=size.items)
    eta = g["vote_slope"] * (e[first] - e[second])
    chances = softmax(np.stack([eta / 2, -eta / 2, np.full(len(eta), g["vote_tie"])], axis=1), axis=1)
    n = rng.multinomial(size.votes, np.full(len(first), 1 / len(first)))
    counts = rng.multinomial(n, chances).astype(float)
    seen = np.flatnonzero(n)
    votes = Votes(first[seen], second[seen], np.full(len(seen), NOBODY), np.zeros(len(seen)), counts[seen])
    voted = np.bincount(first, n, size.items) + np.bincount(second, n, size.items)
    prompt = np.repeat(np.arange(size.prompts), size.per_prompt)
    completions = pl.DataFrame(
        {
            "completion": [f"{i:08d}" for i in range(size.items)],
            "prompt": [f"{p:08d}" for p in prompt],
            "n_votes": voted.astype(np.int64),
        }
    ).with_columns(n_ratings=pl.lit(0), n_outcomes=pl.lit(0))
    obs = Observations(completions, prompt, _people(0), [], (votes,))
    return Simulated(obs, {**g, "e": e})


def _people(n: int) -> pl.DataFrame:
    names = [f"j{i:06d}" for i in range(n)]
    return pl.DataFrame(
        {"annotator": names, "pseudonym": names}, schema={"annotator": pl.String, "pseudonym": pl.String}
    )


def pairs(rng: np.random.Generator, size: Size, n: int) -> tuple[Ints, Ints]:
    """`n` pairs of two completions of one prompt, the lower index first."""
    prompt = rng.integers(size.prompts, size=n)
    one = rng.integers(size.per_prompt, size=n)
    other = (one + rng.integers(1, size.per_prompt, size=n)) % size.per_prompt
    base = prompt * size.per_prompt
    return base + np.minimum(one, other), base + np.maximum(one, other)


def choose(rng: np.random.Generator, p: Floats) -> Ints:
    """One category a row of probabilities (rows, categories)."""
    return np.asarray((rng.random((len(p), 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1))
