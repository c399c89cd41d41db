"""The prior of what is a completion's own, with a mean from its text.

    own = (sum over groups g of tau_g x_g . beta_g  +  z) / sqrt(1 + sum over g of tau_g^2)
    beta_g, z ~ N(0, I)     tau_g ~ HalfNormal(1)

The rows of x_g have mean squared length 1 (see `text`), so own has variance 1 with text as without, and
slopes keep their meaning. Where texts say nothing, tau goes to 0 and own is z again.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from .likelihood import Arrays
from .priors import sample_half_normal

TEXT = "text:"  # prefix of a group's features among the model's arrays
LENGTH = "length"  # group of length alone, where a fit controls it
SCALE = 1.0  # of the prior of each tau


def sample_own(data: Arrays) -> Array:
    """Sample own (items,): N(0, 1), or with the mean of the groups of features that `data` has.

    With groups, records text_mean (items,), text_share, the share of own's variance that text explains, and
    text_weight:GROUP (columns,), what a unit of each feature adds to own.
    """
    n = data["items"].shape[0]
    groups = {name.removeprefix(TEXT): data[name] for name in sorted(data) if name.startswith(TEXT)}
    if not groups:
        own: Array = numpyro.sample("own", dist.Normal(0, 1).expand([n]).to_event(1))
        return own
    z = numpyro.sample("z_own", dist.Normal(0, 1).expand([n]).to_event(1))
    weights, explained = {}, jnp.zeros(())
    for group, features in groups.items():
        tau = sample_half_normal(f"tau_text:{group}", SCALE)
        columns = features.shape[1]
        beta = numpyro.sample(f"text_beta:{group}", dist.Normal(0, 1).expand([columns]).to_event(1))
        weights[group], explained = tau * beta, explained + tau**2
    spread = jnp.sqrt(1 + explained)
    mean = jnp.zeros(n)
    for group, weight in weights.items():
        numpyro.deterministic(f"text_weight:{group}", weight / spread)
        mean = mean + groups[group] @ weight / spread
    numpyro.deterministic("text_mean", mean)
    numpyro.deterministic("text_share", explained / spread**2)
    with_text: Array = numpyro.deterministic("own", mean + z / spread)
    return with_text
