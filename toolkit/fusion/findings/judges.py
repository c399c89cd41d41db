"""Summarise what a panel of models was worth: independent votes, the shared taste, where it left people.

Of k judges who share their mistakes a pair gets the information of n_eff <= k independent ones. On the
scale of a vote, judge j reports s r_j (difference of e + m) with logistic noise: m is common to all, the
noise is each one's own. n_eff is the Fisher information of all k about the difference of e, divided by the
mean of that of one judge alone. For judges alike it is Kish's k / (1 + (k - 1) rho), with rho the correlation
of two judges' errors.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ....schemas.tables import OBSERVED
from ..likelihoods.tastes import SELF_PREFERENCE, TASTE, find_rows_of_models, mark_own
from ..likelihoods.votes import Votes
from ..observations import Observations
from ..sampling.fit import Posterior
from .posterior import Draws, summarise_draws

NOISE = np.pi**2 / 3  # variance of the logistic noise of one vote


def summarise_judges(obs: Observations, posterior: Posterior, pairs: pl.DataFrame) -> dict[str, Any] | None:
    """Summarise the models that judged; None where none did.

    `pairs` is of `summarise_pairs`. models: how many; taste: the spread of what they share beyond people, in
    standard deviations of quality; panels: by part the number of judges and what they are worth; people:
    signals of people and learners about the same completions; own, where models judged what they wrote: by
    how many standard deviations of quality they put it higher, and in how many judgements; apart: of the
    pairs that a majority of models and one of people decided, in how many they differ, and in how many of
    these the fit sides with people.
    """
    if not len(obs.judged):
        return None
    tau = posterior.flatten(f"tau_{TASTE}")
    panels = {}
    for part in obs.parts:
        rows = find_rows_of_models(part, obs.models)
        if part.annotators is not None and rows.any():
            judges = np.unique(part.annotators[rows])
            information = _weigh_judges(posterior, part.site, judges)
            shared = 2 * tau**2 if isinstance(part, Votes) else tau**2
            panels[part.site] = {
                "judges": len(judges),
                "judgements": int(part.table[rows].sum()),
                "n_eff": _summarise_skewed(compute_effective_judges(information, shared)),
            }
    own = {}
    if SELF_PREFERENCE in posterior.sites:
        liked = summarise_draws(posterior.flatten(SELF_PREFERENCE))
        own = {"own": {"preference": liked, "judgements": _count_own(obs)}}
    return own | {
        "models": int(obs.models.sum()),
        "completions": len(obs.judged),
        "taste": summarise_draws(tau),
        "panels": panels,
        "people": _count_people(obs),
        "apart": compare_majorities(obs, pairs),
    }


def compute_effective_judges(information: Draws, shared: Draws) -> Draws:
    """Compute how many independent judges a panel is worth: (draws,), from 1 to the number of judges.

    `information` (draws, judges) is each judge's about the difference of what models see, `shared` (draws,)
    the variance of what they share. A panel whose answers say nothing is worth as many as it has judges:
    nothing is shared.
    """
    information = np.maximum(information, 1e-12)
    together = information.sum(axis=1)
    alone = (information / (1 + shared[:, None] * information)).mean(axis=1)
    worth: Draws = together / (1 + shared * together) / alone
    return worth


def _summarise_skewed(draws: Draws) -> dict[str, float]:
    """Compute median and 90 % interval of draws (draws,), rounded to two decimals."""
    low, median, high = np.round(np.quantile(draws, [0.05, 0.5, 0.95]), 2)
    return {"median": float(median), "low": float(low), "high": float(high)}


def _weigh_judges(posterior: Posterior, site: str, judges: NDArray[Any]) -> Draws:
    """Compute each judge's information (draws, judges): the squared slope over the variance of the noise."""
    signal, _, scale = site.partition(":")
    name = "model_vote_slope" if signal == "votes" else f"model_rating_slope:{scale}"
    slope = posterior.flatten(name)[:, None]
    if signal == "votes" and "annotator_reliability" in posterior.sites:
        slope = slope * posterior.flatten("annotator_reliability")[:, judges]
    information: Draws = np.broadcast_to(slope**2 / NOISE, (len(slope), len(judges)))
    return information


def _count_own(obs: Observations) -> int:
    """Count judgements of models in which one side is their own."""
    n = 0.0
    for part in obs.parts:
        marks = mark_own(part, obs.author, obs.wrote)
        if marks:
            n += part.table[np.any([own > 0 for own in marks.values()], axis=0)].sum()
    return int(n)


def _count_people(obs: Observations) -> int:
    """Count the signals of people and of learners about completions that models judged."""
    judged = np.zeros(len(obs.prompt), dtype=bool)
    judged[obs.judged] = True
    observed = {signal.name for signal in OBSERVED}
    n = 0.0
    for part in obs.parts:
        rows = np.ones(part.rows, dtype=bool)
        if part.SIGNAL not in observed:
            rows = ~find_rows_of_models(part, obs.models)
        about = np.any([judged[index] for index in part.items], axis=0)
        n += part.table[rows & about].sum()
    return int(n)


def compare_majorities(obs: Observations, pairs: pl.DataFrame) -> dict[str, int]:
    """Count pairs that a majority of models and one of people decided, ties and equal numbers left out.

    pairs: all of them; differ: the two majorities are for different sides; with_people: of these, the fit's
    p_expressed is on the side of people.
    """
    votes = obs.votes
    if votes is None:
        return {"pairs": 0, "differ": 0, "with_people": 0}
    keys = obs.completions["completion"]
    rows = pl.DataFrame(
        {
            "first": keys.gather(votes.first),
            "second": keys.gather(votes.second),
            "lead": votes.counts[:, 0] - votes.counts[:, 1],
            "by_model": find_rows_of_models(votes, obs.models),
        }
    )
    lead = rows.group_by("first", "second").agg(
        pl.col("lead").filter("by_model").sum().alias("models"),
        pl.col("lead").filter(~pl.col("by_model")).sum().alias("people"),
    )
    both = lead.filter(pl.col("models") != 0, pl.col("people") != 0)
    differ = both.filter((pl.col("models") > 0) != (pl.col("people") > 0))
    said = differ.join(
        pairs, left_on=["first", "second"], right_on=["completion_a", "completion_b"], how="inner"
    )
    followed = ((pl.col("p_expressed") > 0.5) == (pl.col("people") > 0)).sum()
    return {"pairs": both.height, "differ": differ.height, "with_people": int(said.select(followed).item())}
