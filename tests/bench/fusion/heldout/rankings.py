"""Rankings: do intervals hold, whichever way people rank, and is p_vote what new annotators vote?

JFLEG's answers ranked anew with a known truth; and JFLEG's and MRBench's votes of annotators left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray

from preceptor.toolkit.fusion.findings.forecasts import (
    compute_new_votes,
    compute_p_panel,
    compute_p_vote,
    draw_newcomers,
)
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit

from ...inputs import SHARED
from ..keep import each
from ..part import Found, Line
from .folds import (
    FOLDS,
    JFLEG,
    QUICK_PROMPTS,
    VOTED,
    Case,
    Signals,
    derived_votes,
    jfleg_cases,
    read_source,
    resampled,
    some_prompts,
    split_annotators,
)
from .simulated_rankings import (
    TRUTHS,
    Ranking,
    compute_orders,
    group_rankings,
    list_sides,
    simulate_rankings,
)

Floats = NDArray[np.float64]

SETS, QUICK_SETS = 8, 1
BINS = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0])
SETTINGS = SamplerSettings(draws=500, max_draws=1500)


@dataclass(frozen=True)
class Seen:
    """What a fit of simulated rankings says beside the truth."""

    inside: float  # share of the pairs whose true e_a - e_b lies in its 90 % interval
    p: Floats  # of the surer side being better
    right: NDArray[np.bool_]  # whether it is
    converged: bool


@dataclass(frozen=True)
class Foretold:
    """Forecasts of the held-out votes of one fold."""

    p: Floats  # (rows,) P(the first is better)
    p_vote: Floats
    p_panel: Floats
    shares: Floats  # (rows, 3)
    nats: Floats  # -log P(the order) of each whole ranking held out
    converged: bool


def look(case: Case, rankings: list[Ranking], truth: str, whole: bool, seed: int) -> Seen:
    """Fit one simulated set; `whole`: every vote of a ranking counts one, as if it were alone."""
    made, e = simulate_rankings(case.obs, rankings, TRUTHS[truth], np.random.default_rng([seed, 7]))
    if whole:
        votes = made.votes
        made = replace(made, parts=(replace(votes, weight=None),)) if votes else made
    posterior = fit(made, replace(SETTINGS, seed=seed))
    rows = np.concatenate([r.rows for r in rankings if len(r.items) > 2])
    first, second = case.votes.first[rows], case.votes.second[rows]
    drawn = posterior.flatten("e")[:, first] - posterior.flatten("e")[:, second]
    true = e[first] - e[second]
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    p = (drawn > 0).mean(axis=0)
    return Seen(
        float(((low < true) & (true < high)).mean()),
        np.maximum(p, 1 - p),
        (p > 0.5) == (true > 0),
        posterior.diagnostics.converged,
    )


def foretell(case: Case, fold: int) -> Foretold:
    """Fit without a fold's votes and foretell them, as those of new annotators."""
    posterior = fit(case.training(fold), replace(SETTINGS, seed=fold))
    newcomers = draw_newcomers(posterior, fold)
    if newcomers is None:
        raise ValueError(f"{case.name}: no votes are left")
    rows = np.flatnonzero(case.held[fold].any(axis=1))
    e = posterior.flatten("e")[newcomers.taken]
    difference = e[:, case.votes.first[rows]] - e[:, case.votes.second[rows]]
    votes = compute_new_votes(newcomers, difference)
    orders = [] if case.ranking is None else list(_orders(case, rows, np.log(votes[:, 0])))
    return Foretold(
        (difference > 0).mean(axis=0),
        compute_p_vote(votes),
        compute_p_panel(votes),
        votes.mean(axis=(1, 2)).T,
        np.array(orders),
        posterior.diagnostics.converged,
    )


def _orders(case: Case, rows: NDArray[np.int64], log_probs: Floats) -> Iterable[float]:
    """-log P of each held-out ranking of three answers or more; `log_probs` is (3, draws, rows)."""
    assert case.ranking is not None
    v = case.votes
    for group in _groups(case.ranking[rows]):
        # Rows by first and second item, as `itertools.combinations` lists the pairs.
        numbers = group[np.lexsort([v.second[rows[group]], v.first[rows[group]]])]
        items = np.unique(np.concatenate([v.first[rows[numbers]], v.second[rows[numbers]]]))
        if len(items) < 3 or len(numbers) != len(items) * (len(items) - 1) // 2:
            continue
        said = v.counts[rows[numbers]].argmax(axis=1)
        chances = compute_orders(np.moveaxis(log_probs[:, :, numbers], 0, 2))
        (which,) = np.flatnonzero((list_sides(len(items)) == said).all(axis=1))
        yield float(-np.log(chances[which]))


def _groups(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def simulated_lines(case: Case, sets: int, keep: bool) -> Iterable[Line]:
    """Whether 90 % intervals of e_a - e_b hold, for both kinds of ranking."""
    rankings = group_rankings(case.votes, case.ranking if case.ranking is not None else np.zeros(0, int))
    for truth in TRUTHS:
        for whole, n in ((False, sets), (True, max(1, sets // 4))):
            find = partial(look, case, rankings, truth, whole)
            found = list(each(f"rankings {truth} {whole} {len(case.votes.first)}", range(n), find, keep))
            shares = np.array([seen.inside for seen in found])
            half = 1.645 * shares.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
            what = "every vote counts one" if whole else "a ranking is one judgement"
            p, right = (np.concatenate([getattr(seen, name) for seen in found]) for name in ("p", "right"))
            yield (
                f"ranked by {truth}, {what}: 90 % intervals of e_a − e_b, {n} sets",
                f"{shares.mean():.1%} ({shares.mean() - half:.1%}–{shares.mean() + half:.1%})",
                "" if whole else "88–92 %",
            )
            yield (
                f"ranked by {truth}, {what}: P(better) said and is",
                write_curve(p, right.astype(float), np.ones(len(p))),
                "",
            )


def forecast_lines(case: Case, keep: bool) -> Iterable[Line]:
    """How what p, p_vote and p_panel say of held-out votes agrees with what happens."""
    folds = range(len(case.held))
    found = list(each(f"foretell {case.name}", folds, lambda fold: foretell(case, fold), keep))
    rows = [np.flatnonzero(case.held[fold].any(axis=1)) for fold in folds]
    counts = np.concatenate([case.held[fold][rows[fold]] for fold in folds])
    prompt = case.obs.prompt[case.votes.first[np.concatenate(rows)]]
    decisive = counts[:, :2].sum(axis=1)
    for name, bar in (("p_vote", "0.05"), ("p", "")):
        p = np.concatenate([getattr(one, name) for one in found])
        sure, hit = np.maximum(p, 1 - p), np.where(p > 0.5, counts[:, 0], counts[:, 1])
        yield f"{case.name}: ECE of {name}", f"{compute_ece(sure, hit, decisive):.3f}", bar
        yield f"{case.name}: {name} said and happened", write_curve(sure, hit, decisive), ""
    shares = np.concatenate([one.shares for one in found])
    loss = -(counts * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
    total, n = (np.bincount(prompt, x).astype(np.float64) for x in (loss, counts.sum(axis=1)))
    yield f"{case.name}: log-loss a vote", "{:.3f} ({:.3f}–{:.3f})".format(*resampled(total, n)), ""
    nats = np.concatenate([one.nats for one in found])
    if len(nats):
        half = 1.645 * nats.std(ddof=1) / np.sqrt(len(nats))
        yield (
            f"{case.name}: nats of a whole ranking of five, {len(nats)}",
            f"{nats.mean():.2f} ({nats.mean() - half:.2f}–{nats.mean() + half:.2f})",
            "4.9 (uniform 6.29)",
        )
    yield f"{case.name}: converged", f"{sum(one.converged for one in found)} of {len(found)}", "all"


def compute_ece(sure: Floats, hit: Floats, n: Floats) -> float:
    """Compute the mean distance of what is said from what happens, over BINS and weighted by votes."""
    place = np.digitize(sure, BINS[1:-1])
    said, happened = np.bincount(place, sure * n, len(BINS)), np.bincount(place, hit, len(BINS))
    return float(np.abs(said - happened).sum() / n.sum())


def write_curve(sure: Floats, hit: Floats, n: Floats) -> str:
    """Write what is said and what happens in each of BINS, with the number of votes."""
    place = np.digitize(sure, BINS[1:-1])
    cells = []
    for i in range(len(BINS) - 1):
        mine = place == i
        if (votes := n[mine].sum()) >= 5:
            cells.append(f"{(sure * n)[mine].sum() / votes:.2f}→{hit[mine].sum() / votes:.2f} ({votes:.0f})")
    return ", ".join(cells)


def mrbench_case(signals: Signals) -> Case:
    """MRBench's four criteria that become votes, each of them an annotator."""
    voted = [
        derived_votes(signals | {"ratings": signals["ratings"].filter(pl.col("criterion") == name)}, seed=j)[
            "votes"
        ].with_columns(pl.lit(name).alias("annotator"))
        for j, name in enumerate(VOTED)
    ]
    people = pl.DataFrame({"annotator": list(VOTED), "pseudonym": list(VOTED)})
    obs = encode(
        signals | {"votes": pl.concat(voted), "ratings": signals["ratings"].clear(), "annotators": people}
    )
    return Case("MRBench, a criterion left out", obs, split_annotators(obs))


def rankings(quick: bool) -> Found:
    """Coverage under two kinds of ranking, and forecasts of annotators and rankings left out."""
    if not SHARED.is_dir():
        raise click.ClickException("needs the sources in ../shared/data")
    signals, tutors = read_source("votes", JFLEG), read_source("mrbench", SHARED / "mrbench")
    if quick:
        signals, tutors = some_prompts(signals, QUICK_PROMPTS), some_prompts(tutors, QUICK_PROMPTS)
    whole, left_out = jfleg_cases(signals, FOLDS)
    sets = QUICK_SETS if quick else SETS
    table = list(simulated_lines(whole, sets, not quick))
    for case in (left_out, whole, mrbench_case(tutors)):
        table += forecast_lines(case, not quick)
    n = len(group_rankings(whole.votes, whole.ranking if whole.ranking is not None else np.zeros(0, int)))
    return Found(
        title="rankings, and what new annotators vote",
        setting=(
            f"JFLEG: {whole.votes.counts.sum():.0f} votes of {n} rankings by {whole.obs.annotators.height} "
            f"annotators; ranked anew, seeds from 0, with its authors: by look (one logistic look at each "
            f"answer, near ones tie) and by luce (Davidson-Luce). Chains of {SETTINGS.draws} draws and more. "
            "p_vote of an annotator left out, or of whole rankings as if a new annotator gave them "
            f"({FOLDS} folds), over the votes that are no ties: mean said, share that happened, votes; ECE over "
            "these bins. 90 % intervals over sets, rankings, or prompts drawn again."
        ),
        columns=("rankings", "found", "bar"),
        lines=table,
    )
