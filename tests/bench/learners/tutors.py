"""Does recommending pay? Exercises until simulated learners have mastered four fifths, by order of exercises.

The learners are of three simulators that the model was not made after, and no parameter is fitted to them:
skills that are known or not (BKT), memories that decay by a power law, item response with learning and
forgetting.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from preceptor.toolkit.cli.options import open_stderr
from preceptor.toolkit.practice.learners.mastery.model import NODES, PRIORS, WEIGHTS
from preceptor.toolkit.practice.learners.mastery.online import Model
from preceptor.toolkit.practice.learners.recommend import BAND, expect_gain

from ..fusion.part import Found
from .score import Floats, Ints

LEARNERS, SKILLS, MOST, TARGET, SEEDS = 40, 20, 900, 0.8, 50
# As of a cautious guess, before any simulator was run; gains are larger than in lessons, since one skill is
# asked.
SETTINGS = {
    "mean": -0.3,
    "log_sd_ability": -0.2,
    "log_sd_skill": 0.0,
    "gain_right": 0.35,
    "gain_wrong": 0.35,
    "log_fading": -3.0,
    "log_drift_skill": -2.1,
    "log_drift_ability": -6.2,
    "log_loss_gap": -2.1,
    "log_drift_gap": -3.9,
    "guess": -2.2,
    "slip": -2.9,
}
MODEL = Model({name: mean for name, (mean, _) in PRIORS.items()} | SETTINGS, {}, {})


def _squash(z: Any) -> Floats:
    return np.asarray(1 / (1 + np.exp(-z)))


@dataclass
class Simulated:
    """Learners of a simulator: what they know now (n, skills), and what an answer does to it."""

    name: str
    state: dict[str, Any]
    mastery: Callable[[dict[str, Any]], Floats]
    answer: Callable[[dict[str, Any], Ints, np.random.Generator], Floats]


def make_known_or_not(n: int, k: int, r: np.random.Generator) -> Simulated:
    """BKT: a skill is learnt all at once; guesses, slips, and a little forgetting of what is not asked."""
    state = {
        "known": r.random((n, k)) < r.beta(1.2, 3, k),
        "learn": np.clip(r.uniform(0.06, 0.3, k) * np.exp(0.4 * r.normal(size=(n, 1))), 0, 0.9),
        "guess": r.uniform(0.1, 0.3, k),
        "slip": r.uniform(0.04, 0.12, k),
    }

    def answer(s: dict[str, Any], of: Ints, r: np.random.Generator) -> Floats:
        a = np.arange(n)
        known = s["known"][a, of]
        right = r.random(n) < np.where(known, 1 - s["slip"][of], s["guess"][of])
        s["known"][a, of] |= r.random(n) < s["learn"][a, of]
        s["known"] &= ~((r.random((n, k)) < 0.002) & (np.arange(k) != of[:, None]))
        return np.asarray(right, float)

    return Simulated("BKT", state, lambda s: np.asarray(s["known"], float), answer)


def make_power_law(n: int, k: int, r: np.random.Generator) -> Simulated:
    """Memories: recall falls by a power of the time since; every success makes the next fall slower."""
    state = {
        "stability": np.exp(r.normal(1.2, 0.8, (n, k))) * np.exp(0.4 * r.normal(size=(n, 1))),
        "since": np.exp(r.normal(3.5, 1.0, (n, k))),
    }

    def recall(s: dict[str, Any]) -> Floats:
        return np.asarray((1 + s["since"] / (3 * s["stability"])) ** -0.6)

    def answer(s: dict[str, Any], of: Ints, r: np.random.Generator) -> Floats:
        a = np.arange(n)
        p, now = recall(s)[a, of], s["stability"][a, of]
        right = r.random(n) < p
        grown = now * (1 + 2.2 * np.expm1(1 - p) + 0.25)
        s["stability"][a, of] = np.where(right, grown, np.maximum(now * 0.8, 1.0) + 1.2)
        s["since"] += 1.0
        s["since"][a, of] = 0.2
        return np.asarray(right, float)

    return Simulated("power law", state, recall, answer)


def make_response(n: int, k: int, r: np.random.Generator) -> Simulated:
    """Item response: ability on each skill grows most where an answer is in the balance, and falls back slowly."""
    start = r.normal(-0.6, 0.9, (n, 1)) - r.normal(0, 0.8, k) + 0.6 * r.normal(size=(n, k))
    state = {
        "z": start.copy(),
        "start": start,
        "rate": r.uniform(0.3, 0.8, (1, k)) * np.exp(0.3 * r.normal(size=(n, 1))),
    }

    def answer(s: dict[str, Any], of: Ints, r: np.random.Generator) -> Floats:
        a = np.arange(n)
        p = _squash(s["z"][a, of])
        right = r.random(n) < p
        s["z"] -= 0.0012 * np.maximum(s["z"] - s["start"], 0)
        s["z"][a, of] += s["rate"][a, of] * (2.8 * (1 - p) * p + 0.25)
        return np.asarray(right, float)

    return Simulated("IRT with forgetting", state, lambda s: np.asarray(_squash(s["z"])), answer)


MAKERS = (make_known_or_not, make_power_law, make_response)


@dataclass
class Followed:
    """What the model knows of n learners: means (n, 1 + k), covariances, answers and turn of the last by skill."""

    mean: Floats
    covariance: Floats
    nth: Floats
    last: Ints
    turn: int = 0
    own: dict[str, Any] = field(default_factory=dict)


def begin(n: int, k: int) -> Followed:
    """Make the state of learners of whom nothing is known; ability first, then skills."""
    s = MODEL.scalars
    variances = np.exp(2 * np.r_[s["log_sd_ability"], np.full(k, s["log_sd_skill"])])
    return Followed(
        np.zeros((n, k + 1)), np.tile(np.diag(variances), (n, 1, 1)), np.zeros((n, k)), np.full((n, k), -1)
    )


def look(f: Followed) -> tuple[Floats, Floats]:
    """Mean and variance of what an answer to each skill depends on now: (n, k) each."""
    s = MODEL.scalars
    gap = np.log1p(np.maximum(f.turn - f.last - 1, 0)) * (f.last >= 0)
    mean = s["mean"] + f.mean[:, :1] + f.mean[:, 1:] - np.exp(s["log_loss_gap"]) * gap
    own = np.einsum("nkk->nk", f.covariance)
    variance = own[:, :1] + own[:, 1:] + 2 * f.covariance[:, 0, 1:] + np.exp(s["log_drift_gap"]) * gap
    return mean, variance


def take(f: Followed, of: Ints, right: Floats) -> None:
    """Move the states by an answer of each learner, as `online.take_answer` does for one."""
    s, n = MODEL.scalars, len(of)
    a, at = np.arange(n), of + 1
    gap = np.log1p(np.maximum(f.turn - f.last[a, of] - 1, 0)) * (f.last[a, of] >= 0)
    f.mean[a, at] -= np.exp(s["log_loss_gap"]) * gap
    f.covariance[a, at, at] += np.exp(s["log_drift_gap"]) * gap
    column = f.covariance[:, :, 0] + f.covariance[a, :, at]
    sd = np.sqrt(column[:, 0] + column[a, at])
    guess, slip = _squash(s["guess"]), _squash(s["slip"])
    z = (s["mean"] + f.mean[:, 0] + f.mean[a, at])[:, None] + sd[:, None] * NODES
    link = guess + (1 - guess - slip) * _squash(z)
    likely = np.where(right[:, None] > 0, link, 1 - link) * WEIGHTS
    likely /= likely.sum(1, keepdims=True)
    moved = likely @ NODES
    left = likely @ NODES**2 - moved**2
    kalman = column / sd[:, None]
    f.mean += moved[:, None] * kalman
    f.covariance -= ((1 - left)[:, None] * kalman)[:, :, None] * kalman[:, None, :]
    gain = np.where(right > 0, s["gain_right"], s["gain_wrong"])
    f.mean[a, at] += gain * np.exp(-np.exp(s["log_fading"]) * f.nth[a, of])
    f.covariance[a, at, at] += np.exp(s["log_drift_skill"])
    f.covariance[:, 0, 0] += np.exp(s["log_drift_ability"])
    f.nth[a, of] += 1
    f.last[a, of] = f.turn
    f.turn += 1


def choose_by_gain(f: Followed, r: np.random.Generator, uncertain: bool = True) -> Ints:
    """Choose as `recommend` does: the largest expected gain, less outside the band."""
    mean, variance = look(f)
    if not uncertain:
        variance = variance * 0 + 1e-9
    gain, _ = expect_gain(MODEL, mean.ravel(), variance.ravel(), f.nth.ravel())
    z = mean[..., None] + np.sqrt(variance)[..., None] * NODES
    p = _squash(z) @ WEIGHTS
    inside = (p >= BAND[0]) & (p <= BAND[1])
    value = gain.reshape(mean.shape) * np.where(inside, 1.0, 0.5) + 1e-9 * r.random(mean.shape)
    return np.asarray(value.argmax(1))


def choose_due(f: Followed, r: np.random.Generator) -> Ints:
    """Choose the card of the lowest retrievability if it is below 0.9, else a new one: a due-date order."""
    stability = f.own.setdefault("stability", np.full(f.nth.shape, 2.0))
    seen = f.nth > 0
    recall = np.where(seen, 1 / (1 + (f.turn - f.last) / (9 * stability)), 2.0)
    review = (recall.min(1) < 0.9) | seen.all(1)
    return np.asarray(np.where(review, recall.argmin(1), np.argmin(seen, 1)))


def _note_due(f: Followed, of: Ints, right: Floats) -> None:
    a = np.arange(len(of))
    stability = f.own["stability"]
    now = stability[a, of]
    recall = np.where(f.nth[a, of] > 0, 1 / (1 + (f.turn - f.last[a, of]) / (9 * now)), 1.0)
    stability[a, of] = np.where(right > 0, now * (1.3 + 4 * (1 - recall)), np.maximum(now * 0.4, 1.0))


ORDERS: dict[str, Callable[[Followed, np.random.Generator], Ints]] = {
    "random": lambda f, r: r.integers(0, f.nth.shape[1], len(f.nth)),
    "due date": choose_due,
    "recommend": choose_by_gain,
    "recommend, posterior mean alone": lambda f, r: choose_by_gain(f, r, uncertain=False),
}


def count_exercises(make: Callable[..., Simulated], order: str, seed: int, n: int = LEARNERS) -> Floats:
    """Count exercises until each learner's mean mastery is `TARGET`; `MOST` where it never is: (n,)."""
    r, choosing = np.random.default_rng(seed), np.random.default_rng(seed + 10_000)
    learners, f = make(n, SKILLS, r), begin(n, SKILLS)
    done = np.full(n, float(MOST))
    for turn in range(MOST):
        reached = (learners.mastery(learners.state).mean(1) >= TARGET) & (done == MOST)
        done[reached] = turn
        if (done < MOST).all():
            break
        of = ORDERS[order](f, choosing)
        right = learners.answer(learners.state, of, r)
        if order == "due date":
            _note_due(f, of, right)
        take(f, of, right)
    return done


def tutors(quick: bool) -> Found:
    """Count exercises by order and simulator, over seeds."""
    seeds = range(2 if quick else SEEDS)
    lines: list[tuple[str, ...]] = []
    for make in MAKERS:
        name = make(2, 2, np.random.default_rng(0)).name
        counts = {
            o: np.array([count_exercises(make, o, seed, 8 if quick else LEARNERS) for seed in seeds])
            for o in ORDERS
        }
        means = {order: c.mean(1) for order, c in counts.items()}
        for order, c in counts.items():
            lines.append(
                (
                    f"{name}: {order}",
                    f"{c.mean():.0f}",
                    f"{(c < MOST).mean():.0%}",
                    *(_ratio(means[order], means[other]) for other in ("random", "due date")),
                )
            )
        open_stderr().print(f"{name}: {[line[1:4] for line in lines[-len(ORDERS) :]]}")
    return Found(
        "exercises until four fifths are mastered",
        f"{LEARNERS} learners × {SKILLS} skills, seeds 0 to {len(seeds) - 1}; simulators that no parameter was fitted "
        f"to. Counts stop at {MOST}. Ratios of means over all seeds; intervals: 90 %, seeds drawn anew 1,000 times. The "
        "due-date order is a plain one (a stability for each card, new cards when nothing is due).",
        ("simulator: order", "exercises", "reach it", "of random", "of due date"),
        lines,
    )


def _ratio(ours: Floats, other: Floats) -> str:
    if ours is other:
        return "—"
    r = np.random.default_rng(0)
    draws = r.integers(0, len(ours), (1000, len(ours)))
    low, high = np.quantile(ours[draws].mean(1) / other[draws].mean(1), [0.05, 0.95])
    return f"{ours.mean() / other.mean():.2f} ({low:.2f} to {high:.2f})"
