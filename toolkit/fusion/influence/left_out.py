"""Leave signals out of a fit by weighting its draws, one prompt at a time.

Given the parameters that prompts share, prompts are independent: what the pairs of a prompt would say
without a person's signals follows from weights by that person's signals about this prompt. Signals about
the other prompts act through the shared parameters alone, so of their weights only what a regression on these
parameters explains, H, enters. Weights by all signals at once would rest on few draws: on the packaged sample
their k is 0.9 to 1.2, and at most 0.8 one prompt at a time.

    log weight of a draw = -L_q + sum over other prompts r of H (exp(-L_r) / mean - 1)

L_q is the log-likelihood of the signals about prompt q.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..findings.posterior import compute_target, draw_qualities
from ..likelihoods.likelihood import NOBODY, Arrays, Counts, Ints
from ..likelihoods.priors import LOG_PROBS
from ..likelihoods.registry import LIKELIHOODS
from ..observations import Observations
from ..sampling.diagnostics import Diagnostics
from ..sampling.fit import BLOCK, Posterior, cut_padding, prepare
from ..sampling.hmc import Sampler, Shapes, make_sampler
from ..text.length import draw_length_part
from ..text.read import Texts
from .smoothing import smooth

Floats = NDArray[np.float64]
LogProbs = Mapping[str, NDArray[np.float32]]  # (draws, rows, categories) by part of the signals
CLEAR = 2  # standard errors by which what the regression explains must stand out from noise
MANY = 0.05  # members of a group, as a share of the draws, from which they are left out of the regression
_GROUPS = {"author_expressed": "authors", "author_observed": "authors"} | {
    name: members
    for likelihood in LIKELIHOODS.values()
    for name, members in likelihood.groups.items()
    if members == "annotators"
}
SHIFTED = 0.6  # shift from which a new fit is needed: at 0.8 (half of all votes) p was off by 0.05
_BATCHES = 40  # of draws that follow each other
_AT_ONCE = 20_000_000  # log-probabilities that are computed at once
_HELD = 100_000_000  # log-probabilities that are kept in memory for all units: 400 MB


@dataclass(frozen=True)
class Kept:
    """Draws that were kept of a fit, and the input that it was made from."""

    obs: Observations
    data: Arrays  # padded
    shapes: Shapes
    sampler: Sampler
    position: NDArray[np.float32]  # (draws, size)


@dataclass(frozen=True)
class Pairs:
    """Pairs of completions by their indices, and the prompt of each: (pairs,)."""

    a: Ints
    b: Ints
    prompt: Ints


@dataclass(frozen=True)
class Without:
    """The pairs' p with everything and without a unit, and Pareto's k of the weights: (pairs,) each."""

    before: Floats
    after: Floats
    k: Floats


def hold(obs: Observations, position: NDArray[np.float32] | None) -> Kept:
    """Hold the input of a fit and its draws (draws, size) together; no draws for None."""
    data, shapes = prepare(obs)
    sampler = make_sampler(data, BLOCK)
    return Kept(
        obs,
        data,
        shapes,
        sampler,
        np.zeros((0, sampler.size), dtype=np.float32) if position is None else position,
    )


def draw_target(kept: Kept, target: float, seed: int, texts: Texts | None = None) -> Floats:
    """Draw the target's quality of each completion: (draws, items)."""
    made = kept.sampler.constrain(kept.position[None], kept.data)
    posterior = Posterior(cut_padding(made, kept.shapes), {}, _NO_VERDICT)
    return combine_qualities(kept.obs, posterior, target, seed, texts)


def combine_qualities(
    obs: Observations, posterior: Posterior, target: float, seed: int, texts: Texts | None
) -> Floats:
    """Draw the target's quality from a posterior: (draws, items); without length where that is controlled."""
    length = draw_length_part(posterior, texts) if texts else 0.0
    return compute_target(*draw_qualities(obs, posterior, seed), target, length)


def compute_log_probs(kept: Kept) -> LogProbs | None:
    """Compute log-probabilities (draws, rows, categories) of every part; None if too many to hold."""
    sites = [part.site for part in kept.obs.parts]
    if len(kept.position) * sum(part.table.size for part in kept.obs.parts) > _HELD:
        return None
    found = [
        {site: values.astype(np.float32) for site, values in some.items()}
        for some in iterate_log_probs(kept, sites)
    ]
    return {site: np.concatenate([some[site] for some in found]) for site in sites}


def compute_likelihoods(
    kept: Kept, counts: Mapping[str, Counts], known: LogProbs | None = None
) -> dict[str, Floats]:
    """Compute log-likelihoods (draws, chosen rows) of counts (rows, categories), by part of the signals.

    Chosen are the rows with counts, in their order. `known` is what `compute_log_probs` computes.
    """
    parts = {part.site: part for part in kept.obs.parts}
    rows = choose_rows(counts)
    weighed = {site: parts[site].weigh(table)[rows[site]] for site, table in counts.items()}
    pieces: Iterable[Mapping[str, NDArray[Any]]] = (
        iterate_log_probs(kept, list(counts)) if known is None else [known]
    )
    summed = [
        {
            site: np.einsum("src,rc->sr", some[site][:, rows[site]], table, dtype=np.float64)
            for site, table in weighed.items()
        }
        for some in pieces
    ]
    return {site: np.concatenate([some[site] for some in summed]) for site in counts}


def choose_rows(counts: Mapping[str, Counts]) -> dict[str, Ints]:
    """Choose the rows (chosen,) of each part that have counts."""
    return {site: np.flatnonzero(table.any(axis=1)) for site, table in counts.items()}


def iterate_log_probs(kept: Kept, sites: Sequence[str]) -> Iterator[dict[str, Floats]]:
    """Yield log-probabilities (draws, rows, categories) of parts by site, some draws at a time."""
    names = {f"{LOG_PROBS}{site}": site for site in sites}
    n, size = len(kept.position), sum(part.table.size for part in kept.obs.parts)
    step = min(n, max(1, _AT_ONCE // max(size, 1)))
    for start in range(0, n, step):
        # Always as many, so that one program is compiled.
        at = np.minimum(np.arange(start, start + step), n - 1)
        made = kept.sampler.predict(kept.position[None, at], kept.data)
        cut = cut_padding({name: made[name] for name in names}, kept.shapes)
        yield {site: cut[name][0, : n - start] for name, site in names.items()}


def list_shared(kept: Kept, gone: Ints) -> Floats:
    """List the parameters that prompts share, as the sampler draws them: (draws, parameters).

    Single-valued ones, and those of authors and annotators, but for the annotators `gone` (indices), whose
    parameters nothing depends on any more. Where there are very many people, theirs are left out.
    """
    packing, position = kept.sampler.packing, kept.position
    shared = [position[:, : kept.sampler.globals]]
    at = 0
    for site, shape in packing.items():
        group = site.removeprefix("z_").partition(":")[0]
        if site.startswith("z_") and (kind := _GROUPS.get(group)):
            n = len(kept.obs.authors) if kind == "authors" else kept.obs.annotators.height
            stay = np.setdiff1d(np.arange(n), gone) if kind == "annotators" else np.arange(n)
            if len(stay) <= MANY * len(position):
                shared.append(position[:, at + stay])
        at += int(np.prod(shape))
    return np.concatenate(shared, axis=1).astype(np.float64)


def find_gone(obs: Observations, unit: Mapping[str, Counts]) -> Ints:
    """Find the annotators, indices (annotators,), of whom nothing is left without a unit."""
    left = np.zeros(obs.annotators.height)
    for part in obs.parts:
        who = part.annotators
        if who is not None:
            rest = part.table.sum(axis=1) - (unit[part.site].sum(axis=1) if part.site in unit else 0.0)
            np.add.at(left, who[who != NOBODY], rest[who != NOBODY])
    return np.flatnonzero(left <= 0)


def sum_by_prompt(
    kept: Kept, log_probs: Mapping[str, Floats], chosen: Mapping[str, Ints]
) -> tuple[Ints, Floats]:
    """Sum log-likelihoods (draws, chosen rows) of each part over prompts: prompts (n,), sums (draws, n)."""
    columns = [log_probs[site] for site in chosen]
    prompts = [_find_prompts(kept.obs, site)[rows] for site, rows in chosen.items()]
    together, prompt = np.concatenate(columns, axis=1), np.concatenate(prompts)
    order = np.argsort(prompt, kind="stable")
    names, first = np.unique(prompt[order], return_index=True)
    return names, np.add.reduceat(together[:, order], first, axis=1)


def _find_prompts(obs: Observations, site: str) -> Ints:
    (part,) = (part for part in obs.parts if part.site == site)
    found: Ints = obs.prompt[part.items[0]]
    return found


def weigh(shared: Floats, sums: Floats) -> tuple[Floats, Floats, float]:
    """Make log weights (prompts + 1, draws) without signals whose log-likelihoods by prompt are `sums`.

    The last row is for prompts that the signals are not about. `shared` is (draws, parameters), `sums` is
    (draws, prompts). Also returns Pareto's k (prompts + 1,), and the shift: the standard deviation of the log
    weights that act through the shared parameters, above SHIFTED too large for what a regression can tell.
    """
    centred = sums - sums.mean(axis=0)
    # Without a prompt's signals a draw of the shared parameters weighs E[exp(-L_q) | shared], not
    # exp(-E[L_q | shared]): what is regressed is exp(-L_q) over its mean, which differs from 1 as -L_q does.
    tilted = np.exp(-(sums - sums.min(axis=0)))
    tilted = 1 - tilted / tilted.mean(axis=0)
    whole = tilted.sum(axis=1)
    spread = shared.std(axis=0)
    shared = shared - shared.mean(axis=0)
    basis, scale, _ = np.linalg.svd(shared[:, spread > 0] / spread[spread > 0], full_matrices=False)
    basis = basis[:, scale > scale[0] * 1e-6]
    found = basis.T @ whole
    noise = _sum_batches(basis * (whole - basis @ found)[:, None])
    clear = np.clip(1 - CLEAR**2 * noise / np.maximum(np.square(found), 1e-300), 0, 1)
    explained = basis @ (clear[:, None] * (basis.T @ tilted))
    total = explained.sum(axis=1, keepdims=True)
    ratios = -np.concatenate([centred + total - explained, total], axis=1)
    return *smooth(ratios.T), float(total.std())


def _sum_batches(terms: Floats) -> Floats:
    """Estimate the variance of each column's sum: (draws, columns) -> (columns,).

    Draws that follow each other are alike, so batches of them are taken for independent, not draws.
    """
    starts = np.unique(np.linspace(0, len(terms), _BATCHES, endpoint=False).astype(int))
    return np.asarray(np.square(np.add.reduceat(terms, starts, axis=0)).sum(axis=0))


def weigh_pairs(pairs: Pairs, target: Floats, prompts: Ints, weights: Floats, k: Floats) -> Without:
    """Compute the pairs' p without a unit, from its log weights and k (`weigh`) about `prompts`.

    `target` is (draws, items). p is that of a normal distribution with the draws' mean and deviation, before
    and after, since a change of a share of 1,000 draws would be lost in its noise.
    """
    at = np.searchsorted(prompts, pairs.prompt)
    place = np.where(
        (at < len(prompts)) & (prompts[np.minimum(at, len(prompts) - 1)] == pairs.prompt), at, len(prompts)
    )
    difference = target[:, pairs.a] - target[:, pairs.b]
    weight = np.exp(weights[place]).T
    mean = (weight * difference).sum(axis=0)
    sd = np.sqrt((weight * np.square(difference - mean)).sum(axis=0))
    before = ndtr(difference.mean(axis=0) / difference.std(axis=0))
    return Without(before, ndtr(mean / sd), k[place])


_NO_VERDICT = Diagnostics(0.0, "", 0.0, "", 0, 0.0, 0.0, 0, 0, 0, 0.0)
