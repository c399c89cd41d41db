"""The fusion model: two correlated qualities per completion, seen through signals.

    e = own + author                    expressed: what people prefer; own ~ N(0, 1), see `own`
    e + m                               what models that judge see in its place (likelihoods/tastes)
    o = rho own + sqrt(1 - rho^2) w + author'     observed: what helps; w ~ N(0, 1)

Expressed signals depend on e, observed ones on o; each type has its likelihood in `likelihoods`.

Every slope is positive, so that no quality changes its sign between chains. Plates of unnamed people
(aggregated sources) are left out. See docs/fusion.md for the priors and their reasons.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import expit
from numpyro.distributions.transforms import SigmoidTransform
from numpyro.infer.util import log_density

from ...schemas.tables import EXPRESSED, OBSERVED, SignalType
from .likelihoods.likelihood import NOBODY, Arrays
from .likelihoods.own import TEXT, sample_own
from .likelihoods.priors import SCORE, sample_group
from .likelihoods.registry import LIKELIHOODS
from .likelihoods.tastes import add_taste, make_taste_arrays, mark_models, mark_own
from .observations import Observations

AUTHOR_SCALE = 0.7  # of the prior: how far authors differ, in standard deviations within an author
LOGIT = SigmoidTransform().inv


def run_model(data: Arrays) -> None:
    """Run the generative model, as NumPyro does, on the arrays that `make_arrays` makes.

    Sampled sites are standard normals wherever a group has a scale (non-centred), so that the
    sampler sees one length scale. `w` exists only for items that some learner tried: without
    outcomes it is independent of the data, and `draw_qualities` adds it afterwards, exactly.
    """
    own = sample_own(data)
    e = numpyro.deterministic("e", own + _of_author("author_expressed", data))
    logit = numpyro.sample(f"{SCORE}rho", dist.TransformedDistribution(dist.Beta(2, 2), LOGIT))
    rho = numpyro.deterministic("rho", 2 * expit(logit) - 1)
    _explain(EXPRESSED, add_taste(data), e)
    if "tried" not in data:
        return
    tried = data["tried"]
    w = numpyro.sample("w", dist.Normal(0, 1).expand([tried.shape[0]]).to_event(1))
    by_author = jnp.broadcast_to(_of_author("author_observed", data), own.shape)
    o = rho * own[tried] + jnp.sqrt(1 - rho**2) * w + by_author[tried]
    _explain(OBSERVED, data, o)


def _explain(signals: Sequence[SignalType], data: Arrays, quality: Array) -> None:
    """Condition on the parts of these types of signals, given the quality that they depend on."""
    for signal in signals:
        for name in sorted(_parts(data, signal.name)):
            LIKELIHOODS[signal.name].observe(name, data, quality)


def _parts(data: Arrays, signal: str) -> list[str]:
    """Names of a signal's parts."""
    return [name for name in data if name.partition(":")[0] == signal]


@jax.jit
def evaluate_joint(values: dict[str, Array], data: Arrays) -> tuple[Array, dict[str, Array]]:
    """Compute the log density of latent values given the arrays, and the value of every site.

    Every latent site is real and unbounded, so this is the density that is sampled. Compiled
    separately, so that NumPyro's handlers run once for all its uses.
    """
    density, trace = log_density(run_model, (data,), {}, values)
    sites = {name: site["value"] for name, site in trace.items() if not site.get("is_observed")}
    return density, sites


def _of_author(name: str, data: Arrays) -> Array:
    """Effects of the completions' authors; 0 where authors are not known."""
    if "authors" not in data:
        return jnp.zeros(())
    author = data["author"]
    return jnp.where(
        author != NOBODY, sample_group(name, data["authors"].shape[0], AUTHOR_SCALE)[author], 0.0
    )


def collect_counts(data: Arrays) -> dict[str, Array]:
    """Collect what was observed: (rows, categories) by the names of the sites of log-probabilities."""
    return {
        part: likelihood.counts(data[part])
        for name, likelihood in LIKELIHOODS.items()
        for part in _parts(data, name)
    }


def make_arrays(obs: Observations) -> Arrays:
    """Make the model's only argument: arrays named as the model reads them.

    Sizes are passed as the shapes of empty arrays, so that the compiled program depends on shapes
    alone and a second fit of the same shape starts without compiling. Items of observed signals are
    numbered among the tried ones.
    """
    data: Arrays = {"items": np.zeros(len(obs.prompt))}
    data |= {f"{TEXT}{group}": features for group, features in obs.text.items()}
    if obs.annotators.height > 1:
        data["annotators"] = np.zeros(obs.annotators.height)
    data |= make_taste_arrays(obs.judged, len(obs.prompt))
    if obs.authors:
        data["authors"] = np.zeros(len(obs.authors))
        data["author"] = obs.author
    if len(obs.learners) > 1:
        data["learners"] = np.zeros(len(obs.learners))
    tried = obs.tried
    if len(tried):
        data["tried"] = tried
    observed = {signal.name for signal in OBSERVED}
    for part in obs.parts:
        likelihood = LIKELIHOODS[part.SIGNAL]
        arrays = likelihood.arrays(part) | mark_models(part, obs.models)
        arrays |= mark_own(part, obs.author, obs.wrote)
        if "prompts" in likelihood.groups.values():
            prompts, prompt = np.unique(obs.prompt[part.items[0]], return_inverse=True)
            arrays |= {"prompt": prompt, "n_prompts": np.zeros(len(prompts))}
        if part.SIGNAL in observed:
            arrays |= {name: np.searchsorted(tried, arrays[name]) for name in part.ITEMS}
        data[part.site] = arrays
    return data
