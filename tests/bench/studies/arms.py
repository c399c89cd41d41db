"""What `--assign thompson` saves, and whether `study compare` is right, on simulated learners."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preceptor.toolkit.practice.study.compare import draw_interval, run_randomisation_test, weigh_means
from preceptor.toolkit.practice.study.plan.draw import MARGIN, SURE, compute_shares, is_settled

from ..fusion.part import Found, Line

Array = NDArray[np.float64]
TAU, BATCH, MOST = 1.0, 20, 6000
MOSTLY = 0.9  # share of prompts that a study is to settle
SEED = 7


@dataclass(frozen=True)
class Run:
    """Of each prompt: learners until it was sure, whether the choice was good, and the share of arms covered."""

    learners: Array
    good: Array
    covered: Array


def study_arms(quick: bool) -> Found:
    """Learners until certain, adaptive beside uniform, and the coverage of comparisons."""
    prompts = 4 if quick else 300
    lines: list[Line] = []
    for arms in (2, 4, 8):
        random = np.random.default_rng(SEED + arms)
        truth = random.normal(0, TAU, (prompts, arms))
        runs = {
            name: simulate_prompts(truth, name, SEED, 400 if quick else MOST)
            for name in ("uniform", "thompson")
        }
        ours, theirs = runs["thompson"].learners, runs["uniform"].learners
        for name, run in runs.items():
            shares = (
                ("1", "1") if name == "uniform" else (_ratio(ours, theirs, False), _ratio(ours, theirs, True))
            )
            lines.append(
                (
                    f"{arms} explanations, {name}",
                    f"{run.learners.mean():.0f}",
                    *shares,
                    f"{run.good.mean():.3f}",
                    _share(run.covered),
                )
            )
    for policy in ("uniform", "thompson"):
        lines.append(check_comparisons(policy, 6 if quick else 400))
    return Found(
        "Learners that a study needs",
        f"{prompts} prompts a row; true effects N(0, {TAU:g}) log-odds of success; {BATCH} learners between two "
        f"fits; a prompt is sure when P(the chosen one is within {MARGIN} of the best) is {SURE}; at most {MOST} "
        f"learners. Whole study: answers until {MOSTLY:.0%} of the prompts are sure, where a uniform study goes on with "
        f"all of them, and an adaptive one asks first what is not settled. Seed {SEED}. Intervals of shares: 90 %, by "
        "prompts (paired). Last two rows: 400 studies of two "
        "models, 40 learners x 30 prompts, 3 outcomes in 4 known, effect 0.4 log-odds.",
        (
            "",
            "learners a prompt",
            "share of uniform",
            "share, whole study",
            "choice is good",
            "coverage of 90 % intervals",
        ),
        lines,
    )


def simulate_prompts(truth: Array, policy: str, seed: int, most: int) -> Run:
    """Simulate each prompt, truth of shape (prompts, arms), until it is sure or `most` learners were there."""
    random = np.random.default_rng(seed)
    out = [_simulate_prompt(row, policy, random, most) for row in truth]
    learners, good, covered = zip(*out, strict=True)
    return Run(np.array(learners, float), np.array(good, float), np.array(covered, float))


def _simulate_prompt(
    truth: Array, policy: str, random: np.random.Generator, most: int
) -> tuple[int, bool, float]:
    arms = len(truth)
    right, wrong = np.zeros(arms), np.zeros(arms)
    shares, chance = np.full(arms, 1 / arms), 1 / (1 + np.exp(-truth))
    n = 0
    while True:
        drawn = random.choice(arms, BATCH, p=shares / shares.sum())
        won = random.random(BATCH) < chance[drawn]
        right += np.bincount(drawn[won], minlength=arms)
        wrong += np.bincount(drawn[~won], minlength=arms)
        n += BATCH
        mean, sd = fit_arms(right, wrong)
        if is_settled(mean, sd, random) or n >= most:
            good = truth[int(mean.argmax())] >= truth.max() - MARGIN
            covered = float((np.abs(truth - mean) <= 1.6449 * sd).mean())
            return n, bool(good), covered
        if policy == "thompson":
            shares = compute_shares(mean, sd, random)


def fit_arms(right: Array, wrong: Array) -> tuple[Array, Array]:
    """Fit each arm's log-odds by Laplace's method with prior N(0, TAU): mean and sd, shapes (arms,)."""
    at = np.zeros_like(right)
    for _ in range(20):
        p = 1 / (1 + np.exp(-at))
        at = at + (right - (right + wrong) * p - at / TAU**2) / ((right + wrong) * p * (1 - p) + 1 / TAU**2)
    p = 1 / (1 + np.exp(-at))
    return at, 1 / np.sqrt((right + wrong) * p * (1 - p) + 1 / TAU**2)


def check_comparisons(policy: str, studies: int) -> Line:
    """Simulate studies of two models: coverage of the difference, and p-values below 0.1 without an effect."""
    random = np.random.default_rng(SEED)
    covered, below = [], []
    for n in range(studies):
        for effect in (0.4, 0.0):
            made = _simulate_study(effect, policy, random)
            y, is_first, p_first, people, prompts, truth = made
            if effect:
                low, high = draw_interval(y, is_first, p_first, people, n, 500)
                covered.append(low <= truth <= high)
            else:
                below.append(run_randomisation_test(y, is_first, p_first, prompts, n, 300) <= 0.1)
                assert np.isfinite(weigh_means(y, is_first, p_first)).all()
    return (
        f"compare, {policy}",
        "",
        "",
        "",
        f"p <= 0.1 without an effect: {_share(np.array(below, float))}",
        _share(np.array(covered, float)),
    )


def _simulate_study(
    effect: float, policy: str, random: np.random.Generator
) -> tuple[Array, NDArray[np.bool_], Array, NDArray[np.int64], NDArray[np.int64], float]:
    """Simulate one study: outcomes, draws, people, prompts, and the true difference of success."""
    people, prompts = np.divmod(np.arange(40 * 30), 30)
    ability, hard = random.normal(0, 1, 40), random.normal(0, 1, 30)
    own = random.normal(0, 0.3, (30, 2))
    p_first = np.full(30, 0.5) if policy == "uniform" else np.clip(random.beta(2, 2, 30), 0.1, 0.9)
    base = ability[people] - hard[prompts]
    chances = [1 / (1 + np.exp(-(base + own[prompts, k] + k * effect))) for k in (0, 1)]
    is_first = random.random(len(people)) < p_first[prompts]
    y = (random.random(len(people)) < np.where(is_first, *chances)).astype(float)
    if effect == 0.0:  # no effect of any kind
        y = (random.random(len(people)) < 1 / (1 + np.exp(-base))).astype(float)
    kept = random.random(len(people)) < 0.75
    truth = float((chances[1] - chances[0])[kept].mean())
    return y[kept], is_first[kept], p_first[prompts][kept], people[kept], prompts[kept], truth


def _share(hits: Array) -> str:
    sd = hits.std(ddof=1) / np.sqrt(len(hits)) if len(hits) > 1 else 0.0
    return f"{hits.mean():.3f} ({hits.mean() - 1.6449 * sd:.3f} to {hits.mean() + 1.6449 * sd:.3f})"


def _cost(learners: Array, uniform: bool) -> float:
    """Count answers until MOSTLY of the prompts are settled: a uniform study goes on with all of them."""
    enough = float(np.quantile(learners, MOSTLY))
    return enough * len(learners) if uniform else float(np.minimum(learners, enough).sum())


def _ratio(ours: Array, theirs: Array, whole: bool) -> str:
    """Divide what an adaptive study takes by what a uniform one does; interval by drawing prompts."""
    random = np.random.default_rng(SEED)

    def divide(picks: NDArray[np.int64]) -> float:
        if whole:
            return _cost(ours[picks], False) / _cost(theirs[picks], True)
        return float(ours[picks].sum() / theirs[picks].sum())

    drawn = [divide(random.integers(0, len(ours), len(ours))) for _ in range(2000)]
    low, high = np.quantile(drawn, [0.05, 0.95])
    return f"{divide(np.arange(len(ours))):.2f} ({low:.2f} to {high:.2f})"
