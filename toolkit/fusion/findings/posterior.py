"""Summarise a posterior: qualities of completions, preferences of pairs, findings."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from ....schemas.support.text import SURE
from ....schemas.tables import COUNTS, OBSERVED
from ..likelihoods.likelihood import NOBODY
from ..likelihoods.own import LENGTH
from ..model import AUTHOR_SCALE
from ..observations import Observations
from ..sampling.fit import Posterior
from .forecasts import compute_forecasts, draw_newcomers
from .information import compute_gain, compute_vote_shares

Draws = NDArray[np.float64]

AUTHORS_SAID = 50

_UNSURE = 2.0  # how many times as wide the spread of a quick approximation is taken
_PAIRS_AT_ONCE = 2000  # bounds memory: draws x pairs booleans
_OF_A_PAIR = (
    *("p", "sd", "p_expressed", "p_observed", "p_apart", "information_gain", "p_with_length", "p_text"),
)


def draw_qualities(obs: Observations, posterior: Posterior, seed: int) -> tuple[Draws, Draws]:
    """Draw expressed and observed quality, each (draws, items), in log-odds.

    Where no learner tried a completion, its observed quality is drawn from the prior given the expressed one.
    """
    own, rho = posterior.flatten("own"), posterior.flatten("rho")[:, None]
    w = np.random.default_rng([seed, 1]).standard_normal(own.shape)
    if "w" in posterior.sites:
        w[:, obs.tried] = posterior.flatten("w")
    o = rho * own + np.sqrt(1 - rho**2) * w
    if obs.authors:
        known = obs.author != NOBODY
        shared = posterior.flatten("author_observed") if "author_observed" in posterior.sites else None
        if shared is None:  # no learner tried anything: the prior's
            tau = np.abs(np.random.default_rng([seed, 5]).normal(0, AUTHOR_SCALE, (len(own), 1)))
            shared = tau * np.random.default_rng([seed, 6]).standard_normal((len(own), len(obs.authors)))
        o[:, known] += shared[:, obs.author[known]]
    return posterior.flatten("e"), o


def compute_target(e: Draws, o: Draws, target: float, length: Draws | float = 0.0) -> Draws:
    """Compute what better means: `target` is the weight of o against e without `length`; (draws, items)."""
    return np.asarray(target * o + (1 - target) * (e - length))


def summarise_completions(
    obs: Observations, e: Draws, o: Draws, target: float, length: Draws | float = 0.0
) -> pl.DataFrame:
    """Summarise each completion: mean, sd and 90 % interval of the target, means and sds of e and o.

    `e` and `o` are (draws, items), `length` is the part of e that length explains, if it is controlled; the
    target is target * o + (1 - target) * (e - length). `basis` says what the completion is known by.
    """
    t = compute_target(e, o, target, length)
    read = set(obs.text) - {LENGTH}
    low, high = np.quantile(t, [0.05, 0.95], axis=0)
    return obs.completions.select("completion", *COUNTS).with_columns(
        pl.Series("mean", t.mean(axis=0)),
        pl.Series("sd", t.std(axis=0)),
        pl.Series("low", low),
        pl.Series("high", high),
        pl.Series("expressed_mean", e.mean(axis=0)),
        pl.Series("expressed_sd", e.std(axis=0)),
        pl.Series("observed_mean", o.mean(axis=0)),
        pl.Series("observed_sd", o.std(axis=0)),
        pl.when(pl.sum_horizontal(COUNTS) > 0)
        .then(pl.lit("signals"))
        .otherwise(pl.lit("text" if read else "prior"))
        .alias("basis"),
    )


def summarise_pairs(
    obs: Observations,
    posterior: Posterior,
    e: Draws,
    o: Draws,
    target: float,
    seed: int = 0,
    length: Draws | float = 0.0,
) -> pl.DataFrame:
    """Compare each two completions of a prompt, the lower key first; one row per pair.

    `e` and `o` are (draws, items), `length` as in `summarise_completions`. The columns are those of the table
    `preferences` but the fit, and `p_apart`, the probability that the two qualities put different completions
    first, and `p_with_length`, what p would be if length were not controlled. Without votes p_vote and
    p_panel are null.
    """
    items = obs.completions.select("prompt", pl.col("completion").alias("c")).with_row_index("i")
    pairs = items.join(items, on="prompt", suffix="_b").filter(pl.col("c") < pl.col("c_b"))
    pairs = pairs.sort("prompt", "c", "c_b")
    a, b = pairs["i"].to_numpy(), pairs["i_b"].to_numpy()
    with_length, t = compute_target(e, o, target), compute_target(e, o, target, length)
    read, unread = set(obs.text) - {LENGTH}, np.full(len(a), np.nan)
    chance = compute_normal_chance if posterior.approximate else compute_share_above
    columns: dict[str, list[Draws]] = {name: [] for name in _OF_A_PAIR}
    for start in range(0, len(a), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        difference = t[:, a[part]] - t[:, b[part]]
        expressed = e[:, a[part]] - e[:, b[part]]
        observed = o[:, a[part]] - o[:, b[part]]
        for name, values in (
            ("p", chance(difference)),
            ("sd", difference.std(axis=0)),
            ("p_expressed", chance(expressed)),
            ("p_observed", chance(observed)),
            ("p_apart", ((expressed > 0) != (observed > 0)).mean(axis=0)),
            ("information_gain", compute_information_gain(posterior, expressed, difference > 0)),
            ("p_with_length", chance(with_length[:, a[part]] - with_length[:, b[part]])),
            ("p_text", compute_text_chance(posterior, a[part], b[part]) if read else unread[part]),
        ):
            columns[name].append(values)
    newcomers = draw_newcomers(posterior, seed)
    vote, panel = compute_forecasts(newcomers, e, a, b) if newcomers else (None, None)
    return (
        pairs.select("prompt", pl.col("c").alias("completion_a"), pl.col("c_b").alias("completion_b"))
        .with_columns(
            pl.Series(name, np.concatenate(parts) if parts else np.zeros(0), pl.Float64).fill_nan(None)
            for name, parts in columns.items()
        )
        .with_columns(
            pl.lit(None, pl.Float64).alias(name) if values is None else pl.Series(name, values, pl.Float64)
            for name, values in (("p_vote", vote), ("p_panel", panel))
        )
    )


def compute_text_chance(posterior: Posterior, a: NDArray[np.int64], b: NDArray[np.int64]) -> Draws:
    """Compute P(e of a > e of b) by their texts alone, as the fit reads them: (pairs,).

    `a` and `b` are (pairs,) indices. What each has beside its text is drawn from the prior.
    """
    mean, share = posterior.flatten("text_mean"), posterior.flatten("text_share")
    spread = np.sqrt(2 * (1 - share))[:, None]
    return np.asarray(ndtr((mean[:, a] - mean[:, b]) / spread).mean(axis=0))


def compute_share_above(differences: Draws) -> Draws:
    """Compute the share of draws above zero: (draws, pairs) -> (pairs,)."""
    share: Draws = (differences > 0).mean(axis=0)
    return share


def compute_normal_chance(differences: Draws) -> Draws:
    """Compute P(difference > 0) of a normal distribution from a few draws: (draws, pairs) -> (pairs,)."""
    sd = differences.std(axis=0)
    return np.asarray(ndtr(np.divide(differences.mean(axis=0), sd, out=np.zeros_like(sd), where=sd > 0)))


def count_apart(obs: Observations, pairs: pl.DataFrame) -> dict[str, int]:
    """Count pairs that learners tried on both sides.

    pairs: all of them; sides: expressed and observed p lie on different sides of a half; sure: the two
    point apart with a probability above SURE.
    """
    tried = obs.completions.filter(pl.sum_horizontal(signal.count for signal in OBSERVED) > 0)[
        "completion"
    ].implode()
    both = pairs.filter(pl.col("completion_a").is_in(tried), pl.col("completion_b").is_in(tried))
    sides = (both["p_expressed"] - 0.5) * (both["p_observed"] - 0.5) < 0
    return {"pairs": both.height, "sides": int(sides.sum()), "sure": int((both["p_apart"] > SURE).sum())}


def compute_information_gain(posterior: Posterior, difference: Draws, a_better: NDArray[np.bool_]) -> Draws:
    """Compute by how much one more vote of an average annotator should lower 2p(1 - p): (pairs,).

    `difference` of expressed quality and `a_better`, by the target, are (draws, pairs). Zero for fits
    without votes. See `information` for the measure.
    """
    if "vote_slope" not in posterior.sites:
        return np.zeros(difference.shape[1])
    vote = compute_vote_shares(posterior.flatten("vote_slope"), posterior.flatten("vote_tie"), difference)
    return compute_gain(vote, a_better)


def summarise_fit(obs: Observations, posterior: Posterior) -> dict[str, Any]:
    """Summarise rho, every other single-valued parameter, and annotators' reliability and tie habit.

    Means with 90 % intervals. p_ties_often and p_ties_seldom: an annotator's odds of a tie are at least
    twice, or at most half, the mean annotator's (log 2 on the scale of the model).
    """
    single = {
        name: summarise_draws(values.reshape(-1))
        for name, values in sorted(posterior.sites.items())
        if values.ndim == 2
    }
    found: dict[str, Any] = {"rho": single.pop("rho"), "parameters": single, "annotators": []}
    if obs.authors:
        found["authors"] = _authors(obs, posterior)
    if "annotator_reliability" in posterior.sites:
        reliability, habit = posterior.flatten("annotator_reliability"), posterior.flatten("tie_habit")
        voted = np.zeros(obs.annotators.height)
        if obs.votes is not None:
            named = obs.votes.annotator >= 0
            np.add.at(voted, obs.votes.annotator[named], obs.votes.counts[named].sum(axis=1))
        # The mean's habit is the typical one, whatever share of it the fit gives to `vote_tie`.
        if voted.any():
            habit = habit - habit[:, voted > 0].mean(axis=1, keepdims=True)
        found["annotators"] = [
            {
                "annotator": name,
                "votes": int(voted[j]),
                "reliability": summarise_draws(reliability[:, j]),
                "p_below_half": _doubt(posterior, 0.5 - reliability[:, j]),
                "tie_habit": summarise_draws(habit[:, j]),
                "p_ties_often": _doubt(posterior, habit[:, j] - np.log(2)),
                "p_ties_seldom": _doubt(posterior, -np.log(2) - habit[:, j]),
            }
            for j, name in enumerate(obs.annotators["pseudonym"])
            if voted[j]
        ]
    return found


def _doubt(posterior: Posterior, beyond: Draws) -> float:
    """Compute P(beyond > 0) from draws (draws,), rounded: a person is named by it.

    Of a normal approximation from its mean and sd. Where no chains stand beside it (`map`) each sd comes from
    a few probes and may be half of what it should be, so it is taken twice.
    """
    if not posterior.approximate:
        return round(float((beyond > 0).mean()), 4)
    alone = posterior.diagnostics.approximation and not posterior.diagnostics.approximation.completions
    sd = max(float(beyond.std()) * (_UNSURE if alone else 1.0), 1e-9)
    return round(float(ndtr(beyond.mean() / sd)), 4)


def _authors(obs: Observations, posterior: Posterior) -> list[dict[str, Any]]:
    """Summarise what an author's completions share, for the AUTHORS_SAID with most completions."""
    counts = np.bincount(obs.author[obs.author != NOBODY], minlength=len(obs.authors))
    return [
        {
            "author": obs.authors[i],
            "completions": int(counts[i]),
            "expressed": summarise_draws(posterior.flatten("author_expressed")[:, i]),
        }
        for i in np.argsort(-counts, kind="stable")[:AUTHORS_SAID]
    ]


def summarise_draws(draws: Draws) -> dict[str, float]:
    """Compute mean and 90 % interval of draws (draws,), rounded to four decimals."""
    low, high = np.quantile(draws, [0.05, 0.95])
    return {
        "mean": round(float(draws.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }
