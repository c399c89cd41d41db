"""How well a fit predicts votes that it has not seen, by leaving votes out of its draws.

    {"votes": 862, "left_out": 431, "refit": 0.0, "loss": 0.71, "uniform": 1.099, "decided": 640,
     "brier": 0.14, "ece": 0.03, "curve": [{"said": 0.53, "happened": 0.55, "n": 71}, …]}

What is left out at once is one vote of an unnamed annotator, and all votes of a named one about one prompt:
the votes of one ranking tell of each other. The weights are those of smoothing.py.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..likelihoods.likelihood import NOBODY, Ints
from ..likelihoods.votes import Votes
from ..observations import Observations
from ..sampling.fit import Posterior
from ..sampling.kept_draws import restore_draws
from .left_out import Kept, hold, iterate_log_probs
from .smoothing import TRUSTED, smooth

Floats = NDArray[np.float64]
BINS = 10  # of the probability of the likelier side, from a half to 1
_AT_ONCE = 20_000_000  # numbers (draws x rows) that are kept of each category
_LEAST = 200  # draws, however many rows there are
_UNITS = 2_000  # weighted together


def check_unseen_votes(obs: Observations, posterior: Posterior) -> dict[str, Any] | None:
    """Compare votes with what the fit says of each without it; None for fits without votes or kept draws.

    votes: how many, left_out: in how many parts; refit: share of these whose weights are not to be trusted
    (Pareto's k above TRUSTED); loss: minus the mean log-probability of what was chosen, in nats, and of
    equal chances (uniform); of the decided votes brier, ece and the curve, all of the likelier side.
    """
    v = obs.votes
    if v is None or posterior.kept is None or not v.rows:
        return None
    kept = _restore(obs, posterior, v.rows)
    if kept is None:
        return None
    log_probs = np.concatenate([some[v.site] for some in iterate_log_probs(kept, [v.site])]).astype(
        np.float32
    )  # (draws, rows, 3)
    row, category, unit = _list_votes(obs, v)
    probability, k = _predict(log_probs, v, row, category, unit)
    return _summarise(v.counts[row, category], category, probability, k)


def _restore(obs: Observations, posterior: Posterior, rows: int) -> Kept | None:
    kept = hold(obs, None)
    position = None if posterior.kept is None else restore_draws(posterior.kept, kept.sampler, kept.shapes)
    if position is None:
        return None
    draws = min(len(position), max(_LEAST, _AT_ONCE // rows))
    return replace(kept, position=position[np.linspace(0, len(position) - 1, draws).astype(int)])


def _list_votes(obs: Observations, v: Votes) -> tuple[Ints, Ints, Ints]:
    """List each row's categories that were chosen: row, category, and the unit that is left out with it."""
    row, category = (x.astype(np.int64) for x in np.nonzero(v.counts))
    named = v.annotator[row] != NOBODY
    prompt = obs.prompt[v.first[row]]
    alone = -1 - np.arange(len(row))  # by itself
    together = v.annotator[row] * (int(obs.prompt.max()) + 1) + prompt
    return row, category, np.unique(np.where(named, together, alone), return_inverse=True)[1]


def _predict(
    log_probs: NDArray[np.float32], v: Votes, row: Ints, category: Ints, unit: Ints
) -> tuple[Floats, Floats]:
    """Predict each vote without its unit: probabilities (votes, 3); Pareto's k (units,)."""
    order = np.argsort(unit, kind="stable")
    starts = np.append(np.searchsorted(unit[order], np.arange(int(unit.max()) + 2)), len(order))
    found, shapes = np.empty((len(row), 3)), np.empty(int(unit.max()) + 1)
    alone = v.annotator[row] == NOBODY
    counts = np.where(alone, np.minimum(v.counts[row, category], 1.0), v.counts[row, category])
    counts = counts if v.weight is None else counts * v.weight[row]
    for begin in range(0, len(shapes), _UNITS):
        end = min(begin + _UNITS, len(shapes))
        votes = order[starts[begin] : starts[end]]
        said = log_probs[:, row[votes], category[votes]].astype(np.float64) * counts[votes]
        sums = np.add.reduceat(said, starts[begin:end] - starts[begin], axis=1)
        weights, shapes[begin:end] = smooth(-sums.T)
        weight = np.exp(weights)[unit[votes] - begin]
        found[votes] = np.einsum("vs,svc->vc", weight, np.exp(log_probs[:, row[votes]]))
    return found, shapes


def _summarise(n: Floats, category: Ints, probability: Floats, k: Floats) -> dict[str, Any]:
    """Summarise predictions (votes, 3) of votes that were each given `n` times."""
    chosen = probability[np.arange(len(category)), category]
    decided = category < 2
    first = probability[decided, 0] / probability[decided, :2].sum(axis=1)
    surer = np.maximum(first, 1 - first)
    right = np.where(first == 0.5, 0.5, (first > 0.5) == (category[decided] == 0))
    m = n[decided]
    at = np.minimum(((surer - 0.5) * 2 * BINS).astype(int), BINS - 1)
    size, said, happened = (np.bincount(at, m * x, BINS) for x in (np.ones_like(surer), surer, right))
    full = size > 0
    gap = np.abs(said - happened)[full].sum() / max(m.sum(), 1)
    return {
        "votes": round(n.sum()),
        "left_out": len(k),
        "refit": round(float((k > TRUSTED).mean()), 4),
        "loss": round(float(-(n * np.log(chosen)).sum() / n.sum()), 4),
        "uniform": round(float(np.log(3)), 4),
        "decided": round(m.sum()),
        "brier": round(float((m * np.square(surer - right)).sum() / max(m.sum(), 1)), 4),
        "ece": round(float(gap), 4),
        "curve": [
            {"said": round(float(s / w), 4), "happened": round(float(h / w), 4), "n": round(w)}
            for s, h, w in zip(said[full], happened[full], size[full], strict=True)
        ],
    }
