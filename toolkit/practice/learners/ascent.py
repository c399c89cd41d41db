"""Find the MAP of parameters whose likelihood is a sum over blocks: Adam with a falling step."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

OnProgress = Callable[[str, int, int], None]
_FIRST, _SECOND = 0.8, 0.95  # how much of the earlier gradient and of its square is kept


@partial(jax.jit, static_argnums=0)
def _differentiate(loss: Callable[..., Any], p: Any, block: Any) -> Any:
    return jax.value_and_grad(loss)(p, block)


@partial(jax.jit, static_argnums=0)
def _penalty(penalise: Callable[..., Any], p: Any) -> Any:
    return jax.value_and_grad(penalise)(p)


@jax.jit
def _move(p: Any, first: Any, second: Any, gradient: Any, free: Any, n: Any, size: Any) -> Any:
    first = jax.tree.map(lambda a, g: _FIRST * a + (1 - _FIRST) * g, first, gradient)
    second = jax.tree.map(lambda a, g: _SECOND * a + (1 - _SECOND) * g * g, second, gradient)
    stepped = jax.tree.map(
        lambda x, a, b, k: x - k * size * (a / (1 - _FIRST**n)) / (jnp.sqrt(b / (1 - _SECOND**n)) + 1e-6),
        p,
        first,
        second,
        free,
    )
    return stepped, first, second


def find_map(
    loss: Callable[..., Any],
    penalise: Callable[..., Any],
    start: dict[str, Any],
    blocks: Sequence[Any],
    steps: int = 45,
    size: float = 0.08,
    fixed: Sequence[str] = (),
    on_progress: OnProgress = lambda *_: None,
) -> tuple[dict[str, Any], list[float]]:
    """Minimise the sum of `loss(p, block)` over blocks plus `penalise(p)`; returns p and each step's value.

    Parameters named in `fixed` stay as they start. Everything is in 32 bits: the MAP is not needed to more
    digits.
    """
    p = {name: jnp.asarray(value, jnp.float32) for name, value in start.items()}
    cast = [jax.tree.map(_shorten, block) for block in blocks]
    free = {name: jnp.float32(name not in fixed) for name in p}
    first = second = jax.tree.map(jnp.zeros_like, p)
    values = []
    for n in range(steps):
        total, gradient = _penalty(penalise, p)
        for block in cast:
            value, slope = _differentiate(loss, p, block)
            total, gradient = total + value, jax.tree.map(jnp.add, gradient, slope)
        values.append(float(total))
        p, first, second = _move(p, first, second, gradient, free, n + 1.0, size * (1 - n / steps) + 0.002)
        on_progress("learn", n + 1, steps)
    return {name: jax.device_get(value) for name, value in p.items()}, values


def _shorten(array: Any) -> Any:
    return jnp.asarray(array, jnp.float32 if array.dtype.kind == "f" else jnp.int32)
