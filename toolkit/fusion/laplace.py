"""The posterior as a normal distribution around its mode, for inputs too large to sample.

Members of groups (completions, prompts, annotators, learners) are found as the mode given the
globals, by Newton steps with the Fisher information. The globals (slopes, scales, cutpoints, rho) are
then moved to where their marginal density is highest: the gradient of the log marginal is the mean
over the members' posterior of the joint gradient (Fisher's identity), its curvature the Schur
complement of the joint information. Without that a joint mode would make every scale too large.

No matrix is ever formed. The information of counts y ~ Multinomial(n, p(x)) is J' diag(n p) J with J
the Jacobian of log p, so a product with it is one forward and one backward pass, and
J' (sqrt(n p) * normal noise) is noise with exactly that covariance: solving with it gives posterior
draws (Papandreou and Yuille, NeurIPS 2010). Both hold for whatever the model observes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from numpy.typing import NDArray
from numpyro.infer.util import constrain_fn, potential_energy

from .model import LOG_PROBS, Arrays, model, observed_counts
from .sampler import Shapes, hollow, pack, site_shapes, unpack

Floats = NDArray[np.float64]

NEWTON = 30  # steps towards the mode, at most
CONJUGATE = 200  # steps of one solve, at most
CLOSE = 1e-3  # a solve ends when what is left is this share of what was asked
STILL = 1e-2  # the mode is found when a Newton step promises less than this, in nats
ROUNDS = 25  # moves of the globals, at most
SETTLED = 0.05  # globals are found when they move by less than this many of their posterior sds
PROBES = 16  # draws from which each round learns (with their mirror images)
LONGEST = 1.0  # move of a global at once, on the unconstrained scale
LOOSEST = 0.5  # sd of a global at most: scales are a normal's exponentials, no looser than a factor e^1.6
SHORTEST = 0.01  # share of a Newton step


@dataclass(frozen=True)
class Normal:
    """Draws (draws, size) of the unconstrained vector, in mirror pairs around the mode."""

    draws: NDArray[np.float32]
    rounds: int  # moves of the globals
    moved: float  # the last move, in posterior standard deviations
    newton: int  # Newton steps in all
    settled: bool


class Answer(NamedTuple):
    """A solution for members, what it solves, and what `push` pulls the globals with."""

    members: Array
    asked: Array
    globals: Array


@dataclass(frozen=True)
class Programs:
    """Compiled functions of one model structure."""

    packing: Shapes
    globals: int  # how many of the vector's first entries are global parameters
    size: int
    height: Callable[[Array, Arrays], tuple[Array, Array]]  # potential and gradient at a position
    solve: Callable[..., Answer]
    prior: Callable[[Array, Arrays], Array]  # curvature of the globals' prior (globals, globals)


def approximate(
    data: Arrays, draws: int, seed: int, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Normal:
    """The normal approximation given the model's arrays; `draws` is rounded up to an even number."""
    programs = make_programs(data)
    n = programs.globals
    key = random.PRNGKey(seed)
    at = jnp.zeros(programs.size, dtype=jnp.float32)
    precision = jnp.ones(programs.size - n, dtype=jnp.float32)
    newton, moved, rounds = 0, float("inf"), 0
    for rounds in range(1, ROUNDS + 1):
        at, steps = _climb(programs, data, at, precision)
        newton += steps
        noise, precision = _noise(programs, data, at, precision, key, PROBES)  # the same noise: rounds settle
        pull = np.mean([programs.height(place, data)[1][:n] for place in _mirrored(at, noise)], axis=0)
        follow, curvature = _schur(programs, data, at, precision)
        step = -np.linalg.solve(curvature, pull)
        moved = float(np.sqrt(step @ curvature @ step / n))
        step = step * min(1.0, LONGEST / np.abs(step).max())
        at = at + jnp.asarray(np.concatenate([step, -step @ follow]), dtype=jnp.float32)
        on_progress(rounds, ROUNDS)
        if moved < SETTLED:
            break
    at, steps = _climb(programs, data, at, precision)
    noise, _ = _noise(programs, data, at, precision, random.fold_in(key, 0), -(-draws // 2))
    follow, curvature = _schur(programs, data, at, precision)
    root = np.linalg.inv(np.linalg.cholesky(curvature)).T
    of_globals = np.random.default_rng([seed, 3]).standard_normal((len(noise), n)) @ root.T
    around = np.concatenate([of_globals, noise - of_globals @ follow], axis=1)
    placed = np.stack([np.asarray(at) + around, np.asarray(at) - around], axis=1).reshape(-1, programs.size)
    return Normal(placed.astype(np.float32), rounds, moved, newton + steps, moved < SETTLED)


def make_programs(data: Arrays) -> Programs:
    """The functions for data of this structure."""
    leaves, structure = jax.tree.flatten(data)
    return _make_programs(structure, tuple((x.shape, x.dtype) for x in leaves))


@lru_cache(maxsize=8)
def _make_programs(structure: Any, leaves: tuple[tuple[tuple[int, ...], Any], ...]) -> Programs:
    shapes = site_shapes(hollow(structure, leaves), latent=True)
    packing, n = pack(shapes)
    size = sum(int(np.prod(shape)) for shape in packing.values())

    def potential(at: Array, data: Arrays) -> Array:
        energy: Array = potential_energy(model, (data,), {}, unpack(at, packing))
        return energy

    def log_probs(at: Array, data: Arrays) -> dict[str, Array]:
        made = constrain_fn(model, (data,), {}, unpack(at, packing), return_deterministic=True)
        return {k.removeprefix(LOG_PROBS): v for k, v in made.items() if k.startswith(LOG_PROBS)}

    def solve(at: Array, data: Arrays, asked: Array, push: Array, key: Array, noisy: Array,
              precision: Array) -> Answer:  # fmt: skip
        """Solve (1 + information) x = asked + information of `push` + noise, for members alone.

        `push` is a direction of the whole vector; noise of the posterior's precision where `noisy`.
        """
        values, forward = jax.linearize(lambda x: log_probs(x, data), at)
        backward = jax.linear_transpose(forward, at)
        counts = observed_counts(data)
        weight = {k: jnp.exp(v) * counts[k].sum(axis=1, keepdims=True) for k, v in values.items()}

        def informed(direction: Array) -> Array:
            seen = forward(direction)
            (pulled,) = backward({k: weight[k] * v for k, v in seen.items()})
            back: Array = pulled
            return back

        of_rows = {
            k: jnp.sqrt(w) * random.normal(random.fold_in(key, i), w.shape)
            for i, (k, w) in enumerate(sorted(weight.items()))
        }
        (shaken,) = backward(of_rows)
        shaken = shaken[n:] + random.normal(key, asked.shape)
        pushed = informed(push)
        target = asked + jnp.where(noisy, shaken, 0.0) + pushed[n:]
        return Answer(_conjugate_gradients(informed, target, precision, n), target, pushed[:n])

    def prior(at: Array, data: Arrays) -> Array:
        # Without members there is nothing that depends on rows: rows of no count weigh nothing.
        empty = jax.tree.map(lambda x: jnp.zeros_like(x[:1]) if x.ndim else x, data)
        few, _ = pack(site_shapes(empty, latent=True))
        rest = jnp.zeros(sum(int(np.prod(shape)) for shape in few.values()) - n)
        curved: Array = jax.hessian(lambda some: potential_energy(
            model, (empty,), {}, unpack(jnp.concatenate([some, rest]), few)))(at[:n])  # fmt: skip
        return curved

    return Programs(packing, n, size, jax.jit(jax.value_and_grad(potential)), jax.jit(solve), jax.jit(prior))


def _conjugate_gradients(
    informed: Callable[[Array], Array], target: Array, precision: Array, n: int
) -> Array:
    """Solve (1 + information) x = target, preconditioned by the diagonal."""

    def product(x: Array) -> Array:
        return x + informed(jnp.concatenate([jnp.zeros(n, dtype=x.dtype), x]))[n:]

    def unfinished(at: tuple[Array, ...]) -> Array:
        _, _, _, left, wanted, count = at
        return (left > CLOSE**2 * wanted) & (count < CONJUGATE)

    def step(at: tuple[Any, ...]) -> Any:
        x, residual, direction, left, wanted, count = at
        across = product(direction)
        far = left / (direction @ across)
        x, residual = x + far * direction, residual - far * across
        now = residual @ (residual / precision)
        return x, residual, residual / precision + now / left * direction, now, wanted, count + 1

    first = target / precision
    wanted = target @ first
    begin = (jnp.zeros_like(target), target, first, wanted, wanted, jnp.zeros((), dtype=int))
    answer: Array = lax.while_loop(unfinished, step, begin)[0]
    return answer


def _climb(programs: Programs, data: Arrays, at: Array, precision: Array) -> tuple[Array, int]:
    """The members' mode given the globals, and how many Newton steps led there."""
    n = programs.globals
    height, slope = programs.height(at, data)
    nowhere, key = jnp.zeros(programs.size, dtype=jnp.float32), random.PRNGKey(0)
    for count in range(NEWTON):
        direction = programs.solve(at, data, -slope[n:], nowhere, key, np.False_, precision).members
        promised = float(-(slope[n:] @ direction))
        if promised < STILL:
            return at, count
        far = 1.0
        while True:
            there = at.at[n:].add(far * direction)
            new_height, new_slope = programs.height(there, data)
            # Single precision tells heights apart to about a part in a million.
            if float(new_height - height) <= 1e-6 * abs(float(height)) or far < SHORTEST:
                break
            far /= 2
        at, height, slope = there, new_height, new_slope
    return at, NEWTON


def _noise(
    programs: Programs, data: Arrays, at: Array, precision: Array, key: Array, draws: int
) -> tuple[Floats, Array]:
    """Draws of the members around their mode (draws, members), and the diagonal of their precision."""
    nowhere = jnp.zeros(programs.size, dtype=jnp.float32)
    nothing = nowhere[programs.globals :]
    made = [
        programs.solve(at, data, nothing, nowhere, random.fold_in(key, i), np.True_, precision)
        for i in range(draws)
    ]
    diagonal = np.mean([np.square(each.asked) for each in made], axis=0)
    return np.array([each.members for each in made]), jnp.asarray(np.maximum(diagonal, 0.5))


def _mirrored(at: Array, noise: Floats) -> Iterator[Array]:
    """Positions on both sides of the mode, a draw of the members away."""
    n = at.shape[0] - noise.shape[1]
    for away in noise:
        yield at.at[n:].add(away)
        yield at.at[n:].add(-away)


def _schur(programs: Programs, data: Arrays, at: Array, precision: Array) -> tuple[Floats, Floats]:
    """How members' mode leans against the globals (globals, members); the globals' marginal precision."""
    n = programs.globals
    unit = jnp.eye(n, programs.size, dtype=jnp.float32)
    nothing, key = jnp.zeros(programs.size - n, dtype=jnp.float32), random.PRNGKey(0)
    made = [programs.solve(at, data, nothing, row, key, np.False_, precision) for row in unit]
    follow = np.array([each.members for each in made], dtype=float)
    crossed = np.array([each.asked for each in made], dtype=float)
    joint = np.array([each.globals for each in made], dtype=float)
    curvature = joint + programs.prior(at, data) - crossed @ follow.T
    curvature = (curvature + curvature.T) / 2
    values, vectors = np.linalg.eigh(curvature)
    return follow, (vectors * np.maximum(values, LOOSEST**-2)) @ vectors.T
