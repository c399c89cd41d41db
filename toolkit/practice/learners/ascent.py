"""Find the MAP of parameters whose likelihood is a sum over blocks: L-BFGS, with gradients by JAX."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

OnProgress = Callable[[str, int, int], None]


@partial(jax.jit, static_argnums=0)
def _differentiate(loss: Callable[..., Any], p: Any, block: Any) -> Any:
    return jax.value_and_grad(loss)(p, block)


@partial(jax.jit, static_argnums=0)
def _penalty(penalise: Callable[..., Any], p: Any) -> Any:
    return jax.value_and_grad(penalise)(p)


def find_map(
    loss: Callable[..., Any],
    penalise: Callable[..., Any],
    start: dict[str, Any],
    blocks: Sequence[Any],
    steps: int = 40,
    fixed: Sequence[str] = (),
    on_progress: OnProgress = lambda *_: None,
) -> tuple[dict[str, Any], list[float]]:
    """Minimise the sum of `loss(p, block)` over blocks plus `penalise(p)`; returns p and each step's value.

    Parameters named in `fixed` stay as they start. A step is one look at value and gradient; with `steps` of
    them, or where nothing gets better, the search ends. Gradients are in 32 bits: more digits are not needed.
    """
    p = {name: jnp.asarray(value, jnp.float32) for name, value in start.items()}
    cast = [jax.tree.map(_shorten, block) for block in blocks]
    begun, restore = ravel_pytree(p)
    free, _ = ravel_pytree({name: jnp.full_like(value, name not in fixed) for name, value in p.items()})
    mask = np.asarray(free, float)
    values: list[float] = []
    best = begun, np.inf

    def look(x: Any) -> tuple[float, Any]:
        nonlocal best
        now = restore(jnp.asarray(x, jnp.float32))
        total, gradient = _penalty(penalise, now)
        for block in cast:
            value, slope = _differentiate(loss, now, block)
            total, gradient = total + value, jax.tree.map(jnp.add, gradient, slope)
        flat, _ = ravel_pytree(gradient)
        values.append(float(total))
        if values[-1] < best[1]:
            best = jnp.asarray(x, jnp.float32), values[-1]
        on_progress("learn", min(len(values), steps), steps)
        return values[-1], np.asarray(flat, float) * mask

    minimize(
        look,
        np.asarray(begun, float),
        jac=True,
        method="L-BFGS-B",
        options={"maxfun": steps, "maxiter": steps, "ftol": 1e-7, "maxcor": 20},
    )
    return {name: jax.device_get(value) for name, value in restore(best[0]).items()}, values


def _shorten(array: Any) -> Any:
    return jnp.asarray(array, jnp.float32 if array.dtype.kind == "f" else jnp.int32)
