"""Do logs in which learners chose their explanations mislead a fit, and what do drawn outcomes mend?

Simulated by mechanisms, not by the model: in the log a learner takes an explanation by how strong they are at
that moment (`pull`), which no row says; in the study explanations are drawn. In the adaptive study chances
follow what was seen so far, while the learners who come later are better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, softmax

from preceptor.toolkit.fusion.findings.posterior import draw_qualities
from preceptor.toolkit.fusion.likelihoods.assigned import DRAW
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit

from ..fusion.keep import each
from ..fusion.part import Found, Line

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Signals = dict[str, pl.DataFrame]

SETS, QUICK_SETS = 20, 1
PROMPTS, PER_PROMPT, VOTES = 20, 3, 200
LOG_LEARNERS, STUDY_LEARNERS, TRIES = 80, 30, 10
PUSHES = 4
RHO, SLOPE, LEVEL, HARD, ABILITY = 0.4, 1.0, 0.3, 0.7, 0.7
DRAWS = SamplerSettings(draws=250)
PEOPLE = {"annotator": pl.String, "pseudonym": pl.String}


@dataclass(frozen=True)
class Simulated:
    """Signals as `encode` takes them, and the observed quality of each completion (items,)."""

    signals: Signals
    o: Floats


@dataclass(frozen=True)
class Seen:
    """Of one fit, for every pair of a prompt: error, inside its 90 % interval, right; and the sure ones."""

    converged: bool
    error: Floats
    inside: NDArray[np.bool_]
    right: NDArray[np.bool_]
    sure: NDArray[np.bool_]


def simulate_log(seed: int, pull: float, drawn: bool = True) -> Simulated:
    """Simulate a log in which learners choose, with force `pull`, and if `drawn` a study beside it."""
    rng = np.random.default_rng([seed, 31])
    e, o, hard = _draw_truth(rng)
    side = rng.normal(size=len(o))  # > 0: taken by those who are strong at that moment
    rows = []
    for learner in range(LOG_LEARNERS):
        ability = rng.normal(0, ABILITY)
        prompts = rng.choice(PROMPTS, TRIES, replace=False)
        moment = rng.normal(size=TRIES)
        choice = softmax(pull * (ability + moment)[:, None] * side[_items(prompts)], axis=1)
        item = _items(prompts)[np.arange(TRIES), _choose(rng, choice)]
        rows.append(_try(rng, f"log-{learner}", item, o, ability + moment - hard[prompts], [None] * TRIES))
    for learner in range(STUDY_LEARNERS if drawn else 0):
        prompts = rng.choice(PROMPTS, TRIES, replace=False)
        item = _items(prompts)[np.arange(TRIES), rng.integers(PER_PROMPT, size=TRIES)]
        strength = rng.normal(0, ABILITY) + rng.normal(size=TRIES) - hard[prompts]
        rows.append(_try(rng, f"study-{learner}", item, o, strength, ["study uniform"] * TRIES))
    return Simulated(_make_signals(rng, e, pl.concat(rows)), o)


def simulate_adaptive(seed: int) -> Simulated:
    """Simulate a study alone: chances follow success so far, and each push finds stronger learners."""
    rng = np.random.default_rng([seed, 32])
    e, o, hard = _draw_truth(rng)
    won, lost = np.ones(len(o)), np.ones(len(o))
    rows = []
    for push in range(PUSHES):
        seen = rng.beta(won, lost, (200, len(o))).reshape(200, PROMPTS, PER_PROMPT)
        best = (seen == seen.max(axis=2, keepdims=True)).mean(axis=0)
        chances = np.maximum(best, 0.1 / PER_PROMPT) / np.maximum(best, 0.1 / PER_PROMPT).sum(
            1, keepdims=True
        )
        for learner in range(STUDY_LEARNERS):
            prompts = rng.choice(PROMPTS, TRIES, replace=False)
            item = _items(prompts)[np.arange(TRIES), _choose(rng, chances[prompts])]
            strength = rng.normal(push - (PUSHES - 1) / 2, ABILITY) - hard[prompts]
            draws: list[str | None] = [f"study {push}"] * TRIES
            made = _try(rng, f"{push}-{learner}", item, o, strength, draws)
            rows.append(made)
            np.add.at(won, item, made["value"].to_numpy())
            np.add.at(lost, item, 1 - made["value"].to_numpy())
    return Simulated(_make_signals(rng, e, pl.concat(rows)), o)


def _draw_truth(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Draw expressed and observed quality (items,), and how hard prompts are (prompts,)."""
    e, w = rng.normal(size=(2, PROMPTS * PER_PROMPT))
    return e, RHO * e + np.sqrt(1 - RHO**2) * w, rng.normal(0, HARD, PROMPTS)


def _items(prompts: Ints) -> Ints:
    """Completions of prompts: (n, PER_PROMPT)."""
    return prompts[:, None] * PER_PROMPT + np.arange(PER_PROMPT)


def _choose(rng: np.random.Generator, chances: Floats) -> Ints:
    return np.asarray((rng.random((len(chances), 1)) > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1))


def _try(
    rng: np.random.Generator, learner: str, item: Ints, o: Floats, strength: Floats, draws: list[str | None]
) -> pl.DataFrame:
    """Let a learner try completions, once each: rows of outcomes, measured as success."""
    value = rng.random(len(item)) < expit(LEVEL + SLOPE * o[item] + strength)
    return pl.DataFrame(
        {"completion": [f"{i:04d}" for i in item], "learner": [learner] * len(item),
         "measure": ["success"] * len(item), "value": value.astype(float), "censored": [False] * len(item),
         DRAW: pl.Series(draws, dtype=pl.String)},
    )  # fmt: skip


def _make_signals(rng: np.random.Generator, e: Floats, outcomes: pl.DataFrame) -> Signals:
    """Make the tables that `encode` takes, with votes of an unnamed crowd."""
    prompt = rng.integers(PROMPTS, size=VOTES)
    first = rng.integers(PER_PROMPT, size=VOTES)
    second = (first + rng.integers(1, PER_PROMPT, size=VOTES)) % PER_PROMPT
    a, b = prompt * PER_PROMPT + first, prompt * PER_PROMPT + second
    eta = 1.5 * (e[a] - e[b])
    choice = _choose(rng, softmax(np.stack([eta / 2, -eta / 2, np.full(VOTES, -1.0)], axis=1), axis=1))
    votes = pl.DataFrame(
        {"completion_a": [f"{i:04d}" for i in a], "completion_b": [f"{i:04d}" for i in b],
         "choice": np.array(["a", "b", "tie"])[choice], "annotator": pl.Series([None] * VOTES, dtype=pl.String),
         "shown_first": pl.Series([None] * VOTES, dtype=pl.String),
         "ranking": pl.Series([None] * VOTES, dtype=pl.String)},
    )  # fmt: skip
    items = range(len(e))
    completions = pl.DataFrame(
        {"completion": [f"{i:04d}" for i in items], "prompt": [f"{i // PER_PROMPT:04d}" for i in items]}
    )
    return {
        "completions": completions,
        "annotators": pl.DataFrame(schema=PEOPLE),
        "votes": votes,
        "outcomes": outcomes,
    }


def take_for_alike(signals: Signals) -> Signals:
    """Leave out what says which outcomes were drawn, as a fit without assignments has it."""
    return signals | {"outcomes": signals["outcomes"].drop(DRAW)}


def keep_drawn(signals: Signals) -> Signals:
    """Keep the drawn outcomes alone."""
    return signals | {"outcomes": signals["outcomes"].drop_nulls(DRAW)}


def leave(signals: Signals) -> Signals:
    """Take the signals as they are."""
    return signals


def look(seed: int, make: Callable[[int], Simulated], change: Callable[[Signals], Signals]) -> Seen:
    """Fit one data set and compare differences of observed quality within prompts with the truth."""
    made = make(seed)
    obs = encode(change(made.signals))
    posterior = fit(obs, DRAWS)
    _, o = draw_qualities(obs, posterior, seed)
    one, other = np.triu_indices(PER_PROMPT, 1)
    base = PER_PROMPT * np.arange(PROMPTS)[:, None]
    a, b = (base + one).ravel(), (base + other).ravel()
    difference, truth = o[:, a] - o[:, b], made.o[a] - made.o[b]
    low, high = np.quantile(difference, [0.05, 0.95], axis=0)
    p = (difference > 0).mean(axis=0)
    return Seen(
        posterior.diagnostics.converged,
        difference.mean(axis=0) - truth,
        (low <= truth) & (truth <= high),
        (p > 0.5) == (truth > 0),
        np.maximum(p, 1 - p) > 0.9,
    )


def study_assigned(quick: bool) -> Found:
    """Error and coverage of what helps, by what a fit knows of how explanations came to learners."""
    sets = QUICK_SETS if quick else SETS
    log = "log and study"
    chose, nobody = (partial(simulate_log, pull=pull) for pull in (1.5, 0.0))
    cases: list[tuple[str, Callable[[int], Simulated], str, Callable[[Signals], Signals]]] = [
        (f"{log}, learners chose", chose, "taken for alike", take_for_alike),
        (f"{log}, learners chose", chose, "bias term", leave),
        (f"{log}, learners chose", chose, "drawn outcomes alone", keep_drawn),
        (f"{log}, nobody chose", nobody, "taken for alike", take_for_alike),
        (f"{log}, nobody chose", nobody, "bias term", leave),
        ("adaptive, learners improve", simulate_adaptive, "taken for alike", take_for_alike),
        ("adaptive, learners improve", simulate_adaptive, "by push", leave),
    ]
    lines = [
        _line(name, words, list(each(f"assigned {sets} {name} {words}", range(sets), partial(look, make=make, change=change), not quick)))
        for name, make, words, change in cases
    ]  # fmt: skip
    return Found(
        "What helps, by how explanations came to learners",
        f"{sets} data sets a row, seeds 0 to {sets - 1}; {PROMPTS} prompts of {PER_PROMPT} completions, "
        f"{VOTES} votes. Log: {LOG_LEARNERS} learners, {TRIES} tries each; study: {STUDY_LEARNERS} learners, "
        f"{TRIES} draws each; adaptive: {PUSHES} pushes with {STUDY_LEARNERS} learners each, a log-odds of "
        "success better than those of the push before. Differences of observed quality between completions "
        "of a prompt (standard deviation of the truth 1.4); intervals of figures: 90 %, by data set.",
        ("data", "fit", "root mean square error", "90 % intervals hold", "pairs called right",
         "surer than 0.9, and right", "converged"),
        lines,
    )  # fmt: skip


def _line(name: str, words: str, seen: list[Seen]) -> Line:
    """Write the means over data sets, each with the interval of a bootstrap over them."""
    squares = np.array([np.square(one.error).mean() for one in seen])
    sure = np.array([[(one.sure & one.right).sum(), one.sure.sum()] for one in seen])
    return (
        name,
        words,
        _write(squares, lambda rows: float(np.sqrt(rows.mean()))),
        _write(np.array([one.inside.mean() for one in seen])),
        _write(np.array([one.right.mean() for one in seen])),
        f"{sure[:, 1].sum() / sum(len(one.sure) for one in seen):.2f}, "
        + _write(sure, lambda rows: float(rows[:, 0].sum() / max(rows[:, 1].sum(), 1))),
        f"{sum(one.converged for one in seen)} of {len(seen)}",
    )


def _write(rows: Floats, statistic: Callable[[Floats], float] = lambda rows: float(rows.mean())) -> str:
    rng = np.random.default_rng(0)
    again = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(1000)]
    low, high = np.quantile(again, [0.05, 0.95])
    return f"{statistic(rows):.3f} ({low:.3f} to {high:.3f})"
