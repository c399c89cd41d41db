"""The published SMART model, written anew from its description, as a peer for ours.

    x ~ Beta(1, 1)                       one effectiveness per completion
    votes     P(a), P(b), P(tie) are as  g(s x_a + c), g(s x_b + c), t;   t ~ Beta(1, 1)
    ratings   softmax over (0, g(s_2 x + c_2), …, g(s_5 x + c_5)), fed with CUMULATIVE counts
    outcomes  P(success at a try) = g(s x + c), geometric in the number of tries

g is the logistic function, every s and c ~ N(0, 1): nothing holds the sign of a slope, so x and 1 - x
explain the data alike. Balepur et al., EMNLP 2024, "A SMART Mnemonic Sounds like 'Glue Tonic'".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array, lax, nn, random
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy
from scipy.special import expit

from preceptor.toolkit.fusion.observations import Observations
from preceptor.toolkit.fusion.sampling import diagnostics

CHAINS = 5  # and 1000 draws after as many of warm-up: the published settings
DRAWS = 1000
JITTER = 1.0  # chains start within it, in unconstrained space: PyMC's default, as published

Floats = NDArray[np.float64]
Sites = dict[str, Floats]
Ints = NDArray[np.int64]
Arrays = dict[str, Any]
Run = Callable[[Arrays, int], tuple[Sites, int]]  # data, seed -> draws (chains, draws, …), divergences


def published_arrays(obs: Observations) -> Arrays:
    """What the model is conditioned on; ratings as running totals over the levels, as published."""
    data: Arrays = {"items": np.zeros(len(obs.prompt))}
    if obs.votes is not None:
        v = obs.votes
        data["votes"] = {"first": v.first, "second": v.second, "counts": v.counts}
    for r in obs.ratings:
        data[f"ratings:{r.name}"] = {"item": r.item, "counts": np.cumsum(r.counts, axis=1)}
    for y in obs.outcomes:
        data[f"outcomes:{y.measure}"] = {"item": y.item, "successes": y.successes, "failures": y.failures}
    return data


def published_model(data: Arrays) -> None:
    """The model as a NumPyro function of the arrays that `published_arrays` makes."""
    x = numpyro.sample("x", dist.Uniform(0, 1).expand([data["items"].shape[0]]).to_event(1))
    for name in sorted(data):
        if name == "votes":
            slope, intercept = _line("vote", ())
            tie = numpyro.sample("tie", dist.Beta(1, 1))
            v = data[name]
            p = vote_shares(slope * x[v["first"]] + intercept, slope * x[v["second"]] + intercept, tie)
            numpyro.factor(name, jnp.sum(v["counts"] * jnp.log(p)))
        elif name.startswith("ratings:"):
            r = data[name]
            slope, intercept = _line(name, (r["counts"].shape[1] - 1,))
            scores = nn.sigmoid(slope * x[r["item"]][:, None] + intercept)
            scores = jnp.pad(scores, ((0, 0), (1, 0)))  # the lowest level is the reference
            numpyro.factor(name, jnp.sum(r["counts"] * nn.log_softmax(scores, axis=1)))
        elif name.startswith("outcomes:"):
            y = data[name]
            slope, intercept = _line(name, ())
            logit = slope * x[y["item"]] + intercept
            log_probs = y["successes"] * nn.log_sigmoid(logit) + y["failures"] * nn.log_sigmoid(-logit)
            numpyro.factor(name, jnp.sum(log_probs))


def _line(name: str, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A slope and an intercept per element of `shape`; the sign of the slope is free."""
    normal = dist.Normal(0, 1).expand(shape).to_event(len(shape))
    return numpyro.sample(f"{name}_slope", normal), numpyro.sample(f"{name}_intercept", normal)


def vote_shares(of_first: Array, of_second: Array, tie: Array) -> Array:
    """P(first), P(second), P(tie), shape (…, 3), from the logits of both sides and the tie's weight."""
    first, second = nn.sigmoid(of_first), nn.sigmoid(of_second)
    weights = jnp.stack([first, second, jnp.broadcast_to(tie, first.shape)], axis=-1)
    return weights / weights.sum(axis=-1, keepdims=True)


def published_sampler(data: Arrays, chains: int = CHAINS, draws: int = DRAWS) -> Run:
    """NUTS over the published model: `draws` of warm-up, then as many kept, chain after chain.

    What is returned takes data of this shape and a seed; it compiles once. All parameters lie in one
    flat vector, which costs a fifth of what a tree of sites does.
    """
    start, inverse = ravel_pytree(_zeros(data))
    unflatten: Callable[[Array], Any] = inverse

    def potential(position: Array, data: Arrays) -> Array:
        energy: Array = potential_energy(published_model, (data,), {}, unflatten(position))
        return energy

    begin, move = hmc(potential_fn_gen=lambda data: lambda position: potential(position, data))

    def chain(key: Array, data: Arrays) -> tuple[Array, Array]:
        def step(state: Any, _: None) -> tuple[Any, tuple[Array, Array]]:
            state = move(state, (data,), {})
            return state, (state.z, state.diverging)

        at, onward = random.split(key)
        position = random.uniform(at, start.shape, minval=-JITTER, maxval=JITTER)
        state = begin(position, draws, model_args=(data,), model_kwargs={}, rng_key=onward)
        state, _ = lax.scan(step, state, None, length=draws)
        kept: tuple[Array, Array] = lax.scan(step, state, None, length=draws)[1]
        return kept

    @jax.jit
    def run(keys: Array, data: Arrays) -> tuple[dict[str, Array], Array]:
        positions, diverging = lax.map(lambda key: chain(key, data), keys)

        def sites(position: Array) -> dict[str, Array]:
            made: dict[str, Array] = constrain_fn(published_model, (data,), {}, unflatten(position))
            return made

        return jax.vmap(jax.vmap(sites))(positions), diverging.sum()

    def draw(data: Arrays, seed: int) -> tuple[Sites, int]:
        sites, diverged = run(random.split(random.PRNGKey(seed), chains), data)
        return {name: np.asarray(value, np.float64) for name, value in sites.items()}, int(diverged)

    return draw


def _zeros(data: Arrays) -> dict[str, Array]:
    """Zero at every latent site; runs the model on shapes alone."""

    def latent(data: Arrays) -> dict[str, Array]:
        trace = handlers.trace(handlers.seed(published_model, random.PRNGKey(0))).get_trace(data)
        sites = {name: site for name, site in trace.items() if site["type"] == "sample"}
        return {name: site["value"] for name, site in sites.items() if not site["is_observed"]}

    return {name: jnp.zeros(value.shape) for name, value in jax.eval_shape(latent, data).items()}


def published_labels(x: Floats, first: Ints, second: Ints) -> NDArray[np.bool_]:
    """Labels as published: each chain votes by its means, the majority of the chains is the label.

    `x` is (chains, draws, items); `first` and `second` index the pairs. Shape (pairs,).
    """
    means = x.mean(axis=1)
    return np.asarray((means[:, first] > means[:, second]).mean(axis=0) > 0.5)


def published_vote_probabilities(obs: Observations, sites: Sites) -> Floats:
    """Posterior mean of P(first), P(second), P(tie) for the rows of `obs.votes`; (rows, 3)."""
    if obs.votes is None:
        raise ValueError("there are no votes to predict")
    x, slope, intercept, tie = (
        sites[name].reshape(-1, *sites[name].shape[2:])
        for name in ("x", "vote_slope", "vote_intercept", "tie")
    )
    weight = expit(slope[:, None] * x + intercept[:, None])
    shares = []
    for first, second in zip(obs.votes.first, obs.votes.second, strict=True):
        weights = np.stack([weight[:, first], weight[:, second], tie])
        shares.append((weights / weights.sum(axis=0)).mean(axis=1))
    return np.stack(shares)


def worst(sites: Sites) -> tuple[float, float]:
    """The largest R-hat and the smallest effective sample size over every element of every site."""
    draws = np.concatenate([value.reshape(*value.shape[:2], -1) for value in sites.values()], axis=2)
    r_hats, sizes = diagnostics.compute_r_hat_and_ess(draws)
    # Geyer's sum of a short chain that swings to and fro may be negative: more than enough draws.
    return float(r_hats.max()), float(np.where(sizes > 0, sizes, np.inf).min())
