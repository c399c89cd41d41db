"""NUTS over the model with every parameter in two flat vectors, chains side by side.

NumPyro's NUTS works on any tree of arrays, but compiles and runs every step of its tree building
once per leaf: packing some forty sites into two vectors (global parameters with a dense mass
matrix, members of groups with a diagonal one) makes both several times cheaper.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro import handlers
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy

from .model import LOG_PROBS, Arrays, model

Shapes = dict[str, tuple[int, ...]]
Position = dict[str, Array]  # {"globals": vector, "members": vector}, unconstrained

INITIAL_RADIUS = 0.5  # chains start uniformly within it, in unconstrained space


@dataclass(frozen=True)
class Sampler:
    """Compiled functions of one model structure; `data` is an argument, so shapes alone compile."""

    start: Callable[[Array, Arrays], Any]  # keys (chains,), data -> state
    advance: Callable[[Any, Arrays], tuple[Any, Any]]  # state, data -> state, block of draws
    constrain: Callable[[Position, Arrays], dict[str, Array]]  # (chains, draws, …) of every site
    predict: Callable[[Position, Arrays], dict[str, Array]]  # log-probabilities of what was seen


def make_sampler(data: Arrays, warmup: int, block: int, target_accept: float) -> Sampler:
    """Prepare NUTS for data of this structure; `advance` makes `block` draws of each chain."""
    shapes = latent_shapes(data)
    packing = {
        "globals": {name: shape for name, shape in shapes.items() if not _is_member(name)},
        "members": {name: shape for name, shape in shapes.items() if _is_member(name)},
    }

    @jax.jit
    def potential(position: Position, data: Arrays) -> Array:
        energy: Array = potential_energy(model, (data,), {}, unpack(position, packing))
        return energy

    init_kernel, sample_kernel = hmc(potential_fn_gen=lambda data: lambda position: potential(position, data))

    def start_one(key: Array, data: Arrays) -> Any:
        at, onward = random.split(key)
        position = {
            part: random.uniform(k, (_size(sites),), minval=-INITIAL_RADIUS, maxval=INITIAL_RADIUS)
            for k, (part, sites) in zip(random.split(at), packing.items(), strict=True)
        }
        return init_kernel(
            position, warmup, dense_mass=[("globals",)], target_accept_prob=target_accept,
            model_args=(data,), model_kwargs={}, rng_key=onward,
        )  # fmt: skip

    def advance(state: Any, data: Arrays) -> tuple[Any, Any]:
        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = jax.vmap(sample_kernel, in_axes=(0, None, None))(state, (data,), {})
            return state, (state.z, state.diverging, state.energy, state.num_steps)

        return lax.scan(step, state, None, length=block)

    def sites(position: Position, data: Arrays, predicted: bool) -> dict[str, Array]:
        def one(position: Position) -> dict[str, Array]:
            values = unpack(position, packing)
            made: dict[str, Array] = constrain_fn(model, (data,), {}, values, return_deterministic=True)
            # What is not returned is not computed: log-probabilities would fill the memory.
            return {k: v for k, v in made.items() if k.startswith(LOG_PROBS) == predicted}

        return jax.vmap(jax.vmap(one))(position)

    return Sampler(
        start=jax.jit(jax.vmap(start_one, in_axes=(0, None))),
        advance=jax.jit(advance),
        constrain=jax.jit(lambda position, data: sites(position, data, predicted=False)),
        predict=jax.jit(lambda position, data: sites(position, data, predicted=True)),
    )


def latent_shapes(data: Arrays) -> Shapes:
    """Shape of every latent site, in a fixed order; runs the model on shapes alone."""
    shapes: Shapes = {}

    def collect(data: Arrays) -> int:
        trace = handlers.trace(handlers.seed(model, random.PRNGKey(0))).get_trace(data)
        for name, site in sorted(trace.items()):
            if site["type"] == "sample" and not site["is_observed"]:
                shapes[name] = tuple(site["value"].shape)
        return 0

    jax.eval_shape(collect, data)
    return shapes


def _is_member(name: str) -> bool:
    """Sites with one value per completion, prompt or person; there can be thousands."""
    return name in ("e", "w") or name.startswith("z_")


def _size(sites: Shapes) -> int:
    return sum(math.prod(shape) for shape in sites.values())


def unpack(position: Position, packing: dict[str, Shapes]) -> dict[str, Array]:
    """Sites by name from the two vectors."""
    values = {}
    for part, sites in packing.items():
        at = 0
        for name, shape in sites.items():
            size = math.prod(shape)
            values[name] = jnp.reshape(position[part][at : at + size], shape)
            at += size
    return values


def keep_compiled() -> None:
    """Keep compiled programs in the user's cache, so that the second fit starts sooner."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    update: Callable[[str, Any], None] = jax.config.update
    update("jax_compilation_cache_dir", str(home / "preceptor" / "jax"))
    update("jax_persistent_cache_min_compile_time_secs", 0.5)
