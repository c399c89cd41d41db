"""The fusion model: two correlated qualities per completion, seen through votes, ratings, outcomes.

    e = own + author                    expressed: what people prefer; own ~ N(0, 1)
    o = rho own + sqrt(1 - rho^2) w + author'     observed: what helps; w ~ N(0, 1)
    votes     Davidson (1970): (log P(a), log P(b), log P(tie)) = (eta/2, -eta/2, nu) + const
    ratings   ordered logistic per criterion, shared cutpoints
    outcomes  logit P(success at a try), geometric in the number of tries

Every slope is positive, so no quality can turn its sign between chains. Plates without names
(aggregated sources) are left out. See docs/fusion.md for the priors and why they are so.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.nn import log_sigmoid
from jax.scipy.special import expit, ndtr, ndtri
from numpyro.distributions.transforms import SigmoidTransform
from numpyro.infer.util import log_density

from .observations import NOBODY, Observations

Arrays = dict[str, Any]

AUTHOR_SCALE = 0.7  # of the prior: how far authors differ, in standard deviations within an author
SCORE = "score:"  # prefix of real numbers that other parameters are functions of
LOGIT = SigmoidTransform().inv
LOG_PROBS = "log_probs:"  # prefix of the recorded sites that only the checks look at


def davidson_log_probs(eta: Array, tie: Array) -> Array:
    """Log-probabilities (3, rows) of first, second and tie; Davidson, JASA 65 (1970) 317-328.

    `eta` is the advantage of the first on the log-odds scale, `tie` the log weight of a tie.
    """
    scores = jnp.stack([eta / 2, -eta / 2, jnp.broadcast_to(tie, eta.shape)])
    return scores - jax.nn.logsumexp(scores, axis=0)


def ordered_log_probs(location: Array, cutpoints: Array) -> Array:
    """Log-probabilities (rows, levels) of an ordered logistic, stable in both tails."""
    distance = cutpoints[None, :] - location[:, None]
    below = log_sigmoid(distance)  # log P(level <= k), k = 1..levels-1
    above = below - distance  # log P(level > k): the cheaper half of log_sigmoid(-distance)
    # P(k) = P(<= k) - P(<= k-1) = P(<= k) * P(> k-1) * (1 - exp(c[k-1] - c[k]))
    gaps = jnp.log(-jnp.expm1(cutpoints[:-1] - cutpoints[1:]))
    inner = below[:, 1:] + above[:, :-1] + gaps[None, :]
    return jnp.concatenate([below[:, :1], inner, above[:, -1:]], axis=1)


def model(data: Arrays) -> None:
    """The generative model as a NumPyro function of the arrays that `model_arrays` makes.

    Sampled sites are standard normals wherever a group has a scale (non-centred), so that the
    sampler sees one length scale. `w` exists only for items that some learner tried: without
    outcomes it is independent of the data, and `quality_draws` adds it afterwards, exactly.
    """
    n = data["items"].shape[0]
    own = numpyro.sample("own", dist.Normal(0, 1).expand([n]).to_event(1))
    e = numpyro.deterministic("e", own + _of_author("author_expressed", data))
    logit = numpyro.sample(f"{SCORE}rho", dist.TransformedDistribution(dist.Beta(2, 2), LOGIT))
    rho = numpyro.deterministic("rho", 2 * expit(logit) - 1)
    if "votes" in data:
        _votes(data, e)
    for name in sorted(k for k in data if k.startswith("ratings:")):
        _ratings(name.removeprefix("ratings:"), data[name], data, e)
    if "tried" not in data:
        return
    tried = data["tried"]
    w = numpyro.sample("w", dist.Normal(0, 1).expand([tried.shape[0]]).to_event(1))
    by_author = jnp.broadcast_to(_of_author("author_observed", data), own.shape)
    o = rho * own[tried] + jnp.sqrt(1 - rho**2) * w + by_author[tried]
    for name in sorted(k for k in data if k.startswith("outcomes:")):
        _outcomes(name.removeprefix("outcomes:"), data[name], data, o)


@jax.jit
def joint(values: dict[str, Array], data: Arrays) -> tuple[Array, dict[str, Array]]:
    """The log density of latent values given the arrays, and the value of every site.

    Every latent site is real and unbounded, so this is the density that is sampled. Compiled by
    itself, so that NumPyro's handlers run once for all that is made of it.
    """
    density, trace = log_density(model, (data,), {}, values)
    sites = {name: site["value"] for name, site in trace.items() if not site.get("is_observed")}
    return density, sites


def _group(name: str, size: int, scale: float) -> Array:
    """Effects of a group's members, non-centred: HalfNormal(scale) times standard normals."""
    tau = _half_normal(f"tau_{name}", scale)
    z = numpyro.sample(f"z_{name}", dist.Normal(0, 1).expand([size]).to_event(1))
    effects: Array = numpyro.deterministic(name, tau * z)
    return effects


def _half_normal(name: str, scale: float) -> Array:
    """HalfNormal(scale) as a function of a standard normal: tails as light as all others.

    On the log scale the tail towards 0, where data seldom say how small a spread is, falls off as
    slowly as exp(x) and chains stay there for long.
    """
    x = numpyro.sample(f"{SCORE}{name}", dist.Normal(0, 1))
    value: Array = numpyro.deterministic(name, scale * half_normal(x))
    return value


@jax.custom_jvp
def _quantile(x: Array) -> Array:
    """The quantile of HalfNormal(1) where a standard normal has x; x may be any real number.

    Its slope is stated, since to derive it from ndtri's polynomials takes long to compile.
    """
    return -ndtri(ndtr(-x) / 2)


@_quantile.defjvp
def _slope(at: tuple[Array], along: tuple[Array]) -> tuple[Array, Array]:
    (x,), (direction,) = at, along
    value = _quantile(x)
    return value, direction * jnp.exp((value**2 - x**2) / 2) / 2


half_normal = jax.jit(_quantile)


def _of_author(name: str, data: Arrays) -> Array:
    """What completions share with others of their author; 0 where authors are not known."""
    if "authors" not in data:
        return jnp.zeros(())
    author = data["author"]
    return jnp.where(author != NOBODY, _group(name, data["authors"].shape[0], AUTHOR_SCALE)[author], 0.0)


def _observe(name: str, log_probs: Array, data: Arrays) -> None:
    """Condition on counts; keep log_probs (rows, categories) for checks and for the information."""
    numpyro.deterministic(f"{LOG_PROBS}{name}", log_probs)
    numpyro.factor(name, jnp.sum(log_probs * observed_counts(data)[name]))


def _votes(data: Arrays, e: Array) -> None:
    """Davidson votes with first-shown bias and, where annotators are named, their habits."""
    v = data["votes"]
    slope = _half_normal("vote_slope", 2)
    tie = numpyro.sample("vote_tie", dist.Normal(-1, 1.5))
    eta = slope * (e[v["first"]] - e[v["second"]])
    if "annotators" in data:
        who, named = v["annotator"], v["annotator"] != NOBODY
        size = data["annotators"].shape[0]
        reliability = 1 + _group("reliability", size, 0.7)
        numpyro.deterministic("annotator_reliability", reliability)
        eta = eta * jnp.where(named, reliability[who], 1.0)
        tie = tie + jnp.where(named, _group("tie_habit", size, 1.0)[who], 0.0)
    if "shown_first" in v:
        bias = numpyro.sample("first_shown_bias", dist.Normal(0, 0.5))
        if "annotators" in data:
            bias = bias + jnp.where(named, _group("first_shown_habit", size, 0.5)[who], 0.0)
        eta = eta + v["shown_first"] * bias
    _observe("votes", davidson_log_probs(eta, tie).T, data)


def _ratings(criterion: str, r: Arrays, data: Arrays, e: Array) -> None:
    """Ordered-logistic ratings on one criterion: severity of annotators, difficulty of prompts."""
    levels = r["counts"].shape[1]
    slope = _half_normal(f"rating_slope:{criterion}", 2)
    lowest = numpyro.sample(f"rating_cut:{criterion}", dist.Normal(-2, 1.5))
    location = slope * e[r["item"]]
    cutpoints = lowest[None]
    if levels > 2:
        logs = numpyro.sample(
            f"{SCORE}rating_gaps:{criterion}", dist.Normal(0, 0.7).expand([levels - 2]).to_event(1)
        )
        gaps = numpyro.deterministic(f"rating_gaps:{criterion}", jnp.exp(logs))
        cutpoints = jnp.concatenate([lowest[None], lowest + jnp.cumsum(gaps)])
    location = location + _group(f"rating_prompt:{criterion}", r["n_prompts"].shape[0], 1.0)[r["prompt"]]
    if "annotators" in data:
        severity = _group(f"severity:{criterion}", data["annotators"].shape[0], 1.0)
        location = location - jnp.where(r["annotator"] != NOBODY, severity[r["annotator"]], 0.0)
    _observe(f"ratings:{criterion}", ordered_log_probs(location, cutpoints), data)


def _outcomes(measure: str, y: Arrays, data: Arrays, o: Array) -> None:
    """Success at a try: a logistic in observed quality, prompt difficulty, learner ability."""
    slope = _half_normal(f"outcome_slope:{measure}", 2)
    level = numpyro.sample(f"outcome_level:{measure}", dist.Normal(0, 1.5))
    logit = level + slope * o[y["item"]]
    logit = logit - _group(f"outcome_prompt:{measure}", y["n_prompts"].shape[0], 1.0)[y["prompt"]]
    if "learners" in data:
        ability = _group(f"ability:{measure}", data["learners"].shape[0], 1.0)
        logit = logit + jnp.where(y["learner"] != NOBODY, ability[y["learner"]], 0.0)
    success = log_sigmoid(logit)
    log_probs = jnp.stack([success - logit, success], axis=1)
    _observe(f"outcomes:{measure}", log_probs, data)


def observed_counts(data: Arrays) -> dict[str, Array]:
    """What was observed, (rows, categories) by the names of the sites of log-probabilities."""
    counts = {
        name: part["counts"] for name, part in data.items() if name.partition(":")[0] in ("votes", "ratings")
    }
    for name in (name for name in data if name.startswith("outcomes:")):
        counts[name] = jnp.stack([data[name]["failures"], data[name]["successes"]], axis=1)
    return counts


def model_arrays(obs: Observations) -> Arrays:
    """The model's only argument: arrays named as the model reads them.

    Sizes travel as the shapes of empty arrays, so that the compiled program depends on shapes
    alone and a second fit of the same shape starts without compiling.
    """
    data: Arrays = {"items": np.zeros(len(obs.prompt))}
    if obs.annotators.height > 1:
        data["annotators"] = np.zeros(obs.annotators.height)
    if obs.authors:
        data["authors"] = np.zeros(len(obs.authors))
        data["author"] = obs.author
    if len(obs.learners) > 1:
        data["learners"] = np.zeros(len(obs.learners))
    if obs.votes is not None:
        v = obs.votes
        data["votes"] = {"first": v.first, "second": v.second, "annotator": v.annotator, "counts": v.counts}
        if np.any(v.shown_first != 0):
            data["votes"]["shown_first"] = v.shown_first
    for r in obs.ratings:
        prompts, prompt = np.unique(obs.prompt[r.item], return_inverse=True)
        data[f"ratings:{r.name}"] = {
            "item": r.item,
            "annotator": r.annotator,
            "counts": r.counts,
            "prompt": prompt,
            "n_prompts": np.zeros(len(prompts)),
        }
    tried = obs.tried
    if len(tried):
        data["tried"] = tried
    for y in obs.outcomes:
        prompts, prompt = np.unique(obs.prompt[y.item], return_inverse=True)
        data[f"outcomes:{y.measure}"] = {
            "item": np.searchsorted(tried, y.item),
            "learner": y.learner,
            "successes": y.successes,
            "failures": y.failures,
            "prompt": prompt,
            "n_prompts": np.zeros(len(prompts)),
        }
    return data
