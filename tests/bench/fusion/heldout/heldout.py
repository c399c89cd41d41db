"""Does a fit foretell votes that it has not seen? Cross-validation on three data sets, with peers.

Ours with every signal, ours with one signal left out, the published model, and models of votes alone.
Every difference is a paired one: the same held-out votes, prompts drawn again together.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import click
import jax
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from preceptor.toolkit.cli.options import open_stderr
from preceptor.toolkit.fusion.likelihoods.likelihood import NOBODY
from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations
from preceptor.toolkit.fusion.sampling import diagnostics
from preceptor.toolkit.fusion.sampling.fit import Posterior, SamplerSettings, fit

from ...__main__ import figure
from ...inputs import SHARED
from ..part import Found, Line
from ..published.smart_model import (
    DRAWS,
    published_arrays,
    published_sampler,
    published_vote_probabilities,
    worst,
)
from ..published.votes_only import bradley_terry, davidson, majority
from .folds import FOLDS, QUICK_FOLDS, VOTED, Case, Score, cases, resampled, score

Floats = NDArray[np.float64]

_ROWS_AT_ONCE = 100  # bounds memory: draws x rows x 3
QUICK_DRAWS = 100  # of the published model


@dataclass(frozen=True)
class Predicted:
    """P(first), P(second), P(tie) of every row of the votes, and whether the chains agreed."""

    p: Floats
    converged: bool | None = None  # None: nothing was drawn


Predict = Callable[[Observations], Predicted]


@dataclass(frozen=True)
class Entry:
    """A model's score on a data set."""

    model: str
    score: Score
    converged: str  # in how many of the folds
    cpu_s: float  # of all folds


def vote_probabilities(obs: Observations, posterior: Posterior) -> Floats:
    """Posterior mean of P(first), P(second), P(tie) for the rows of `obs.votes`; (rows, 3).

    A named annotator's own reliability and tie habit count; who is not named is an average annotator.
    """
    v = _votes(obs)
    blocks = (slice(at, at + _ROWS_AT_ONCE) for at in range(0, len(v.first), _ROWS_AT_ONCE))
    return np.concatenate([_of_rows(v, posterior, rows) for rows in blocks])


def _of_rows(v: Votes, posterior: Posterior, rows: slice) -> Floats:
    e, sites = posterior.flatten("e"), posterior.sites
    eta = posterior.flatten("vote_slope")[:, None] * (e[:, v.first[rows]] - e[:, v.second[rows]])
    tie = np.broadcast_to(posterior.flatten("vote_tie")[:, None], eta.shape)
    if "annotator_reliability" in sites:
        who, named = v.annotator[rows], v.annotator[rows] != NOBODY
        eta = eta * np.where(named, posterior.flatten("annotator_reliability")[:, who], 1.0)
        tie = tie + np.where(named, posterior.flatten("tie_habit")[:, who], 0.0)
    if "first_shown_bias" in sites:
        bias = posterior.flatten("first_shown_bias")[:, None]
        if "first_shown_habit" in sites:
            named = v.annotator[rows] != NOBODY
            bias = bias + np.where(named, posterior.flatten("first_shown_habit")[:, v.annotator[rows]], 0.0)
        eta = eta + v.shown_first[rows] * bias
    return np.asarray(softmax(np.stack([eta / 2, -eta / 2, tie], axis=2), axis=2).mean(axis=0))


def _votes(obs: Observations) -> Votes:
    if obs.votes is None:
        raise ValueError("there are no votes to predict")
    return obs.votes


def ours(obs: Observations) -> Predicted:
    """The fusion model on all of `obs`."""
    posterior = fit(obs, SamplerSettings(seed=0))
    return Predicted(vote_probabilities(obs, posterior), posterior.diagnostics.converged)


def published(obs: Observations, draws: int) -> Predict:
    """The published model, one sampler for all folds of these observations."""
    sampler = published_sampler(published_arrays(obs), draws=draws)

    def predict(obs: Observations) -> Predicted:
        sites, divergences = sampler(published_arrays(obs), 0)
        r_hat, ess = worst(sites)
        return Predicted(
            published_vote_probabilities(obs, sites),
            r_hat <= diagnostics.R_HAT_MAX and ess >= diagnostics.ESS_MIN and not divergences,
        )

    return predict


def of_votes(peer: Callable[[Votes, Floats], Floats]) -> Predict:
    """A peer that sees votes alone."""

    def predict(obs: Observations) -> Predicted:
        votes = _votes(obs)
        return Predicted(peer(votes, votes.counts))

    return predict


def _without(obs: Observations, *signals: str) -> Observations:
    return replace(obs, parts=tuple(part for part in obs.parts if part.SIGNAL not in signals))


def models(obs: Observations, quick: bool) -> dict[str, Predict]:
    """Every model that says something else about these signals; ours first."""
    found: dict[str, Predict] = {"ours": ours}
    if obs.ratings and obs.outcomes:
        found["ours without ratings"] = lambda obs: ours(_without(obs, "ratings"))
        found["ours without outcomes"] = lambda obs: ours(_without(obs, "outcomes"))
    if obs.ratings or obs.outcomes:
        found["ours, votes only"] = lambda obs: ours(_without(obs, "ratings", "outcomes"))
    if obs.authors:
        found["ours without authors"] = lambda obs: ours(replace(obs, authors=()))
    return found | {
        "published": published(obs, QUICK_DRAWS if quick else DRAWS),
        "Davidson": of_votes(davidson),
        "Bradley-Terry": of_votes(bradley_terry),
        "smoothed shares": of_votes(majority),
    }


def measure(case: Case, quick: bool) -> Iterator[Entry]:
    """Hold out one fold after another, for one model after another."""
    clear: Callable[[], None] = jax.clear_caches
    for name, predict in models(case.obs, quick).items():
        began = time.process_time()
        found = [predict(case.training(fold)) for fold in range(len(case.held))]
        cpu = time.process_time() - began
        drawn = [p.converged for p in found if p.converged is not None]
        converged = f"{sum(drawn)} of {len(drawn)}" if drawn else "—"
        entry = Entry(name, score(case, np.stack([p.p for p in found])), converged, cpu)
        clear()  # many compiled models in one process run out of memory
        loss = entry.score.loss.sum() / entry.score.votes.sum()
        open_stderr().print(f"{case.name}, {name}: {loss:.4f} a vote, {figure(cpu)} CPU s")
        yield entry


def lines(case: Case, entries: list[Entry]) -> Iterator[Line]:
    """A line per model; differences from the first, with 90 % intervals."""
    first = entries[0].score
    for entry in entries:
        s = entry.score
        difference = decisive = "—"
        if s is not first:
            difference = _signed(resampled(s.loss - first.loss, s.votes))
            decisive = _signed(resampled(s.decisive_loss - first.decisive_loss, s.decisive))
        yield (
            case.name,
            entry.model,
            f"{s.loss.sum() / s.votes.sum():.4f}",
            difference,
            f"{s.decisive_loss.sum() / s.decisive.sum():.4f}",
            decisive,
            f"{s.right.sum() / s.decisive.sum():.3f}",
            entry.converged,
            figure(entry.cpu_s / len(case.held)),
        )


def _signed(found: tuple[float, float, float]) -> str:
    mean, low, high = found
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def heldout(quick: bool) -> Found:
    """Hold out votes of three data sets, and whole pairs of SMART's."""
    if not SHARED.is_dir():
        raise click.ClickException("needs the sources in ../shared/data")
    table: list[Line] = []
    sizes = []
    for case in cases(quick):
        n = case.votes.counts.sum()
        sizes.append(f"{case.name} {n:.0f} votes on {case.obs.prompt.max() + 1} prompts")
        table += lines(case, list(measure(case, quick)))
    return Found(
        title="held-out votes: log-loss, lower is better",
        setting=(
            f"{QUICK_FOLDS if quick else FOLDS} folds; {'; '.join(sizes)}. MRBench has no votes: on each of "
            f"{', '.join(VOTED)} a prompt's replies are put into pairs at random, each into one at most, and "
            "the higher rated wins; the other four criteria stay ratings. Differences from ours with 90 % "
            "intervals, prompts resampled. Decisive: the votes that are no ties, predictions renormalised. "
            "Converged: folds with R-hat ≤ 1.01 and ESS ≥ 400 for every parameter and no divergences."
        ),
        columns=(
            "votes",
            "model",
            "log-loss",
            "minus ours",
            "decisive",
            "minus ours, decisive",
            "accuracy, decisive",
            "converged",
            "CPU s a fold",
        ),
        lines=table,
    )
