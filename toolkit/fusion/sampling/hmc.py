"""Hamiltonian Monte Carlo over the model, chains side by side in lock-step.

All parameters lie in one vector: globals first (a dense mass matrix), then members of groups (a
diagonal one). Every draw of every chain takes the same number of leapfrog steps, jittered from draw
to draw, so that chains advance together without waiting for each other; NUTS, which doubles until
the slowest of the chains turns, takes half as many gradients again and three times as long to compile.
The chains share one step size and one mass matrix: four learn it faster than one.

Neal, Handbook of Markov Chain Monte Carlo (2011) ch. 5; Hoffman, Radul and Sountsov, AISTATS 2021.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from numpy.typing import NDArray
from numpyro import handlers

from ....schemas.support.files import find_user_cache
from ..likelihoods.likelihood import Arrays
from ..likelihoods.priors import LOG_PROBS, SCORE
from ..model import evaluate_joint, run_model

Shapes = dict[str, tuple[int, ...]]

INITIAL_RADIUS = 0.5  # chains start uniformly within it, in unconstrained space
TRAJECTORY = 2.6  # mean length: nearly half a turn of a unit normal, so that draws repel each other
JITTER = 0.7  # lengths lie within this share of the mean, so that no direction turns in step with them
ONE_THREAD = 20_000  # rows below which XLA gets one thread
FIRST = 1e-3  # step size of the first trajectory
MAX_STEPS = 128  # leapfrog steps of one draw
TOGETHER = 0.95  # share of the correlations of globals that the mass matrix takes over
DIVERGENT = 1000.0  # energy error of a trajectory that has left the posterior


class MassMatrix(NamedTuple):
    """Mass matrix, as a square root of the estimated posterior covariance; arrays of jax or numpy."""

    globals: Any  # (globals, globals), lower triangular
    members: Any  # (members,), standard deviations


class StepAdaptation(NamedTuple):
    """Dual averaging of the log step size (Hoffman and Gelman, JMLR 15 (2014) 1593-1623)."""

    log_size: Any
    log_mean: Any  # used once adaptation ends
    error: Any
    n: Any  # draws so far
    anchor: Any


class State(NamedTuple):
    """Chains between two draws; numpy's arrays at the start."""

    position: Any  # (chains, size), unconstrained
    potential: Any  # (chains,)
    gradient: Any  # (chains, size)
    steps: StepAdaptation


class Block(NamedTuple):
    """Results of a block of draws, each (draws, chains, ...); arrays of jax, or of numpy once kept."""

    position: Any
    divergent: Any
    energy: Any
    leapfrogs: Any


@dataclass(frozen=True)
class Sampler:
    """Compiled functions of one model structure; `data` is an argument, so shapes alone compile."""

    packing: Shapes  # sites in the order of the vector, globals first
    globals: int  # how many of the vector's first entries are global parameters
    size: int
    advance: Callable[..., tuple[State, Block]]  # state, mass matrix, seed, block, accept, adapt, data
    constrain: Callable[[Any, Arrays], dict[str, Array]]  # (chains, draws, …) of every site
    predict: Callable[[Any, Arrays], dict[str, Array]]  # log-probabilities of the observed data


def make_sampler(data: Arrays, block: int) -> Sampler:
    """Compile the sampler for data of this structure; `advance` makes `block` draws of each chain."""
    leaves, structure = jax.tree.flatten(data)
    return _make_sampler(structure, tuple((x.shape, x.dtype) for x in leaves), block)


@lru_cache(maxsize=8)  # a second fit of the same structure traces and compiles nothing
def _make_sampler(structure: Any, leaves: tuple[tuple[tuple[int, ...], Any], ...], block: int) -> Sampler:
    data = make_abstract(structure, leaves)
    packing, n_globals = pack_sites(trace_shapes(data, latent=True))
    gradient = jax.vmap(jax.value_and_grad(make_potential(packing)), in_axes=(0, None))

    def draw(
        state: State, metric: MassMatrix, key: Array, turn: Array, accept: Array, adapt: Array, data: Arrays
    ) -> tuple[State, Block]:
        """One draw of every chain; `turn` in (0, 1) places its length within the jitter."""
        size_used = jnp.exp(jnp.where(adapt, state.steps.log_size, state.steps.log_mean))
        # The first trajectory is always accepted, so it should be short.
        size_used = jnp.where(jnp.isinf(state.potential).any(), FIRST, size_used)
        length = TRAJECTORY * (1 - JITTER + 2 * JITTER * turn)
        leapfrogs = jnp.clip(jnp.ceil(length / size_used), 1, MAX_STEPS).astype(int)
        at_momentum, at_accept = random.split(key)
        momentum = random.normal(at_momentum, state.position.shape)
        energy = state.potential + compute_kinetic_energy(momentum)

        def leap(_: Array, at: tuple[Array, ...]) -> tuple[Array, ...]:
            position, momentum, _, slope, error = at
            momentum = momentum - size_used / 2 * compute_force(metric, slope, n_globals)
            position = position + size_used * compute_velocity(metric, momentum, n_globals)
            height, slope = gradient(position, data)
            momentum = momentum - size_used / 2 * compute_force(metric, slope, n_globals)
            rise = height + compute_kinetic_energy(momentum) - energy
            rise = jnp.where(jnp.isnan(rise), jnp.inf, rise)
            return position, momentum, height, slope, jnp.fmax(error, rise)

        before = (state.position, momentum, state.potential, state.gradient, jnp.zeros_like(energy))
        position, momentum, height, slope, error = lax.fori_loop(0, leapfrogs, leap, before)
        rise = height + compute_kinetic_energy(momentum) - energy
        chance = jnp.where(jnp.isnan(rise), 0.0, jnp.exp(jnp.minimum(0.0, -rise)))
        taken = random.uniform(at_accept, chance.shape) < chance
        learned = adapt_steps(state.steps, accept - chance.mean())
        steps = jax.tree.map(lambda new, old: jnp.where(adapt, new, old), learned, state.steps)
        state = State(
            jnp.where(taken[:, None], position, state.position),
            jnp.where(taken, height, state.potential),
            jnp.where(taken[:, None], slope, state.gradient),
            steps,
        )
        return state, Block(
            state.position, error > DIVERGENT, energy, jnp.broadcast_to(leapfrogs, energy.shape)
        )

    def advance(
        state: State, metric: MassMatrix, seed: Array, turn: Array, accept: Array, adapt: Array, data: Arrays
    ) -> tuple[State, Block]:
        key = random.fold_in(random.PRNGKey(seed), turn)

        def one(state: State, at: tuple[Array, Array]) -> tuple[State, Block]:
            return draw(state, metric, at[0], at[1], accept, adapt, data)

        turns = jnp.asarray(_spread(block), dtype=jnp.float32)
        shift = random.uniform(random.fold_in(key, block))
        return lax.scan(one, state, (random.split(key, block), (turns + shift) % 1))

    def sites(position: Array, data: Arrays, predicted: bool) -> dict[str, Array]:
        def one(position: Array) -> dict[str, Array]:
            made = evaluate_joint(unpack(position, packing), data)[1]
            # Values that are not returned are not computed: log-probabilities would fill the memory.
            kept = {k: v for k, v in made.items() if not k.startswith(SCORE)}
            return {k: v for k, v in kept.items() if k.startswith(LOG_PROBS) == predicted}

        return jax.vmap(jax.vmap(one))(position)

    return Sampler(
        packing=packing,
        globals=n_globals,
        size=count_entries(packing),
        advance=jax.jit(advance),
        constrain=jax.jit(lambda position, data: sites(position, data, predicted=False)),
        predict=jax.jit(lambda position, data: sites(position, data, predicted=True)),
    )


def make_potential(packing: Shapes) -> Callable[[Array, Arrays], Array]:
    """Make the potential energy as a function of a vector (size,) and the arrays."""

    def potential(position: Array, data: Arrays) -> Array:
        density: Array = evaluate_joint(unpack(position, packing), data)[0]
        return -density

    return potential


def start_chains(position: NDArray[Any], step: float = 0.1) -> State:
    """Start chains at `position` (chains, size), with this step size.

    The energy there is unknown, so the first trajectory is accepted wherever it ends; evaluating it first
    would compile the gradient a second time.
    """
    unknown = np.full(len(position), np.inf, dtype=np.float32)
    return State(
        position.astype(np.float32), unknown, np.zeros(position.shape, np.float32), start_adaptation(step)
    )


def make_abstract(structure: Any, leaves: Sequence[Any]) -> Arrays:
    """Make abstract arrays (shape and dtype only) for tracing."""
    shapes: list[Any] = [jax.eval_shape(lambda leaf=leaf: jnp.zeros(*leaf)) for leaf in leaves]
    data: Arrays = jax.tree.unflatten(structure, shapes)
    return data


def compute_kinetic_energy(momentum: Array) -> Array:
    """Compute the kinetic energy (chains,) for unit masses; the mass matrix scales the positions instead."""
    return jnp.square(momentum).sum(axis=-1) / 2


def compute_velocity(metric: MassMatrix, momentum: Array, n: int) -> Array:
    """Compute the velocity M^{1/2} p, shape (chains, size); M is the covariance, n the number of globals."""
    return jnp.concatenate([momentum[:, :n] @ metric.globals.T, momentum[:, n:] * metric.members], axis=1)


def compute_force(metric: MassMatrix, gradient: Array, n: int) -> Array:
    """Compute the force on momenta, M^{T/2} times the gradient, shape (chains, size)."""
    return jnp.concatenate([gradient[:, :n] @ metric.globals, gradient[:, n:] * metric.members], axis=1)


def start_adaptation(size: float) -> StepAdaptation:
    """Start the adaptation of the step size at `size`."""
    log_size, zero = np.float32(math.log(size)), np.float32(0)
    return StepAdaptation(log_size, log_size, zero, zero, np.float32(log_size + math.log(10)))


def adapt_steps(steps: StepAdaptation, error: Array) -> StepAdaptation:
    """Take one step of dual averaging; `error`, a scalar, is the target minus the acceptance rate."""
    n = steps.n + 1
    weight = 1 / (n + 10)
    mean_error = (1 - weight) * steps.error + weight * error
    log_size = steps.anchor - jnp.sqrt(n) / 0.05 * mean_error
    decay = n**-0.75
    return StepAdaptation(
        log_size, decay * log_size + (1 - decay) * steps.log_mean, mean_error, n, steps.anchor
    )


def make_unit_mass_matrix(sampler: Sampler) -> MassMatrix:
    """Make the first mass matrix: priors have about unit scale."""
    n = sampler.globals
    return MassMatrix(np.eye(n, dtype=np.float32), np.ones(sampler.size - n, dtype=np.float32))


def learn_mass_matrix(draws: NDArray[np.float32], n: int, early: bool = False) -> MassMatrix:
    """Learn the mass matrix from pooled draws (…, size), shrunk towards the unit matrix.

    `early` draws are too correlated to show the correlations of globals: their covariance would be too
    narrow in some directions, and steps too short.
    """
    flat = draws.reshape(-1, draws.shape[-1]).astype(np.float64)
    count = len(flat)
    keep = count / (count + 5.0)
    covariance = np.atleast_2d(np.cov(flat[:, :n], rowvar=False))
    scale = np.sqrt(keep * np.diag(covariance) + (1 - keep) * 0.1)
    together = (0.0 if early else TOGETHER) * covariance / np.outer(scale, scale)
    np.fill_diagonal(together, 1.0)
    root = scale[:, None] * np.linalg.cholesky(together)
    variance = keep * flat[:, n:].var(axis=0) + (1 - keep)
    return MassMatrix(root.astype(np.float32), np.sqrt(variance).astype(np.float32))


def _spread(n: int) -> NDArray[np.float64]:
    """Spread `n` numbers evenly over (0, 1) in a scattered order (van der Corput)."""
    bits = max(1, math.ceil(math.log2(n)))
    turned = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits)]
    kept = np.array([t for t in turned if t < n])
    return (kept + 0.5) / n


def trace_shapes(data: Arrays, latent: bool = False) -> Shapes:
    """Trace the shape of every site that is not observed, or of the latent ones alone; in a fixed order.

    Runs the model on shapes alone.
    """
    shapes: Shapes = {}

    def collect(data: Arrays) -> int:
        trace = handlers.trace(handlers.seed(run_model, random.PRNGKey(0))).get_trace(data)
        for name, site in sorted(trace.items()):
            kinds = ("sample",) if latent else ("sample", "deterministic")
            if site["type"] in kinds and not site.get("is_observed"):
                shapes[name] = tuple(site["value"].shape)
        return 0

    jax.eval_shape(collect, data)
    return shapes


def pack_sites(shapes: Shapes) -> tuple[Shapes, int]:
    """Order the sites as in the vector, globals first; also counts the entries of globals."""
    in_order = sorted(shapes, key=lambda name: (_is_member(name), name))
    n_globals = sum(math.prod(shapes[name]) for name in in_order if not _is_member(name))
    return {name: shapes[name] for name in in_order}, n_globals


def list_entries(packing: Shapes, shapes: Shapes) -> list[tuple[int, str, int]]:
    """List the entries of the vector that are not padding: (column, site, place in the site)."""
    found: list[tuple[int, str, int]] = []
    at = 0
    for name, shape in packing.items():
        found += [(at + i, name, i) for i in range(math.prod(shapes[name]))]
        at += math.prod(shape)
    return found


def count_entries(packing: Shapes) -> int:
    """Count the entries of the vector."""
    return sum(math.prod(shape) for shape in packing.values())


def _is_member(name: str) -> bool:
    """True for sites with one value per completion, prompt or person; there can be thousands."""
    return name in ("own", "w") or name.startswith("z_")


def unpack(position: Array, packing: Shapes) -> dict[str, Array]:
    """Split the vector (size,) into sites by name."""
    values = {}
    at = 0
    for name, shape in packing.items():
        size = math.prod(shape)
        values[name] = jnp.reshape(position[at : at + size], shape)
        at += size
    return values


def prepare_jax(rows: int) -> None:
    """Keep compiled programs in the user's cache, so that the second fit starts sooner.

    A second thread halves no time on fewer rows than `ONE_THREAD`, and doubles the CPU time; XLA
    reads how many to start from NPROC, once.
    """
    if rows < ONE_THREAD:
        os.environ.setdefault("NPROC", "1")
    update: Callable[[str, Any], None] = jax.config.update
    update("jax_compilation_cache_dir", str(find_user_cache() / "jax"))
    update("jax_persistent_cache_min_compile_time_secs", 0.5)
