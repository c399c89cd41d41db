"""Find the MAP of parameters whose likelihood is a sum over blocks: Adam, then L-BFGS from where it came to.

Adam alone stops short of the optimum on simulated learners, L-BFGS alone on ASSISTments' log.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

OnProgress = Callable[[str, int, int], None]
_FIRST, _SECOND = 0.8, 0.95  # how much of the earlier gradient and of its square Adam keeps


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
    size: float = 0.08,
    fixed: Sequence[str] = (),
    on_progress: OnProgress = lambda *_: None,
) -> tuple[dict[str, Any], list[float]]:
    """Minimise the sum of `loss(p, block)` over blocks plus `penalise(p)`; returns p and each step's value.

    Parameters named in `fixed` stay as they start. A step is one look at value and gradient: `steps` by
    Adam, of at most `size`, and four times as many by L-BFGS, fewer where nothing gets better. All in 64
    bits: in 32 the sum over many answers is too coarse for L-BFGS, which then stops early.
    """
    with jax.enable_x64(True):
        return _find_map(loss, penalise, start, blocks, steps, size, fixed, on_progress)


def _find_map(
    loss: Callable[..., Any],
    penalise: Callable[..., Any],
    start: dict[str, Any],
    blocks: Sequence[Any],
    steps: int,
    size: float,
    fixed: Sequence[str],
    on_progress: OnProgress,
) -> tuple[dict[str, Any], list[float]]:
    p = {name: jnp.asarray(value, jnp.float64) for name, value in start.items()}
    cast = [jax.tree.map(widen, block) for block in blocks]
    begun, restore = ravel_pytree(p)
    free, _ = ravel_pytree({name: jnp.full_like(value, name not in fixed) for name, value in p.items()})
    mask = np.asarray(free, float)
    values: list[float] = []
    best = begun, np.inf

    def look(x: Any) -> tuple[float, Any]:
        nonlocal best
        now = restore(jnp.asarray(x))
        total, gradient = _penalty(penalise, now)
        for block in cast:
            value, slope = _differentiate(loss, now, block)
            total, gradient = total + value, jax.tree.map(jnp.add, gradient, slope)
        flat, _ = ravel_pytree(gradient)
        values.append(float(total))
        if values[-1] < best[1]:
            best = jnp.asarray(x), values[-1]
        on_progress("learn", min(len(values), 5 * steps), 5 * steps)
        return values[-1], np.asarray(flat, float) * mask

    x = np.asarray(begun, float)
    first = second = np.zeros_like(x)
    for n in range(steps):
        _, gradient = look(x)
        first = _FIRST * first + (1 - _FIRST) * gradient
        second = _SECOND * second + (1 - _SECOND) * gradient**2
        scaled = first / (1 - _FIRST ** (n + 1)) / (np.sqrt(second / (1 - _SECOND ** (n + 1))) + 1e-6)
        x = x - (size * (1 - n / steps) + 0.002) * scaled
    minimize(
        look,
        np.asarray(best[0], float),
        jac=True,
        method="L-BFGS-B",
        options={"maxfun": 4 * steps, "maxiter": 4 * steps, "ftol": 1e-9, "maxcor": 20},
    )
    return {name: jax.device_get(value) for name, value in restore(best[0]).items()}, values


def widen(array: Any) -> Any:
    """Return the array in 64 bits, as floats or whole numbers."""
    return jnp.asarray(array, jnp.float64 if array.dtype.kind == "f" else jnp.int64)
