"""Are judges worth what they are worth? Panels of models that share a taste, beside people.

Simulated: judges see e + m, where m is common to all of them, and vote with noise of their own, so that nine are
worth two independent ones. Peers see the same votes: the majority of judges, Dawid and Skene's model (1979; by
expectation and maximisation, of two classes), and the mean of the panel (a Bradley-Terry score a
completion). Copies of one judge must move nothing. The packaged sample with five judges is the issue's table.
"""

import csv
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import preceptor.toolkit.cli.demo as demo
from preceptor.toolkit.fusion.findings.judges import summarise_judges
from preceptor.toolkit.fusion.findings.posterior import draw_qualities, summarise_pairs
from preceptor.toolkit.fusion.inputs.copies import drop_copies
from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations, encode
from preceptor.toolkit.fusion.sampling.fit import Posterior, SamplerSettings, fit

from ..calibration import covered
from ..keep import each
from ..part import Found, Line

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SETS = 60
BESIDE = 24  # of these also without judges, and with judges taken for people
JUDGES, WORTH = 9, 2.0
PROMPTS, PER_PROMPT, PEOPLE, VOTES_EACH = 12, 3, 8, 30
SLOPE, SHARP, TIE = 1.5, 2.0, -1.5
NOISE = np.pi**2 / 3
DRAWS = SamplerSettings(draws=500)
LONG = SamplerSettings(draws=4000, max_draws=4000)


@dataclass(frozen=True)
class Panel:
    """Simulated votes and what is behind them; the first PEOPLE annotators are people."""

    obs: Observations
    e: Floats
    first: Ints  # of every pair
    second: Ints


def simulate_panel(seed: int, judges: int = JUDGES, worth: float = WORTH) -> Panel:
    """Simulate people's votes on some pairs, and each judge's vote on every pair."""
    rng = np.random.default_rng([seed, 20])
    n = PROMPTS * PER_PROMPT
    e = rng.normal(size=n)
    one, other = np.triu_indices(PER_PROMPT, 1)
    base = PER_PROMPT * np.arange(PROMPTS)[:, None]
    first, second = (base + one).ravel(), (base + other).ravel()
    rho = (judges / worth - 1) / (judges - 1) if judges > 1 else 0.5
    tau = np.sqrt(rho / (1 - rho) * NOISE / 2) / SHARP
    seen = e + tau * rng.normal(size=n)
    parts = []
    for j in range(PEOPLE):
        pick = rng.integers(len(first), size=VOTES_EACH)
        reliability = 1 + 0.3 * rng.normal()
        eta = SLOPE * reliability * (e[first[pick]] - e[second[pick]])
        parts.append((first[pick], second[pick], np.full(VOTES_EACH, j), _vote(rng, eta)))
    for j in range(judges):
        eta = SHARP * (seen[first] - seen[second])
        parts.append((first, second, np.full(len(first), PEOPLE + j), _vote(rng, eta)))
    rows = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Panel(_observe(rows, n, judges), e, first, second)


def _vote(rng: np.random.Generator, eta: Floats) -> Ints:
    scores = np.stack([eta / 2, -eta / 2, np.full(len(eta), TIE)], axis=1)
    return np.asarray((scores + rng.gumbel(size=scores.shape)).argmax(axis=1))


def _observe(rows: list[Any], n: int, judges: int) -> Observations:
    first, second, who, choice = rows
    names = [f"j{i:03d}" for i in range(PEOPLE + judges)]
    annotators = pl.DataFrame(
        {"annotator": names, "pseudonym": names, "kind": ["crowd"] * PEOPLE + ["model"] * judges}
    )
    prompt = np.repeat(np.arange(n // PER_PROMPT), PER_PROMPT)
    voted = np.bincount(np.concatenate([first, second]), minlength=n)
    completions = pl.DataFrame(
        {
            "completion": [f"{i:08d}" for i in range(n)],
            "prompt": [f"{p:08d}" for p in prompt],
            "n_votes": voted.astype(np.int64),
        }
    ).with_columns(n_ratings=pl.lit(0), n_outcomes=pl.lit(0))
    votes = Votes(first, second, who, np.zeros(len(first)), np.eye(3)[choice])
    return Observations(completions, prompt, annotators, [], (votes,))


def find_votes(obs: Observations) -> Votes:
    """Find the votes, which all of these data have."""
    if obs.votes is None:
        raise ValueError("no votes: simulate some")
    return obs.votes


def keep_annotators(obs: Observations, n: int) -> Observations:
    """Keep the first `n` annotators and their votes."""
    votes = find_votes(obs)
    mine = votes.annotator < n
    arrays = {k: getattr(votes, k)[mine] for k in ("first", "second", "annotator", "shown_first", "counts")}
    return replace(obs, annotators=obs.annotators.head(n), parts=(replace(votes, **arrays),))


def call_alike(obs: Observations) -> Observations:
    """Take models for people: the model without a shared taste."""
    return replace(obs, annotators=obs.annotators.with_columns(kind=pl.lit("crowd")))


def find_set(seed: int) -> dict[str, Any]:
    """Fit one data set with judges, and below seed BESIDE without and with judges taken for people; and the peers."""
    panel = simulate_panel(seed)
    better = panel.e[panel.first] > panel.e[panel.second]
    found: dict[str, Any] = {"better": better}
    settings = replace(DRAWS, seed=seed)
    beside = {
        "people alone": keep_annotators(panel.obs, PEOPLE),
        "judges alike": call_alike(panel.obs),
    }
    for name, obs in ((beside if seed < BESIDE else {}) | {"shared taste": panel.obs}).items():
        posterior = fit(obs, settings)
        e = posterior.flatten("e")
        found[name] = (covered(e, panel.e), (e[:, panel.first] > e[:, panel.second]).mean(axis=0))
        if name == "shared taste":
            pairs = summarise_pairs(obs, posterior, *draw_qualities(obs, posterior, seed), 0.0)
            found["judges"] = summarise_judges(obs, posterior, pairs)
            found["converged"] = posterior.diagnostics.converged
    return found | compute_peers(panel)


def compute_peers(panel: Panel) -> dict[str, Floats]:
    """Compute P(first is better) of every pair by peers that see the judges' votes alone."""
    votes = find_votes(panel.obs)
    mine = votes.annotator >= PEOPLE
    said = (votes.counts[mine, 0] - votes.counts[mine, 1]).reshape(JUDGES, -1)  # +1, -1 or 0 a pair
    share = (said + 1) / 2
    mean = share.mean(axis=0)
    score = np.zeros(len(panel.e))
    np.add.at(score, panel.first, mean - 0.5)
    np.add.at(score, panel.second, 0.5 - mean)
    return {
        "majority of judges": mean,
        "Dawid–Skene": run_dawid_skene(share),
        "mean of the panel": 1 / (1 + np.exp(-2 * (score[panel.first] - score[panel.second]))),
    }


def run_dawid_skene(share: Floats, rounds: int = 100) -> Floats:
    """Run Dawid and Skene's EM for two classes; `share` is (judges, pairs): 1, 0 or one half for a tie."""
    p = share.mean(axis=0)
    for _ in range(rounds):
        hit = ((share @ p) + 1) / (p.sum() + 2)  # P(says first | first is better), one more of each
        miss = ((share @ (1 - p)) + 1) / ((1 - p).sum() + 2)
        prior = p.mean()
        lead = np.log(prior / (1 - prior)) + (
            share * np.log(hit / miss)[:, None] + (1 - share) * np.log((1 - hit) / (1 - miss))[:, None]
        ).sum(axis=0)
        p = 1 / (1 + np.exp(-lead))
    return np.asarray(p)


def find_copies_moved(seed: int) -> dict[str, float]:
    """Fit one judge, and four more that nearly repeat it; how far p moves beyond one.

    Exact copies count as one, so they move nothing; these differ from the first in one vote of 40.
    """
    panel = simulate_panel(seed, judges=1)
    votes = find_votes(panel.obs)
    mine = votes.annotator == PEOPLE
    rng = np.random.default_rng([seed, 21])
    rows: list[list[Any]] = [[votes.first], [votes.second], [votes.annotator], [votes.counts]]
    for j in range(1, 5):
        counts = votes.counts[mine].copy()
        turned = rng.random(len(counts)) < 1 / 40
        counts[turned] = counts[turned][:, [1, 0, 2]]
        more = (votes.first[mine], votes.second[mine], np.full(mine.sum(), PEOPLE + j), counts)
        for column, values in zip(rows, more, strict=True):
            column.append(values)
    first, second, who, counts = (np.concatenate(column) for column in rows)
    many = _observe([first, second, who, counts.argmax(axis=1)], len(panel.e), 5)
    p = []
    for obs in (panel.obs, many):
        e = fit(obs, replace(LONG, seed=seed)).flatten("e")
        p.append((e[:, panel.first] > e[:, panel.second]).mean(axis=0))
    away = np.abs(p[0] - p[1])
    return {"max": float(away.max()), "mean": float(away.mean())}


def read_sample(judges: int) -> tuple[dict[str, tuple[float, float]], dict[str, pl.DataFrame]]:
    """Read the packaged sample with its known qualities, and add judges as the issue has them."""
    folder = Path(demo.__file__).parent / "sample"
    rows = {
        name: list(csv.DictReader((folder / f"{name}.csv").open(encoding="utf-8")))
        for name in ("effectiveness", "votes", "ratings", "outcomes")
    }
    known = {r["completion"]: (float(r["expressed"]), float(r["observed"])) for r in rows["effectiveness"]}
    names = sorted(known)
    prompt = [name.rsplit("-", 1)[0] for name in names]
    votes = pl.DataFrame(rows["votes"]).select(
        "completion_a", "completion_b", "choice", "annotator", pl.col("shown_first").replace("", None)
    )
    e, common = np.array([known[name][0] for name in names]), np.random.default_rng(7)
    taste = common.normal(0, 2.0, len(names))
    a, b = (np.array(x) for x in _pair_up(prompt))
    for j in range(judges):
        seen = 0.5 * e + taste + common.normal(0, 0.3, len(names))
        side = np.where(seen[a] > seen[b], "a", "b")
        made = pl.DataFrame(
            {
                "completion_a": [names[i] for i in a],
                "completion_b": [names[i] for i in b],
                "choice": side,
                "annotator": f"model-{j}",
                "shown_first": common.choice(["a", "b"], len(a)),
            }
        )
        votes = pl.concat([votes, made], how="vertical_relaxed")
    people = pl.concat([votes["annotator"], pl.Series([r["annotator"] for r in rows["ratings"]])]).unique(
        maintain_order=True
    )
    kind = pl.when(people.str.starts_with("model-")).then(pl.lit("model")).otherwise(pl.lit("crowd"))
    tables = {
        "completions": pl.DataFrame({"completion": names, "prompt": prompt}),
        "annotators": pl.select(annotator=people, pseudonym=people, kind=kind),
        "votes": votes,
        "ratings": pl.DataFrame(rows["ratings"]).select(
            "completion",
            "criterion",
            "annotator",
            pl.col("value", "levels").cast(pl.Int64),
            higher_is_better=True,
        ),
        "outcomes": pl.DataFrame(rows["outcomes"]).select(
            "completion",
            "learner",
            "measure",
            pl.col("value").cast(pl.Float64),
            pl.col("censored").str.to_lowercase().eq("true").fill_null(value=False),
        ),
    }
    return known, tables


def _pair_up(prompt: list[str]) -> tuple[list[int], list[int]]:
    both = [(i, j) for i in range(len(prompt)) for j in range(i + 1, len(prompt)) if prompt[i] == prompt[j]]
    return [i for i, _ in both], [j for _, j in both]


def score_sample(judges: int, alike: bool) -> Line:
    """Fit the sample; count intervals that hold and pairs called right."""
    known, tables = read_sample(judges)
    obs = encode(drop_copies(tables))
    posterior: Posterior = fit(call_alike(obs) if alike else obs, SamplerSettings(seed=0))
    e, o = draw_qualities(obs, posterior, 0)
    truth = np.array([known[name] for name in obs.completions["completion"]])
    target, expressed = covered((e + o) / 2, truth.mean(axis=1)), covered(e, truth[:, 0])
    pairs = summarise_pairs(obs, posterior, e, o, 0.5)
    better = np.array(
        [sum(known[a]) > sum(known[b]) for a, b in pairs.select("completion_a", "completion_b").rows()]
    )
    p = pairs["p"].to_numpy()
    right = int(((p > 0.5) == better).sum())
    wrong = int((np.where(better, 1 - p, p) > 0.9).sum())
    return (
        f"{target[0]} of {target[1]} targets, {expressed[0]} of e inside; {right} of {len(p)} pairs right, "
        f"{wrong} wrong with p > 0.9",
    )


def _score_once(judges: int, alike: bool, _seed: int) -> Line:
    return score_sample(judges, alike)


def _interval(values: Floats, form: str = "{:.3f}") -> str:
    """Mean over data sets with its 90 % interval."""
    half = 1.645 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{form.format(values.mean())} ({form.format(values.mean() - half)}–{form.format(values.mean() + half)})"


def list_lines(found: list[dict[str, Any]]) -> list[Line]:
    """List what was found on the simulated panels."""
    worth = np.array([one["judges"]["panels"]["votes"]["n_eff"]["median"] for one in found])
    held = [
        one["judges"]["panels"]["votes"]["n_eff"]["low"]
        <= WORTH
        <= one["judges"]["panels"]["votes"]["n_eff"]["high"]
        for one in found
    ]
    lines: list[Line] = [
        (f"n_eff of {JUDGES} judges worth {WORTH:g}: median", _interval(worth, "{:.2f}"), "1.6–2.4"),
        ("n_eff: 90 % intervals that hold it", f"{sum(held)} of {len(held)}", ""),
        ("converged", f"{sum(one['converged'] for one in found)} of {len(found)}", "all"),
    ]
    for name in ("people alone", "judges alike", "shared taste"):
        share = np.array([one[name][0][0] / one[name][0][1] for one in found if name in one])
        bar = "88–92 %" if name == "shared taste" else ""
        lines.append((f"{name}: 90 % intervals of e that hold", _interval(100 * share, "{:.1f}"), bar))
    names = (
        "people alone",
        "judges alike",
        "shared taste",
        "majority of judges",
        "Dawid–Skene",
        "mean of the panel",
    )
    for name in names:
        sets = [one for one in found if name in one][:BESIDE]  # the same for all, so that losses compare
        p = [one[name] if isinstance(one[name], np.ndarray) else one[name][1] for one in sets]
        loss = np.array([_lose(a, one["better"]) for a, one in zip(p, sets, strict=True)])
        right = np.array([((a > 0.5) == one["better"]).mean() for a, one in zip(p, sets, strict=True)])
        lines.append((f"{name}: log-loss of p; pairs right", f"{_interval(loss)}; {right.mean():.1%}", ""))
    return lines


def _lose(p: Floats, better: NDArray[np.bool_]) -> float:
    p = np.clip(p, 0.001, 0.999)
    return float(-np.log(np.where(better, p, 1 - p)).mean())


def judges(quick: bool) -> Found:
    """Panels of n_eff 2, near-copies of a judge, and the packaged sample with five judges."""
    sets, copied, keep = (2, 1, False) if quick else (SETS, 4, True)
    found = list(each("judges panel", range(sets), find_set, keep))
    lines = list_lines(found)
    moved = list(each("judges copies", range(copied), find_copies_moved, keep))
    lines.append(
        (
            "four near-copies beside a judge: p moves by at most; on average",
            f"{max(m['max'] for m in moved):.3f}; {np.mean([m['mean'] for m in moved]):.4f}",
            "0.02",
        )
    )
    if not quick:
        for words, n, alike in (
            ("people alone", 0, False),
            ("and five judges, models taken for people", 5, True),
            ("and five judges, shared taste", 5, False),
        ):
            said = next(each(f"judges sample {n} {alike}", [0], partial(_score_once, n, alike)))
            lines.append((f"packaged sample: {words}", said[0], ""))
    return Found(
        title="judges: what a panel of models is worth",
        setting=f"{sets} simulated data sets, seeds from 0 (the first {min(sets, BESIDE)} for log-losses, for people "
        f"alone and for judges taken for people): {PEOPLE} people with {VOTES_EACH} votes each and "
        f"{JUDGES} judges with a vote on each of {PROMPTS * PER_PROMPT} pairs of {PROMPTS * PER_PROMPT} completions, by "
        f"chains; near-copies (one vote of 40 differs) on {copied} of them, 16,000 draws; the packaged sample with "
        "judges that see 0.5 e + a common taste (sd 2) + noise (sd 0.3). Exact copies count as one and move nothing. "
        "90 % intervals over data sets. Peers see the judges' votes alone.",
        columns=("judges", "found", "bar"),
        lines=lines,
    )
