"""The memory model: how well each card is remembered, on top of what FSRS-6 foretells, in JAX or NumPy.

    logit P(recall after t days) = alpha · logit R_FSRS(t) - psi · log(1 + t) + x + h · b,  guess and slip
    apart x strength of the card, b how it differs for good: a Gaussian state, moved by every review (as in
    `mastery`) after a review, by case (same day or later, right or wrong):
    x <- rho x + a0 + a1 (1 - p) + a2 log(1 + t) + a_slow · slowness + kappa b, with variance q

`slowness` is the log of the answer's time less the learner's own running mean: a success that took longer
than usual says that the card is weaker than FSRS believes. The step is written once and runs on both kinds of
arrays, so that batch and one review at a time are the same.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
Parameters = dict[str, Any]

# Prior mean, prior sd and start of every parameter; four numbers are of the cases right on the same day,
# right later, wrong on the same day, wrong later; two of a first answer wrong and right.
PRIORS: dict[str, tuple[float, float, Any]] = {
    "alpha": (1.0, 0.25, 1.0),
    "psi": (0.1, 0.3, 0.1),
    "first": (0.0, 1.0, (-0.3, 0.1)),
    "first_slow": (0.0, 0.2, 0.0),
    "log_sd_first": (-0.7, 0.5, -0.5),
    "trait": (0.3, 0.3, 0.3),
    "same_day": (1.0, 1.0, 1.0),
    "center": (0.0, 0.7, 0.0),
    "rho": (2.5, 1.0, (2.5, 2.5, 2.5, 2.5)),
    "a0": (0.0, 0.4, (0.0, 0.1, 0.0, 0.0)),
    "a1": (0.0, 0.5, (0.0, 0.0, 0.0, 0.0)),
    "a2": (0.0, 0.3, (0.0, 0.0, 0.0, 0.0)),
    "kappa": (0.0, 0.3, (0.0, 0.2, 0.0, 0.0)),
    "slow": (0.0, 0.1, (0.0, 0.0, 0.0, 0.0)),
    "log_drift": (-3.5, 1.0, (-3.0, -3.0, -3.0, -2.0)),
    "guess": (-4.5, 1.0, -4.5),
    "slip": (-4.5, 1.0, -4.5),
}
TIMES = ("first_slow", "slow")  # what is left out where times of answers are not to be used
SAME_DAY_WEIGHT = 0.2  # of answers on the day of the last one, in the likelihood


class Card(NamedTuple):
    """State of cards: mean of strength and trait, their variances and covariance; arrays of one shape."""

    strength: Any
    trait: Any
    strength_variance: Any
    covariance: Any
    trait_variance: Any
    seen: Any  # 1 after the first review


class Review(NamedTuple):
    """A review of each card: days since the last, logit of FSRS' R, slowness, right, whether there is one."""

    days: Any
    retrievability: Any
    slowness: Any
    right: Any
    known: Any


class Recall(NamedTuple):
    """Before a review: P(recall), mean and variance of its logit."""

    p: Any
    mean: Any
    variance: Any


def start_memory() -> Parameters:
    """Make the parameters at which the search starts."""
    return {name: np.asarray(start, dtype=float) for name, (_, _, start) in PRIORS.items()}


def penalise(p: Parameters) -> Any:
    """Compute the negative log prior of parameters, up to a constant."""
    return sum(0.5 * jnp.sum((p[name] - mean) ** 2) / sd**2 for name, (mean, sd, _) in PRIORS.items())


def make_cards(like: Any) -> Card:
    """Make the state of cards that nobody has seen, in arrays like this one."""
    zero = like * 0.0
    return Card(zero, zero, zero, zero, zero + 1, zero)


def forecast(p: Parameters, card: Card, days: Any, retrievability: Any, xp: Any = np) -> Recall:
    """Foretell recall after some days without review; `retrievability` is the logit of FSRS' R then."""
    h = p["trait"]
    rest = p["alpha"] * retrievability - p["psi"] * xp.log1p(days) + (days == 0) * p["same_day"]
    mean = card.strength + h * card.trait + rest
    variance = card.strength_variance + 2 * h * card.covariance + h * h * card.trait_variance
    variance = xp.maximum(variance, 1e-6)
    link = _link(p, mean, xp.sqrt(variance), xp)
    return Recall((link * xp.asarray(WEIGHTS, link.dtype)).sum(-1), mean, variance)


def _link(p: Parameters, mean: Any, sd: Any, xp: Any) -> Any:
    """P(recall) at the nodes: (…, nodes)."""
    guess, slip = 1 / (1 + xp.exp(-p["guess"])), 1 / (1 + xp.exp(-p["slip"]))
    z = mean[..., None] + sd[..., None] * xp.asarray(NODES, mean.dtype)
    return guess + (1 - guess - slip) / (1 + xp.exp(-z))


def take_review(p: Parameters, card: Card, review: Review, xp: Any = np) -> tuple[Card, Recall]:
    """Move the state of cards by a review of each; returns also what was foretold before it."""
    days, slow, right, known = review.days, review.slowness, review.right, review.known
    found = forecast(p, card, days, review.retrievability, xp)
    sd = xp.sqrt(found.variance)
    nodes, weights = xp.asarray(NODES, sd.dtype), xp.asarray(WEIGHTS, sd.dtype)
    link = _link(p, found.mean, sd, xp)
    likely = xp.where(right[..., None] > 0, link, 1 - link) * weights
    posterior = likely / likely.sum(-1)[..., None]
    moved = (posterior * nodes).sum(-1)
    left = (posterior * nodes**2).sum(-1) - moved**2
    c0 = card.strength_variance + p["trait"] * card.covariance
    c1 = card.covariance + p["trait"] * card.trait_variance
    shrink = (1 - left) / found.variance
    strength, trait = card.strength + moved * c0 / sd, card.trait + moved * c1 / sd
    v0, v1 = card.strength_variance - shrink * c0 * c0, card.covariance - shrink * c0 * c1
    v2 = card.trait_variance - shrink * c1 * c1
    # 0 right on the same day, 1 right later, 2 wrong on the same day, 3 wrong later
    case = xp.where(days > 0, 1, 0) + xp.where(right > 0, 0, 2)
    rho, kappa = 1 / (1 + xp.exp(-p["rho"][case])), p["kappa"][case]
    failing = 1 - 1 / (1 + xp.exp(-found.mean))
    step = p["a0"][case] + p["a1"][case] * failing + p["a2"][case] * xp.log1p(days) + p["slow"][case] * slow
    later = Card(
        p["center"] + rho * (strength - p["center"]) + step + kappa * trait,
        trait,
        rho * rho * v0 + 2 * rho * kappa * v1 + kappa * kappa * v2 + xp.exp(p["log_drift"][case]),
        rho * v1 + kappa * v2,
        v2,
        card.seen + 1,
    )
    zero = days * 0.0
    first = Card(
        p["first"][xp.where(right > 0, 1, 0)] + p["first_slow"] * slow,
        zero,
        zero + xp.exp(2 * p["log_sd_first"]),
        zero,
        zero + 1,
        card.seen + 1,
    )
    new = card.seen < 1
    kept = Card(
        *(xp.where(known > 0, xp.where(new, a, b), c) for a, b, c in zip(first, later, card, strict=True))
    )
    return kept, found


class Reviews(NamedTuple):
    """Reviews of cards, padded: arrays (T, B) of `Review`, and each one's weight in the likelihood."""

    review: Review
    weight: Any


def measure_loss(p: Parameters, block: Reviews) -> Any:
    """Sum the weighted log-loss of reviews, each foretold from those before it (nats)."""

    def step(card: Card, review: Review) -> tuple[Card, Any]:
        later, found = take_review(p, card, review, jnp)
        return later, found.p

    _, q = jax.lax.scan(step, make_cards(block.review.days[0]), block.review)
    q = jnp.clip(q, 1e-4, 1 - 1e-4)
    y = block.review.right
    return -(block.weight * (y * jnp.log(q) + (1 - y) * jnp.log1p(-q))).sum()
