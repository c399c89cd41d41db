"""Learners drawn from the model: do intervals hold what they say, with fitted parameters; and how fast is it?"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from preceptor.toolkit.practice.learners.fit import fit_mastery, foretell_answers
from preceptor.toolkit.practice.learners.mastery.answers import Answers, order_answers
from preceptor.toolkit.practice.learners.mastery.online import read_model, start_learner, take_answer
from preceptor.toolkit.practice.learners.states import read_learner_states

from ..fusion.part import Found
from .score import Floats

LEARNERS, SKILLS, ANSWERS, SEEDS = 500, 12, 80, 5
CHECKED = (1, 5, 20, 40, 80)
TRUTH = {
    "mean": 0.7,
    "ability": 1.0,
    "skill": 0.45,
    "easy": 0.5,
    "right": 0.15,
    "wrong": 0.1,
    "fading": 0.3,
    "drift_skill": 0.03,
    "drift_ability": 0.004,
    "guess": 0.02,
    "slip": 0.07,
}
_START = np.datetime64("2026-01-01")


def _squash(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def draw_learners(n: int, seed: int, easy: Floats) -> tuple[pl.DataFrame, dict[int, Floats]]:
    """Draw answers of n learners, who stay at a skill seven times in ten; and P(right) by skill (n, skills)
    after some answers."""
    r, t = np.random.default_rng(seed), TRUTH
    z = t["mean"] + easy + t["ability"] * r.normal(size=(n, 1)) + t["skill"] * r.normal(size=(n, SKILLS))
    count, a = np.zeros((n, SKILLS)), np.arange(n)
    of = r.integers(0, SKILLS, n)
    rows, truth = [], {}
    for turn in range(ANSWERS):
        of = np.where(r.random(n) < 0.3, r.integers(0, SKILLS, n), of)
        chance = t["guess"] + (1 - t["guess"] - t["slip"]) * _squash(z[a, of])
        right = r.random(n) < chance
        rows.append(pl.DataFrame({"who": a, "turn": np.full(n, turn), "item": of, "correct": right}))
        z[a, of] += np.where(right, t["right"], t["wrong"]) * np.exp(-t["fading"] * count[a, of])
        z[a, of] += np.sqrt(t["drift_skill"]) * r.normal(size=n)
        z += np.sqrt(t["drift_ability"]) * r.normal(size=(n, 1))
        count[a, of] += 1
        if turn + 1 in CHECKED:
            truth[turn + 1] = t["guess"] + (1 - t["guess"] - t["slip"]) * _squash(z)
    events = pl.concat(rows).sort("who", "turn")
    return (
        events.select(
            pl.format("l{}", "who").alias("learner"),
            pl.format("s{}", "item").alias("item"),
            pl.lit(None, pl.List(pl.String)).alias("skills"),
            "correct",
            pl.lit(None, pl.Datetime("us", "UTC")).alias("at"),
            pl.format("{}-{}", "who", "turn").alias("key"),
        ),
        truth,
    )


def measure_intervals(seed: int, n: int = LEARNERS) -> dict[int, float]:
    """Fit to n learners, and count how often the intervals of n others hold the true P(right), by answers so far."""
    easy = np.random.default_rng(seed).normal(0, TRUTH["easy"], SKILLS)
    events, _ = draw_learners(n, 2 * seed + 1000, easy)
    others, truth = draw_learners(n, 2 * seed + 1001, easy)
    answers = order_answers(events)
    p, _ = fit_mastery(answers)
    p = {name: np.asarray(value, float) for name, value in p.items()}
    found = {}
    held = order_answers(others, answers.components, answers.questions)
    for size in CHECKED:
        mastery, _, _ = read_learner_states(p, cut_answers(held, size))
        who = mastery["learner"].str.slice(1).cast(pl.Int64).to_numpy()
        skill = mastery["skill"].str.slice(1).cast(pl.Int64).to_numpy()
        right = truth[size][who, skill]
        found[size] = float(
            ((mastery["low"].to_numpy() < right) & (right < mastery["high"].to_numpy())).mean()
        )
    return found


def cut_answers(answers: Answers, most: int) -> Answers:
    """Keep each learner's first answers."""
    rows = answers.rows.filter(pl.col("turn") < most).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("new")
    )
    touches = answers.touches.join(rows.select("row", "new"), on="row").drop("row").rename({"new": "row"})
    return replace(answers, rows=rows.drop("row").rename({"new": "row"}), touches=touches.sort("row"))


def coverage(quick: bool) -> Found:
    """Measure the coverage of 90 % intervals of mastery, parameters fitted to other learners."""
    seeds = range(1 if quick else SEEDS)
    runs = [measure_intervals(seed, 30 if quick else LEARNERS) for seed in seeds]
    lines = []
    for size in CHECKED:
        values = np.array([found[size] for found in runs])
        spread = 1.645 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
        lines.append(
            (
                f"after {size}",
                f"{values.mean():.3f}",
                f"{values.min():.3f} to {values.max():.3f}",
                f"±{spread:.3f}",
                "0.88 to 0.92",
            )
        )
    return Found(
        "90 % intervals of mastery in simulation, fitted parameters",
        f"{LEARNERS} simulated learners × {SKILLS} skills × {ANSWERS} answers for the fit, {LEARNERS} others for "
        f"judging, skills that these have met; seeds 0 to {len(seeds) - 1}. Truth: P(right) on a plain question.",
        ("answers", "share held", "over seeds", "90 % of the mean", "bar"),
        lines,
    )


def speed(quick: bool) -> Found:
    """Measure CPU time of filtering 10⁵ answers, and of one answer online with 100 skills."""
    easy = np.zeros(SKILLS)
    n = 100 if quick else 1250
    events, _ = draw_learners(n, 7, easy)
    began = time.process_time()
    answers = order_answers(events)
    ordered = time.process_time() - began
    p, _ = fit_mastery(answers, steps=1)
    foretell_answers(p, answers)
    began = time.process_time()
    foretell_answers(p, answers)
    filtered = time.process_time() - began
    scale = 1e5 / answers.rows.height
    model = read_model(
        p, answers.components[: answers.skills], answers.questions.select("item", "set").rows()
    )
    model.skills.update({f"t{k}": (0.0, 0.0, 0.0) for k in range(100)})
    learner = start_learner(model)
    for k in range(100):
        take_answer(model, learner, f"t{k}", [f"t{k}"], True)
    draw = np.random.default_rng(0)
    asked = [f"t{k}" for k in draw.integers(0, 100, 2000)]
    times = []
    for _ in range(5):
        began = time.process_time()
        for name in asked:
            take_answer(model, learner, name, [name], name < "t5")
        times.append((time.process_time() - began) / len(asked) * 1000)
    return Found(
        "time",
        f"{answers.rows.height:,} simulated answers; the compiled filter, and NumPy for one learner. CPU time.",
        ("what", "found", "bar"),
        [
            ("order and filter 10⁵ answers", f"{(ordered + filtered) * scale:.2f} CPU s", "2"),
            ("of this the filter alone", f"{filtered * scale:.2f} CPU s", ""),
            ("one answer online, 100 skills", f"{min(times):.3f} ms", "0.05"),
        ],
    )
