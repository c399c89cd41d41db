"""The mastery model: a Gaussian state per learner, moved by every answer (assumed density filtering), in JAX.

    z = mu + a + mean of u over the skills + d (for a set of several) + e      what an answer depends on
    P(right) = guess + (1 - guess - slip) · logistic(z)
    a ability ~ N(0, ·), u skill ~ N(0, ·), d set ~ N(0, ·), e form ~ AR(1), fading from answer to answer

An answer gives E and V of z by Gauss-Hermite quadrature, and they move the whole state through its
covariance. After it, practised skills gain, and a set of them (more after a right answer, less with every
repetition), ability gains a little, and everything drifts; on return after a gap a skill is lower and less
certain. Parameters are the MAP of the prequential likelihood: each answer predicted from those before it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .answers import FEATURES, Answers
from .blocks import AnswerBlock

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
Parameters = dict[str, Any]  # name -> array; scalars unless `begin` says otherwise

# Prior mean and sd of every scalar (log, logit or plain).
PRIORS: dict[str, tuple[float, float]] = {
    "mean": (0.7, 1.0),
    "log_sd_ability": (0.0, 1.0),
    "log_sd_skill": (-0.8, 1.0),
    "log_sd_set": (-1.0, 1.0),
    "gain_right": (0.3, 0.5),
    "gain_wrong": (0.1, 0.5),
    "gain_ability": (0.0, 0.05),
    "log_fading": (-1.0, 1.0),
    "share_of_set": (0.0, 1.0),
    "log_drift_skill": (-3.0, 1.5),
    "log_drift_set": (-3.0, 1.5),
    "log_drift_ability": (-5.0, 1.5),
    "log_sd_form": (-0.5, 1.0),
    "form_stays": (1.2, 1.0),
    "log_loss_gap": (-4.0, 1.0),
    "log_drift_gap": (-4.0, 1.5),
    "log_loss_days": (-4.0, 1.0),
    "log_drift_days": (-4.0, 1.5),
    "guess": (-2.5, 1.0),
    "slip": (-2.5, 1.0),
}
_SPREADS = {"skill_mean": 0.8, "question_mean": 0.3, "skill_guess": 0.5, "skill_slip": 0.5, "moment": 0.5}
# Where the search begins: nearer to what logs of lessons gave than the priors are.
START = {
    "log_sd_ability": 0.2,
    "gain_right": 0.7,
    "gain_wrong": 0.25,
    "log_drift_skill": -2.5,
    "log_drift_ability": -6.0,
    "log_sd_form": 0.1,
    "guess": -3.5,
}
# With covariates of the moment, which take a part of what would else be gains.
START_OF_MOMENTS = {
    "log_sd_ability": 0.0,
    "gain_right": 0.25,
    "gain_wrong": 0.05,
    "log_drift_skill": -3.6,
    "moment": (0.2, 0.0, 0.2, -0.5, 0.15, -0.1, -0.1, 0.0, 0.15, -0.4, -0.4, -0.2, 0.0),
}
# Parameters at values that switch their part off.
NEUTRAL = {"log_sd_form": -6.0, "moment": 0.0}


class Predicted(NamedTuple):
    """Before each answer (T, B): P(right), mean and variance of z, and of ability alone."""

    p: Any
    mean: Any
    variance: Any
    ability: Any
    ability_variance: Any


class Belief(NamedTuple):
    """Of B learners: mean (B, S + 2) and covariance (B, S + 2, S + 2) of components, ability and form."""

    mean: Any
    covariance: Any


def start_mastery(answers: Answers, moments: bool = False) -> Parameters:
    """Make the parameters at which the search starts, for these skills and questions."""
    sizes = {
        "skill_mean": answers.skills,
        "question_mean": answers.questions.height,
        "skill_guess": answers.skills,
        "skill_slip": answers.skills,
        "moment": FEATURES,
    }
    scalars = {name: np.float64(START.get(name, mean)) for name, (mean, _) in PRIORS.items()}
    started = scalars | {name: np.zeros(size) for name, size in sizes.items()}
    own = START_OF_MOMENTS if moments else {}
    return started | {name: np.asarray(value, dtype=float) for name, value in own.items()}


def penalise(p: Parameters) -> Any:
    """Compute the negative log prior of parameters, up to a constant."""
    scalars = sum(0.5 * ((p[name] - mean) / sd) ** 2 for name, (mean, sd) in PRIORS.items())
    return scalars + sum(0.5 * jnp.sum(p[name] ** 2) / sd**2 for name, sd in _SPREADS.items())


def make_state(p: Parameters, block: AnswerBlock) -> Belief:
    """Make the state of learners before their first answer."""
    size = block.component.shape[1]
    skill = block.skill
    variance = jnp.where(skill > 0, jnp.exp(2 * p["log_sd_skill"]), jnp.exp(2 * p["log_sd_set"]))
    ends = jnp.stack([jnp.exp(2 * p["log_sd_ability"]), jnp.exp(2 * p["log_sd_form"])])
    whole = jnp.concatenate([variance, jnp.broadcast_to(ends, (len(skill), 2))], axis=1)
    return Belief(jnp.zeros_like(whole), whole[:, :, None] * jnp.eye(size + 2, dtype=whole.dtype))


def look_ahead(p: Parameters, block: AnswerBlock) -> tuple[Any, ...]:
    """Compute what each answer depends on beside the state; see `_step`."""
    of_skill = block.of_skill * (block.weight > 0)
    touch = jnp.where(of_skill > 0, block.touch, 0)
    share = block.weight * of_skill

    def average(name: str) -> Any:
        return (p[name][touch] * share).sum(-1)

    z = p["mean"] + average("skill_mean") + p["question_mean"][block.question] + block.moment @ p["moment"]
    guess = jax.nn.sigmoid(p["guess"] + average("skill_guess"))
    slip = jax.nn.sigmoid(p["slip"] + average("skill_slip"))
    there = (block.weight > 0) * block.known[..., None]
    lost = (
        of_skill * there * (jnp.exp(p["log_loss_gap"]) * block.gap + jnp.exp(p["log_loss_days"]) * block.away)
    )
    blur = there * (jnp.exp(p["log_drift_gap"]) * block.gap + jnp.exp(p["log_drift_days"]) * block.away)
    size = jnp.where(block.right > 0, p["gain_right"], p["gain_wrong"])[..., None]
    of_set = there * (1 - block.of_skill)
    # What is gained with a set of skills is partly of the set alone.
    own = jax.nn.sigmoid(p["share_of_set"]) * of_set.max(-1, keepdims=True)
    part = of_skill * (1 - own) + of_set * own
    gain = part * there * size * jnp.exp(-jnp.exp(p["log_fading"]) * block.nth)
    drift = of_skill * there * jnp.exp(p["log_drift_skill"]) + of_set * jnp.exp(p["log_drift_set"])
    return block.slot, block.weight, z, guess, slip, lost, blur, gain, drift, block.right, block.known


def filter_answers(p: Parameters, block: AnswerBlock, state: Belief) -> tuple[Belief, Predicted]:
    """Predict every answer from those before it; returns the state after the last, and the predictions."""
    size = block.component.shape[1] + 2
    dtype = state.mean.dtype
    nodes, weights = jnp.asarray(NODES, dtype), jnp.asarray(WEIGHTS, dtype)
    rho = jax.nn.sigmoid(p["form_stays"])
    form = jnp.zeros(size, dtype).at[size - 1].set(1)
    ability = jnp.zeros(size, dtype).at[size - 2].set(1)
    fade = 1 - form * (1 - rho)
    fresh = form * jnp.exp(2 * p["log_sd_form"]) * (1 - rho**2)
    wander = ability * jnp.exp(p["log_drift_ability"])
    eye = jnp.eye(size, dtype=dtype)

    def step(carry: Belief, now: tuple[Any, ...]) -> tuple[Belief, Predicted]:
        slot, weight, z, guess, slip, lost, blur, gain, drift, right, known = now
        hot = jax.nn.one_hot(slot, size, dtype=dtype)  # (B, J, S + 2)

        def spread(values: Any) -> Any:
            return (hot * values[..., None]).sum(1)

        mean, blurred = carry.mean - spread(lost), spread(blur)
        h = spread(weight) + ability + form
        column = (carry.covariance * h[:, None, :]).sum(2) + blurred * h
        at = (mean * h).sum(1) + z
        variance = jnp.maximum((column * h).sum(1), 1e-9)
        sd = jnp.sqrt(variance)
        link = guess[:, None] + (1 - guess - slip)[:, None] * jax.nn.sigmoid(
            at[:, None] + sd[:, None] * nodes
        )
        likely = jnp.where(right[:, None] > 0, link, 1 - link) * weights
        posterior = likely / likely.sum(1, keepdims=True)
        moved = (posterior * nodes).sum(1)
        left = (posterior * nodes**2).sum(1) - moved**2
        k = known[:, None]
        kalman = column / sd[:, None]
        mean = mean + k * (moved[:, None] * kalman + spread(gain) + p["gain_ability"] * ability)
        faded = jnp.where(k > 0, fade, 1.0)
        mean = mean * faded
        diagonal = (blurred + k * (spread(drift) + wander)) * faded * faded + k * fresh
        side = kalman * faded
        cov = (
            carry.covariance * faded[:, :, None] * faded[:, None, :]
            - (k * (1 - left)[:, None] * side)[:, :, None] * side[:, None, :]
            + diagonal[:, :, None] * eye
        )
        known_of = carry.mean[:, size - 2], carry.covariance[:, size - 2, size - 2]
        found = Predicted((link * weights).sum(1), at, variance, *known_of)
        return Belief(mean, cov), found

    return jax.lax.scan(jax.checkpoint(step), state, look_ahead(p, block))


def measure_loss(p: Parameters, block: AnswerBlock) -> Any:
    """Sum the log-loss of a block's answers, each predicted from those before it (nats)."""
    _, found = filter_answers(p, block, make_state(p, block))
    q = jnp.clip(found.p, 1e-4, 1 - 1e-4)
    return -(block.known * (block.right * jnp.log(q) + (1 - block.right) * jnp.log1p(-q))).sum()
