"""One learner, one answer at a time: the same model as `model.py`, in NumPy, for a page that waits.

state = start_learner(parameters)
p = predict_answer(parameters, state, question)
state = take_answer(parameters, state, question, right=True, day=20_600.5)

A learner's components come as they are met, so that a state is as small as what the learner has seen; what
has not been seen is independent of it given ability. A test holds this file and `model.py` against each
other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log1p, sqrt

import numpy as np

from .answers import SEPARATOR, Floats
from .model import NODES, WEIGHTS, Parameters

_WIDTH = 1.6448536  # standard deviations on either side of a 90 % interval
_NODES = [(float(node), float(weight)) for node, weight in zip(NODES, WEIGHTS, strict=True)]
_ABILITY, _FORM = 0, 1  # places in the state; components follow


@dataclass
class LearnerState:
    """State of a learner: mean (n,) and covariance (n, n) of ability, form and the components met so far."""

    mean: Floats
    covariance: Floats
    places: dict[str, int] = field(default_factory=dict)  # component -> place
    times: dict[str, list[float]] = field(default_factory=dict)  # component -> answers, last turn, last day
    turn: int = 0


@dataclass(frozen=True)
class Model:
    """Parameters as plain numbers, and those of skills and questions by name."""

    scalars: dict[str, float]
    skills: dict[str, tuple[float, float, float]]  # mean, guess and slip of a skill
    questions: dict[tuple[str, str], float]  # item and set -> mean


@dataclass(frozen=True)
class Forecast:
    """Before an answer: P(right) and its 90 % interval, mean and variance of what it depends on."""

    p: float
    low: float
    high: float
    mean: float
    variance: float
    guess: float
    slip: float


def read_model(
    parameters: Parameters, components: Sequence[str], questions: Sequence[tuple[str, str]]
) -> Model:
    """Name the parameters that a fit found; `questions` are item and set, in the order of their index."""
    scalars = {name: float(v) for name, v in parameters.items() if np.ndim(v) == 0}
    of_skill = zip(
        *(np.asarray(parameters[n], float).tolist() for n in ("skill_mean", "skill_guess", "skill_slip")),
        strict=True,
    )
    means = np.asarray(parameters["question_mean"], float).tolist()
    return Model(
        scalars,
        dict(zip(components, of_skill, strict=False)),
        dict(zip(questions, means, strict=True)),
    )


def start_learner(model: Model) -> LearnerState:
    """Make the state of somebody of whom nothing is known."""
    s = model.scalars
    variances = [exp(2 * s["log_sd_ability"]), exp(2 * s["log_sd_form"])]
    return LearnerState(np.zeros(2), np.diag(variances))


def name_components(skills: Sequence[str]) -> list[tuple[str, float]]:
    """Name what an answer with these skills uses, with weights: each skill, and the set of several."""
    own = sorted(set(skills))
    together = [(SEPARATOR.join(own), 1.0)] if len(own) > 1 else []
    return [*((name, 1 / len(own)) for name in own), *together]


def _meet(model: Model, learner: LearnerState, names: Sequence[str]) -> None:
    """Add components that the learner has not met before, at their prior."""
    new = [name for name in names if name not in learner.places]
    if not new:
        return
    old, size = len(learner.mean), len(learner.mean) + len(new)
    covariance = np.zeros((size, size))
    covariance[:old, :old] = learner.covariance
    for place, name in enumerate(new, old):
        learner.places[name] = place
        which = "log_sd_set" if SEPARATOR in name else "log_sd_skill"
        covariance[place, place] = exp(2 * model.scalars[which])
    learner.mean = np.concatenate([learner.mean, np.zeros(len(new))])
    learner.covariance = covariance


def _level(model: Model, item: str, used: Sequence[tuple[str, float]]) -> tuple[float, float, float]:
    """Mean of z beside the state, guess and slip of a question."""
    s = model.scalars
    mean, guess, slip = s["mean"], s["guess"], s["slip"]
    for name, weight in used:
        if name in model.skills:
            own = model.skills[name]
            mean, guess, slip = mean + weight * own[0], guess + weight * own[1], slip + weight * own[2]
    kind = used[-1][0]  # of several skills the set, of one the skill
    return mean + model.questions.get((item, kind), 0.0), _squash(guess), _squash(slip)


def _squash(x: float) -> float:
    return 1 / (1 + exp(-min(max(x, -500.0), 500.0)))


def _wait(
    model: Model, learner: LearnerState, used: Sequence[tuple[str, float]], day: float | None
) -> tuple[list[int], list[float], list[float]]:
    """Places of the components, and by how much each has fallen and blurred since it was used."""
    s = model.scalars
    places, lost, blur = [], [], []
    for name, _ in used:
        n, turn, last = learner.times.get(name, (0, 0, np.nan))
        gap = log1p(max(learner.turn - turn - 1, 0)) if n else 0.0
        days = (day if day is not None else np.nan) - last
        away = log1p(days) if n and days > 0 else 0.0
        places.append(learner.places[name])
        is_skill = SEPARATOR not in name
        lost.append(is_skill * (exp(s["log_loss_gap"]) * gap + exp(s["log_loss_days"]) * away))
        blur.append(exp(s["log_drift_gap"]) * gap + exp(s["log_drift_days"]) * away)
    return places, lost, blur


def predict_answer(
    model: Model,
    learner: LearnerState,
    item: str,
    skills: Sequence[str],
    day: float | None = None,
    form: bool = True,
) -> Forecast:
    """Predict an answer to an item with these skills, at a time in days since 1970.

    Without `form`, of a day like any other: what the learner can do, not how it goes just now.
    """
    used = name_components(skills)
    _meet(model, learner, [name for name, _ in used])
    level, guess, slip = _level(model, item, used)
    places, lost, blur = _wait(model, learner, used, day)
    h = np.zeros(len(learner.mean))
    h[_ABILITY], h[_FORM] = 1.0, float(form)
    h[places] = [weight for _, weight in used]
    mean = float(h @ learner.mean) + level - float(h[places] @ lost)
    variance = float(h @ learner.covariance @ h + h[places] ** 2 @ blur)
    return _forecast(mean, variance, guess, slip)


def _forecast(mean: float, variance: float, guess: float, slip: float) -> Forecast:
    sd = sqrt(max(variance, 1e-9))
    p = float(_link(mean, sd, guess, slip) @ WEIGHTS)
    return _bound(p, mean, variance, guess, slip)


def _link(mean: float, sd: float, guess: float, slip: float) -> Floats:
    """P(right) at the nodes (7,)."""
    return np.asarray(guess + (1 - guess - slip) / (1 + np.exp(-mean - sd * NODES)))


def _bound(p: float, mean: float, variance: float, guess: float, slip: float) -> Forecast:
    sd, rest = sqrt(max(variance, 1e-9)), 1 - guess - slip
    low, high = (guess + rest * _squash(mean + side * sd) for side in (-_WIDTH, _WIDTH))
    return Forecast(p, low, high, mean, variance, guess, slip)


def take_answer(
    model: Model,
    learner: LearnerState,
    item: str,
    skills: Sequence[str],
    right: bool,
    day: float | None = None,
) -> Forecast:
    """Move a learner's state by an answer, in place; returns what was foretold before it."""
    s = model.scalars
    used = name_components(skills)
    _meet(model, learner, [name for name, _ in used])
    level, guess, slip = _level(model, item, used)
    places, lost, blur = _wait(model, learner, used, day)
    mean, covariance = learner.mean, learner.covariance
    for place, less, more in zip(places, lost, blur, strict=True):
        mean[place] -= less
        covariance[place, place] += more
    # Rows and plain numbers: of a few components, arrays of them cost more than what is computed.
    column = covariance[_ABILITY] + covariance[_FORM]
    at = mean[_ABILITY] + mean[_FORM] + level
    for (_, weight), place in zip(used, places, strict=True):
        column += weight * covariance[place]
        at += weight * mean[place]
    variance = column[_ABILITY] + column[_FORM]
    variance += sum(weight * column[place] for (_, weight), place in zip(used, places, strict=True))
    variance = max(float(variance), 1e-9)
    sd = sqrt(variance)
    p, moved, left = _weigh_nodes(float(at), sd, guess, slip, right)
    column /= sd
    mean += moved * column
    covariance -= np.multiply.outer((1 - left) * column, column)
    gain, fading = s["gain_right"] if right else s["gain_wrong"], exp(s["log_fading"])
    own = _squash(s["share_of_set"]) if len(used) > 1 else 0.0  # what is gained by the set alone
    for (name, _), place in zip(used, places, strict=True):
        n, *_ = learner.times.get(name, (0, 0, 0))
        is_set = SEPARATOR in name
        mean[place] += gain * (own if is_set else 1 - own) * exp(-fading * n)
        covariance[place, place] += exp(s["log_drift_set" if is_set else "log_drift_skill"])
        learner.times[name] = [n + 1, learner.turn, np.nan if day is None else day]
    mean[_ABILITY] += s["gain_ability"]
    covariance[_ABILITY, _ABILITY] += exp(s["log_drift_ability"])
    rho = _squash(s["form_stays"])
    mean[_FORM] *= rho
    covariance[_FORM, :] *= rho
    covariance[:, _FORM] *= rho
    covariance[_FORM, _FORM] += exp(2 * s["log_sd_form"]) * (1 - rho**2)
    learner.turn += 1
    return _bound(p, float(at), variance, guess, slip)


def _weigh_nodes(
    mean: float, sd: float, guess: float, slip: float, right: bool
) -> tuple[float, float, float]:
    """P(right), and after the answer mean and variance of a standard normal that it depended on."""
    rest, chance, total, first, second = 1 - guess - slip, 0.0, 0.0, 0.0, 0.0
    for node, weight in _NODES:
        p = guess + rest * _squash(mean + sd * node)
        likely = (p if right else 1 - p) * weight
        chance += p * weight
        total += likely
        first += likely * node
        second += likely * node * node
    moved = first / total
    return chance, moved, second / total - moved * moved
