"""Votes asked for round by round, in one order or another, with a posterior after each round."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from preceptor.toolkit.fusion.findings.information import compute_gain, compute_vote_shares

from .quick_posterior import Ballot, Quick, beginning, update

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DRAWS = 200


@dataclass(frozen=True)
class Questions:
    """What can be asked, what would be answered, and what is right. All arrays go by pair.

    Items count prompt by prompt, `size` to a prompt, so that an item's prompt is item // size.
    """

    first: Ints
    second: Ints
    annotator: Ints  # (pairs, times): who answers when a pair is asked about again
    choice: Ints  # (pairs, times): 0 the first, 1 the second, 2 a tie
    size: int
    annotators: int
    askable: Bools
    scored: Bools  # whether what p says of the pair counts
    first_better: Bools

    @property
    def prompt(self) -> Ints:
        """Of each pair."""
        return self.first // self.size


@dataclass(frozen=True)
class Plan:
    """How many votes are asked for in all, at first of every prompt (at random), and in a round."""

    votes: int
    start: int
    batch: int


@dataclass(frozen=True)
class Known:
    """What an order may look at: the votes so far, per pair, and the posterior."""

    questions: Questions
    asked: Ints
    quick: Quick
    p: Floats
    rng: np.random.Generator

    @property
    def draws(self) -> tuple[Floats, Bools]:
        """Shares of votes (3, draws, pairs), and which is better (draws, pairs)."""
        e = self.quick.draws(DRAWS, self.rng)
        d = e[:, self.questions.first] - e[:, self.questions.second]
        slope, tie = np.full(DRAWS, self.quick.slope), np.full(DRAWS, self.quick.tie)
        return compute_vote_shares(slope, tie, d), d > 0


Score = Callable[[Known], Floats]  # a pair with a higher score is asked about sooner


def at_random(known: Known) -> Floats:
    """All pairs alike."""
    return known.rng.random(len(known.p))


def coverage(known: Known) -> Floats:
    """Pairs with the fewest votes, among them those whose completions have the fewest."""
    q, asked = known.questions, known.asked
    votes = np.bincount(q.first, asked, known.quick.e.size) + np.bincount(q.second, asked, known.quick.e.size)
    a, b = votes[q.first], votes[q.second]
    return np.asarray(-(asked * 1e6 + np.maximum(a, b) * 1e3 + np.minimum(a, b)))


def uncertainty(known: Known) -> Floats:
    """The nearer p is to a half, the sooner."""
    return -np.abs(known.p - 0.5)


def gain(known: Known) -> Floats:
    """What `preferences.information_gain` stores."""
    return compute_gain(*known.draws)


def shannon(known: Known) -> Floats:
    """Mutual information (nats) of a vote and of which is better."""
    vote, better = known.draws
    told, share = vote.mean(axis=1), better.mean(axis=0)
    both = np.where(better, vote, 0).mean(axis=1)
    joint = entropy(np.concatenate([both, told - both]))
    return np.asarray(entropy(told) + entropy(np.stack([share, 1 - share])) - joint)


def difference(known: Known) -> Floats:
    """Mutual information (nats) of a vote and of the difference itself (BALD, Houlsby and others 2011)."""
    vote, _ = known.draws
    return np.asarray(entropy(vote.mean(axis=1)) - entropy(vote).mean(axis=0))


def whole_prompt(known: Known) -> Floats:
    """The fall of 2p(1 - p), summed over all pairs of the prompt."""
    vote, better = known.draws
    right, prompt = better.astype(float), known.questions.prompt
    total = np.zeros(len(prompt))
    for pairs in np.split(np.arange(len(prompt)), np.flatnonzero(np.diff(prompt)) + 1):
        told = vote[:, :, pairs].mean(axis=1)[..., None]
        both = np.einsum("vdk,dl->vkl", vote[:, :, pairs], right[:, pairs], optimize=True) / DRAWS
        total[pairs] = 2 * ((both - told * right[:, pairs].mean(axis=0)) ** 2 / told).sum(axis=(0, 2))
    return total


def entropy(p: Floats) -> Floats:
    """In nats, over the first axis; 0 log 0 is 0."""
    total: Floats = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=0)
    return total


@dataclass(frozen=True)
class Order:
    """A name, a score, and whether every prompt gets its first question before any gets its second."""

    name: str
    score: Score
    spread: bool = False


@dataclass(frozen=True)
class Played:
    """After each round: votes so far, and p of every pair."""

    votes: Ints
    p: Floats  # (rounds, pairs)


def replay(q: Questions, order: Order, plan: Plan, seed: int) -> Played:
    """Ask in this order until the plan's votes are spent or nothing is left to ask.

    With one seed every order begins with the same questions.
    """
    asked = np.zeros(len(q.first), dtype=np.int64)
    prompts = int(q.prompt.max()) + 1
    quick = beginning(prompts, q.size, q.annotators)
    start, fitting = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    rng = np.random.default_rng([seed, 3, *map(ord, order.name)])
    nothing = Known(q, asked, quick, np.full(len(asked), 0.5), start)
    chosen = next_pairs(nothing, Order("start", at_random, spread=True), prompts * plan.start)
    rows: list[tuple[Ints, ...]] = []
    votes: list[int] = []
    ps: list[Floats] = []
    while len(chosen):
        times = asked[chosen]
        asked[chosen] += 1
        rows.append((q.first[chosen], q.second[chosen], q.annotator[chosen, times], q.choice[chosen, times]))
        first, second, annotator, choice = (np.concatenate(column) for column in zip(*rows, strict=True))
        ballot = Ballot(first, second, annotator, np.eye(3)[choice])
        quick = update(quick, ballot, fitting, rounds=3 if votes else 6)
        ps.append(p_first(quick, q))
        votes.append(len(choice))
        left = min(plan.batch, plan.votes - len(choice))
        chosen = next_pairs(Known(q, asked, quick, ps[-1], rng), order, left)
    return Played(np.array(votes), np.stack(ps))


def next_pairs(known: Known, order: Order, n: int) -> Ints:
    """The n pairs to ask about next, of those about which somebody is left to ask; equal scores by chance."""
    q = known.questions
    open_ = np.flatnonzero(q.askable & (known.asked < q.choice.shape[1]))
    open_ = known.rng.permutation(open_)
    score = order.score(known)[open_]
    rows = pl.DataFrame({"pair": open_, "prompt": q.prompt[open_], "score": score})
    turn = pl.col("score").rank("ordinal", descending=True).over("prompt")
    first = [turn] if order.spread else []
    return rows.sort(*first, -pl.col("score"), maintain_order=True)["pair"].to_numpy()[:n]


def p_first(quick: Quick, q: Questions) -> Floats:
    """P(the first is better), of every pair."""
    covariance = np.linalg.inv(quick.precision)
    g, i, j = q.prompt, q.first % q.size, q.second % q.size
    variance = covariance[g, i, i] + covariance[g, j, j] - 2 * covariance[g, i, j]
    return np.asarray(ndtr((quick.e[g, i] - quick.e[g, j]) / np.sqrt(variance)))
