"""Sites that all parts of the model are made of: half-normal scales, groups, observed counts.

Every sampled site is a real number with tails as light as a normal's, so that the sampler sees one
length scale.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import ndtr, ndtri

SCORE = "score:"  # prefix of real numbers that other parameters are functions of
LOG_PROBS = "log_probs:"  # prefix of the recorded sites that only the checks look at


def sample_group(name: str, size: int, scale: float) -> Array:
    """Sample the effects (size,) of a group's members, non-centred: HalfNormal(scale) times normals."""
    tau = sample_half_normal(f"tau_{name}", scale)
    z = numpyro.sample(f"z_{name}", dist.Normal(0, 1).expand([size]).to_event(1))
    effects: Array = numpyro.deterministic(name, tau * z)
    return effects


def sample_half_normal(name: str, scale: float) -> Array:
    """Sample HalfNormal(scale), a scalar, as a function of a standard normal.

    On the log scale the tail towards 0 falls off only as exp(x), so chains would stay there for long if
    the data do not bound the spread from below.
    """
    x = numpyro.sample(f"{SCORE}{name}", dist.Normal(0, 1))
    value: Array = numpyro.deterministic(name, scale * half_normal(x))
    return value


@jax.custom_jvp
def _quantile(x: Array) -> Array:
    """The quantile of HalfNormal(1) at the standard normal's quantile x; x is any real number.

    Its derivative is given, because deriving it from ndtri's polynomials takes long to compile.
    """
    return -ndtri(ndtr(-x) / 2)


@_quantile.defjvp
def _slope(at: tuple[Array], along: tuple[Array]) -> tuple[Array, Array]:
    (x,), (direction,) = at, along
    value = _quantile(x)
    return value, direction * jnp.exp((value**2 - x**2) / 2) / 2


half_normal = jax.jit(_quantile)


def observe_counts(name: str, log_probs: Array, counts: Array) -> None:
    """Condition on counts; both are (rows, categories). Keeps log_probs for checks and the information."""
    numpyro.deterministic(f"{LOG_PROBS}{name}", log_probs)
    numpyro.factor(name, jnp.sum(log_probs * counts))
