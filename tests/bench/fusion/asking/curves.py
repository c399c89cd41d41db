"""Accuracy by votes, over seeds and documents, and how many votes one order needs beside another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from preceptor.toolkit.cli.options import open_stderr

from .replay import Floats, Ints, Order, Plan, Questions, replay

RESAMPLES = 1000


@dataclass(frozen=True)
class Curve:
    """How an order fared: `right` of `counted` per (seed, round, unit), where units are resampled."""

    votes: Floats  # (rounds,)
    right: Floats
    counted: Floats
    log_loss: Floats  # (rounds,)

    def picks(self, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Seeds and units drawn anew, with replacement."""
        seeds, _, units = self.right.shape
        return rng.integers(0, seeds, (seeds,)), rng.integers(0, units, (units,))

    def accuracy(self, picked: tuple[Ints, Ints] | None = None) -> Floats:
        """(rounds,), of all or of the picked; more votes never lower it: what falls is noise."""
        right, counted = self.right, self.counted
        if picked:
            seeds, units = picked
            right, counted = right[seeds][:, :, units], counted[seeds][:, :, units]
        return np.asarray(isotonic_regression(right.sum(axis=(0, 2)) / counted.sum(axis=(0, 2))).x)


def curve(questions: Sequence[Questions], order: Order, plan: Plan, by_prompt: bool) -> Curve:
    """Replay an order once for each of `questions`, whose places are the seeds."""
    right, counted, losses, votes = [], [], [], []
    for seed, q in enumerate(questions):
        played = replay(q, order, plan, seed)
        units = int(q.prompt.max()) + 1
        p = np.clip(np.where(q.first_better, played.p, 1 - played.p)[:, q.scored], 1e-4, 1)
        called = (p > 0.5) + 0.5 * (p == 0.5)
        of = q.prompt[q.scored]
        hits = np.stack([np.bincount(of, row, units) for row in called])
        n = np.broadcast_to(np.bincount(of, minlength=units).astype(float), hits.shape)
        if not by_prompt:
            hits, n = hits.sum(axis=1, keepdims=True), n.sum(axis=1, keepdims=True)
        right.append(hits)
        counted.append(n)
        losses.append(-np.log(p).mean(axis=1))
        votes.append(played.votes)
    open_stderr().print(f"{order.name}: {len(questions)} replays")
    return Curve(np.mean(votes, axis=0), np.stack(right), np.stack(counted), np.mean(losses, axis=0))


def needed(own: Floats, random: Floats, votes: Floats, share: float) -> float:
    """Votes until `own` is as accurate as `random` with this share of its votes; infinite if never."""
    target = np.interp(share * votes[-1], votes, random)
    if own[-1] < target:
        return np.inf
    at = int(np.argmax(own >= target))
    if at == 0:
        return float(votes[0])
    low, high = own[at - 1], own[at]
    return float(votes[at - 1] + (votes[at] - votes[at - 1]) * (target - low) / (high - low))


def ratio(own: Curve, random: Curve, share: float) -> tuple[float, float, float]:
    """Votes needed as a share of random's, with its 90 % interval over seeds and units resampled."""
    rng = np.random.default_rng(0)
    total = share * own.votes[-1]

    def once(picked: tuple[Ints, Ints] | None) -> float:
        return needed(own.accuracy(picked), random.accuracy(picked), own.votes, share) / float(total)

    low, high = np.quantile([once(own.picks(rng)) for _ in range(RESAMPLES)], [0.05, 0.95], method="nearest")
    return once(None), float(low), float(high)
