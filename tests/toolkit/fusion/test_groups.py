"""Groups of people: where they want different sides, and what the label that they share hides."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from preceptor.tests.bench.fusion.simulate import Size, ordinary, simulate
from preceptor.toolkit.cli.dataset.fuse import describe_groups
from preceptor.toolkit.fusion.findings.groups import (
    compute_differences,
    find_spread,
    list_properties,
    summarise_groups,
    weigh_votes,
)
from preceptor.toolkit.fusion.sampling.fit import Posterior

PAIRS = 140


def judge(seed, spread, votes=6, slope=1.8, tie=-1.0):
    """Votes of two groups on PAIRS pairs, whose differences of quality have this spread between groups."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 2**0.5, PAIRS)
    each = common[:, None] + rng.normal(0, 2**0.5 * spread, (PAIRS, 2))
    score, information = np.zeros((PAIRS, 2)), np.zeros((PAIRS, 2))
    for group in range(2):
        for _ in range(votes):
            eta = slope * (1 + 0.3 * rng.normal()) * each[:, group]
            scores = np.stack([eta / 2, -eta / 2, np.full(PAIRS, tie)], axis=1) + rng.gumbel(size=(PAIRS, 3))
            counts = np.eye(3)[scores.argmax(axis=1)]
            said, weight = weigh_votes(0.8 * common, np.full(PAIRS, slope), np.full(PAIRS, tie), counts)
            score[:, group] += said
            information[:, group] += weight
    seen = 0.8 * common[:, None] + score / information
    tau = find_spread(seen, information)
    differ, below = compute_differences(seen, information, tau, seed)
    return tau, differ, below, each


def test_groups_that_are_alike_are_hardly_ever_called_different():
    assert sum((judge(seed, 0.0)[1] > 0.9).sum() for seed in range(20)) <= 2  # of 2,800 pairs


def test_pairs_said_to_differ_do_in_nine_of_ten():
    said = real = 0
    for seed in range(20):
        tau, differ, _, each = judge(seed, 1.2)
        assert 0.5 <= tau <= 1.5
        apart = (each[:, 0] < 0) != (each[:, 1] < 0)
        said, real = said + (differ > 0.9).sum(), real + ((differ > 0.9) & apart).sum()
    assert said > 200
    assert real / said > 0.85


def obs_of(kinds, known=None):
    size = Size(30, 3, annotators=len(kinds), votes=600)
    obs = simulate(np.random.default_rng(0), size, ordinary()).obs
    return replace(
        obs,
        annotators=obs.annotators.with_columns(
            kind=pl.Series(kinds), known=pl.Series(known or [None] * len(kinds), dtype=pl.String)
        ),
    )


def posterior_of(obs, quality):
    """A posterior of one draw, with average annotators."""
    people = obs.annotators.height
    sites = {
        "vote_slope": np.full((1, 1), 1.5),
        "vote_tie": np.full((1, 1), -1.0),
        "annotator_reliability": np.ones((1, 1, people)),
        "tie_habit": np.zeros((1, 1, people)),
        "e": quality[None, None],
    }
    return Posterior(sites, {}, None)


def pairs_of(obs, p):
    items = obs.completions.select("prompt", "completion")
    both = items.join(items, on="prompt", suffix="_b").filter(pl.col("completion") < pl.col("completion_b"))
    return both.select(
        pl.col("completion").alias("completion_a"), pl.col("completion_b"), p_expressed=pl.lit(p)
    )


def test_a_group_that_wants_the_other_side_is_named_with_what_the_label_hides():
    obs = obs_of(["student", "expert"] * 5)
    experts = obs.votes.annotator % 2 == 1
    # Students are all for the first of a pair, experts for the second.
    counts = np.where(experts[:, None], [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]) * 3
    told = replace(obs, parts=(replace(obs.votes, counts=counts),))
    (found,) = summarise_groups(told, posterior_of(told, np.zeros(90)), pairs_of(told, 0.9), 0)
    assert (found["by"], set(found["votes"])) == ("kind", {"student", "expert"})
    assert found["differ"] > 0.5 * found["pairs"] > 10
    assert found["against"]["expert"] > 0.5 * found["pairs"]
    assert found["against"]["student"] == 0
    said = describe_groups([found])
    assert f"differ in {found['differ']} of {found['pairs']} pairs" in said
    assert "the label is against expert in" in said


@pytest.mark.parametrize(
    "kinds", [["crowd"] * 10, ["model"] * 5 + ["crowd"] * 5, ["expert", *["crowd"] * 29]]
)
def test_one_group_models_and_groups_of_few_votes_are_not_compared(kinds):
    obs = obs_of(kinds)
    assert summarise_groups(obs, posterior_of(obs, np.zeros(90)), pairs_of(obs, 0.9), 0) == []


def test_language_and_level_are_known_of_some():
    obs = obs_of(["crowd"] * 3, ['{"language": "uk", "level": "B1"}', None, '{"language": "en"}'])
    found = list_properties(obs)
    assert found["language"] == ["uk", None, "en"]
    assert found["level"] == ["B1", None, None]
