"""The posterior as a normal distribution, for inputs too large to sample.

The mean is where the gradient of the log posterior, averaged over the distribution itself, is zero:
the mean of the variational normal. A mode would not do. Reliability times quality is a product of
two uncertain numbers, so at a joint mode one grows as the other shrinks; and scales of groups would
be too large. The averaged gradient of a global is that of its log marginal (Fisher's identity). Each
round takes a Newton step with the Fisher information, globals by its Schur complement.

No matrix is ever formed. The information of counts y ~ Multinomial(n, p(x)) is J' diag(n p) J with J
the Jacobian of log p, so a product with it is one forward and one backward pass, and
J' (sqrt(n p) * normal noise) is noise with exactly that covariance: solving with it gives posterior
draws (Papandreou and Yuille, NeurIPS 2010). Both are valid for all signals of the model.
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

from ..likelihoods.likelihood import Arrays
from ..likelihoods.priors import LOG_PROBS, SCORE
from ..model import collect_counts, evaluate_joint
from .hmc import Shapes, count_entries, make_abstract, make_potential, pack_sites, trace_shapes, unpack

Floats = NDArray[np.float64]

CONJUGATE = 200  # steps of one solve, at most
CLOSE = 1e-2  # a solve ends when the residual is this share of the right-hand side
NEWTON = 4  # first steps towards the mode
ROUNDS = 25  # moves of the globals, at most
SETTLED = 0.1  # globals and members are found when they move by less than this many of their posterior sds
PROBES = 16  # draws from which each round learns (with their mirror images)
FEW_PROBES = 4  # of a quick look
DAMPED = 0.5  # share of a Newton step of members: qualities and reliabilities answer each other
LONGEST = 0.5  # move of a global at once, on the unconstrained scale
LOOSEST = 0.5  # maximum sd of a global: for a scale a factor e^1.6


@dataclass(frozen=True)
class Globals:
    """Mode of the globals' marginal density, and its precision."""

    at: Floats
    precision: Floats  # (globals, globals)
    rounds: int  # moves that led there
    settled: bool


@dataclass(frozen=True)
class Normal:
    """Draws (draws, size) of the unconstrained vector, in mirror pairs around the mean."""

    draws: NDArray[np.float32]
    globals: Globals


class Solution(NamedTuple):
    """A solution for members, its right-hand side, and the pull of `push` on the globals."""

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
    solve: Callable[..., Solution]
    prior: Callable[[Array, Arrays], Array]  # curvature of the globals' prior (globals, globals)


def approximate(
    data: Arrays,
    draws: int,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda *_: None,
    known: Globals | None = None,
    quick: bool = False,
    rounds: int = ROUNDS,
) -> Normal:
    """Find the normal approximation given the model's arrays; `draws` is rounded up to an even number.

    With globals `known` from a large part of the same data, only the members are found. `quick` leaves out
    correlations of members: each is drawn independently, at a fraction of the cost.
    """
    programs = make_programs(data)
    n = programs.globals
    key = random.PRNGKey(seed)
    at, precision, found, follow = _settle(
        programs, data, key, FEW_PROBES if quick else PROBES, rounds, known, on_progress
    )
    half = -(-draws // 2)
    rng = np.random.default_rng([seed, 3])
    if quick:
        noise = rng.standard_normal((half, programs.size - n)) / np.sqrt(np.asarray(precision))
    else:
        noise, _ = _noise(programs, data, at, precision, random.fold_in(key, 1), half)
    root = np.linalg.inv(np.linalg.cholesky(found.precision)).T
    of_globals = rng.standard_normal((half, n)) @ root.T
    around = np.concatenate([of_globals, noise - of_globals @ follow], axis=1).astype(np.float32)
    placed = np.stack([np.asarray(at) + around, np.asarray(at) - around], axis=1)
    return Normal(placed.reshape(-1, programs.size), found)


def _settle(
    programs: Programs,
    data: Arrays,
    key: Array,
    probes: int,
    most: int,
    known: Globals | None,
    on_progress: Callable[[int, int], None],
) -> tuple[Array, Array, Globals, Floats]:
    """Take Newton steps with averaged gradients until they are small.

    Returns the position (size,), the diagonal of members' precision, the globals, and how members move with
    the globals (globals, members).
    """
    n = programs.globals
    at = jnp.zeros(programs.size, dtype=jnp.float32)
    at = at.at[:n].set(known.at if known else _modest(programs))
    precision = jnp.ones(programs.size - n, dtype=jnp.float32)
    for _ in range(NEWTON):  # near the mode, from where the mean is not far
        slope = programs.height(at, data)[1]
        at = at.at[n:].add(_solve(programs, data, at, -slope[n:], precision))
    follow, curvature = np.zeros((n, programs.size - n)), np.eye(n)
    gain, before, moved = 0.5, np.zeros(n), float("inf")
    for rounds in range(1, most + 1):
        # The same noise in every round, or the rounds would not settle.
        noise, precision = _noise(programs, data, at, precision, key, probes)
        pull = np.mean([programs.height(place, data)[1] for place in _mirrored(at, noise)], axis=0)
        if not known:
            # At a draw: at the mean members are shrunk, and the globals would seem to matter less.
            follow, curvature = _schur(programs, data, next(_mirrored(at, noise)), precision)
        if moved < SETTLED:
            break
        inward = np.asarray(_solve(programs, data, at, -pull[n:], precision))
        step = np.zeros(n) if known else -np.linalg.solve(curvature, pull[:n] - follow @ pull[n:])
        moved = max(
            float(np.sqrt(step @ curvature @ step / n)),
            float(np.sqrt(np.mean(inward**2 * np.asarray(precision)))),
        )
        # A step that reverses the last one shows that it went too far.
        gain = max(gain / 2, 0.2) if step @ curvature @ before < 0 else min(1.0, 1.5 * gain)
        before = step * min(gain, LONGEST / max(np.abs(step).max(), 1e-9))
        at = at + jnp.asarray(np.concatenate([before, DAMPED * inward - before @ follow]), dtype=jnp.float32)
        on_progress(rounds, most)
    if not known:
        follow, curvature = _schur(programs, data, at, precision)
    found = known or Globals(np.asarray(at[:n], dtype=float), curvature, rounds, moved < SETTLED)
    return at, precision, found, follow


def make_programs(data: Arrays) -> Programs:
    """Compile the functions for data of this structure."""
    leaves, structure = jax.tree.flatten(data)
    return _make_programs(structure, tuple((x.shape, x.dtype) for x in leaves))


@lru_cache(maxsize=8)
def _make_programs(structure: Any, leaves: tuple[tuple[tuple[int, ...], Any], ...]) -> Programs:
    shapes = trace_shapes(make_abstract(structure, leaves), latent=True)
    packing, n = pack_sites(shapes)

    def log_probs(at: Array, data: Arrays) -> dict[str, Array]:
        made = evaluate_joint(unpack(at, packing), data)[1]
        return {k.removeprefix(LOG_PROBS): v for k, v in made.items() if k.startswith(LOG_PROBS)}

    def solve(
        at: Array, data: Arrays, asked: Array, push: Array, key: Array, noisy: Array, precision: Array
    ) -> Solution:
        """Solve (1 + information) x = asked + information of `push` + noise, for members alone.

        `push` is a direction of the whole vector; noise of the posterior's precision where `noisy`.
        """
        values, forward = jax.linearize(lambda x: log_probs(x, data), at)
        backward = jax.linear_transpose(forward, at)
        counts = collect_counts(data)
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
        return Solution(_conjugate_gradients(informed, target, precision, n), target, pushed[:n])

    def prior(at: Array, data: Arrays) -> Array:
        # Rows without counts have no weight: only the prior is left. Globals are independent there, so
        # the row sums of its curvature are its diagonal.
        empty = jax.tree.map(lambda x: jnp.zeros_like(x[:1]), data)
        few, _ = pack_sites(trace_shapes(empty, latent=True))
        rest, potential = jnp.zeros(count_entries(few) - n), make_potential(few)

        def height(some: Array) -> Array:
            return potential(jnp.concatenate([some, rest]), empty)

        return jnp.diag(jax.jvp(jax.grad(height), (at[:n],), (jnp.ones(n),))[1])

    height = jax.jit(jax.value_and_grad(make_potential(packing)))
    return Programs(packing, n, count_entries(packing), height, jax.jit(solve), jax.jit(prior))


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


def _modest(programs: Programs) -> Floats:
    """Choose the globals to begin at: the middle of their priors, with small group scales."""
    begin: list[float] = []
    for name, shape in programs.packing.items():
        if len(begin) < programs.globals:
            begin += [-1.0 if name.startswith(f"{SCORE}tau_") else 0.0] * int(np.prod(shape))
    return np.array(begin)


def _solve(programs: Programs, data: Arrays, at: Array, asked: Any, precision: Array) -> Array:
    """Solve (precision of members at `at`) x = `asked`."""
    nowhere = jnp.zeros(programs.size, dtype=jnp.float32)
    args = jnp.asarray(asked, dtype=jnp.float32), nowhere, random.PRNGKey(0), np.False_, precision
    return programs.solve(at, data, *args).members


def _noise(
    programs: Programs, data: Arrays, at: Array, precision: Array, key: Array, draws: int
) -> tuple[Floats, Array]:
    """Draw members around their mode (draws, members); also the diagonal of their precision."""
    nowhere = jnp.zeros(programs.size, dtype=jnp.float32)
    nothing = nowhere[programs.globals :]
    made = [
        programs.solve(at, data, nothing, nowhere, random.fold_in(key, i), np.True_, precision)
        for i in range(draws)
    ]
    diagonal = np.mean([np.square(each.asked) for each in made], axis=0)
    return np.array([each.members for each in made]), jnp.asarray(np.maximum(diagonal, 0.5))


def _mirrored(at: Array, noise: Floats) -> Iterator[Array]:
    """Yield positions on both sides of the mode, one draw of the members away."""
    n = at.shape[0] - noise.shape[1]
    for away in noise:
        yield at.at[n:].add(away)
        yield at.at[n:].add(-away)


def _schur(programs: Programs, data: Arrays, at: Array, precision: Array) -> tuple[Floats, Floats]:
    """Compute how members' mode moves with globals (globals, members); the globals' marginal precision."""
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
