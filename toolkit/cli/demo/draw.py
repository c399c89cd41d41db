"""How the sample's signals were drawn: from known effectiveness, with ties, gaps, careless people.

    python -m preceptor.toolkit.cli.demo.draw FOLDER

writes votes.csv, ratings.csv and outcomes.csv beside prompts.jsonl and effectiveness.csv. The
packaged files are what this script writes; a test keeps them equal. Texts were written for the
sample, people are invented, and so are their answers.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

SEED = 20261121
ANNOTATORS = [f"annotator-{n:02d}" for n in range(1, 21)]
LEARNERS = [f"learner-{n:02d}" for n in range(1, 31)]
CARELESS = ("annotator-07", "annotator-16")

VOTE_SLOPE, VOTE_TIE, FIRST_SHOWN_BIAS = 1.6, -0.9, 0.25
RATING_SLOPE, RATING_CUTPOINTS = 1.5, (-2.4, -0.9, 0.6, 2.1)
OUTCOME_SLOPE, OUTCOME_LEVEL, GIVES_UP_AFTER = 1.3, 0.2, 4
VOTES_PER_PAIR, RATINGS_PER_COMPLETION, TURNS_PER_COMPLETION, TESTS_PER_COMPLETION = 7, 4, 4, 3
GAPS = 0.12  # share of prompts that lack one of the signals


def main(folder: Path) -> None:
    """Draw the three files into `folder`, from the two that are there."""
    rng = np.random.default_rng(SEED)
    prompts = [json.loads(line) for line in (folder / "prompts.jsonl").read_text("utf-8").splitlines()]
    truth = {
        row["completion"]: row for row in pl.read_csv(folder / "effectiveness.csv").iter_rows(named=True)
    }
    ids = {prompt["id"]: [c["id"] for c in prompt["completions"]] for prompt in prompts}
    missing = {
        signal: set(rng.choice(list(ids), size=round(GAPS * len(ids)), replace=False))
        for signal in ("votes", "ratings", "outcomes")
    }
    heard = {signal: {p: c for p, c in ids.items() if p not in gone} for signal, gone in missing.items()}
    _votes(rng, heard["votes"], truth).write_csv(folder / "votes.csv")
    _ratings(rng, heard["ratings"], truth).write_csv(folder / "ratings.csv")
    _outcomes(rng, heard["outcomes"], truth).write_csv(folder / "outcomes.csv")


Ids = dict[str, list[str]]
Truth = dict[str, dict[str, float]]


def _votes(rng: np.random.Generator, ids: Ids, truth: Truth) -> pl.DataFrame:
    habit = dict(zip(ANNOTATORS, rng.normal(0, 0.5, len(ANNOTATORS)), strict=True))
    rows = []
    for completions in ids.values():
        for a, b in itertools.combinations(completions, 2):
            for annotator in rng.choice(ANNOTATORS, VOTES_PER_PAIR, replace=False):
                first = rng.choice(["a", "b"])
                shown = FIRST_SHOWN_BIAS if first == "a" else -FIRST_SHOWN_BIAS
                eta = VOTE_SLOPE * (truth[a]["expressed"] - truth[b]["expressed"]) + shown
                scores = np.array([eta / 2, -eta / 2, VOTE_TIE + habit[annotator]])
                if annotator in CARELESS:
                    scores = np.zeros(3)
                p = np.exp(scores) / np.exp(scores).sum()
                rows.append((a, b, rng.choice(["a", "b", "tie"], p=p), annotator, first))
    names = ["completion_a", "completion_b", "choice", "annotator", "shown_first"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _ratings(rng: np.random.Generator, ids: Ids, truth: Truth) -> pl.DataFrame:
    severity = dict(zip(ANNOTATORS, rng.normal(0, 0.6, len(ANNOTATORS)), strict=True))
    rows = []
    for completion in itertools.chain.from_iterable(ids.values()):
        for annotator in rng.choice(ANNOTATORS, RATINGS_PER_COMPLETION, replace=False):
            location = RATING_SLOPE * truth[completion]["expressed"] - severity[annotator]
            value = 1 + int((location + rng.logistic() > np.array(RATING_CUTPOINTS)).sum())
            if annotator in CARELESS:
                value = int(rng.integers(1, 6))
            rows.append((completion, "helpful", value, 5, annotator))
    names = ["completion", "criterion", "value", "levels", "annotator"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _outcomes(rng: np.random.Generator, ids: Ids, truth: Truth) -> pl.DataFrame:
    ability = dict(zip(LEARNERS, rng.normal(0, 0.7, len(LEARNERS)), strict=True))
    rows = []
    for completion in itertools.chain.from_iterable(ids.values()):
        observed = OUTCOME_LEVEL + OUTCOME_SLOPE * truth[completion]["observed"]
        who = rng.choice(LEARNERS, TURNS_PER_COMPLETION + TESTS_PER_COMPLETION, replace=False)
        for n, learner in enumerate(who):
            p = 1 / (1 + np.exp(-(observed + ability[learner])))
            if n >= TURNS_PER_COMPLETION:
                rows.append((completion, learner, "success", int(rng.random() < p), "false"))
                continue
            failures = int(rng.geometric(p)) - 1
            censored = failures >= GIVES_UP_AFTER
            turns = min(failures, GIVES_UP_AFTER)
            rows.append((completion, learner, "turns", turns, str(censored).lower()))
    names = ["completion", "learner", "measure", "value", "censored"]
    return pl.DataFrame(rows, schema=names, orient="row")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
