"""How often an annotator is on the side of a fit that has not seen their votes, against exact integration."""

import re
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from preceptor.annotation.agreement.agreement import SourceJudgements, compute_agreement
from preceptor.annotation.agreement.tallies import LEANS, count_as_fit
from preceptor.toolkit.campaign.agreement import narrow_leads
from preceptor.toolkit.cli.dataset.fuse import describe_annotators

X = np.linspace(-30, 30, 6_001)


def posterior(prior_mean, prior_sd, votes):
    """Mean and sd of the log-odds x under N(prior) and votes (weight, for the first side or not), exactly."""
    log_p = -(((X - prior_mean) / prior_sd) ** 2) / 2
    for weight, first in votes:
        log_p = log_p + np.log(expit(weight * X if first else -weight * X))
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = float(p @ X)
    return mean, float(np.sqrt(p @ (X - mean) ** 2))


def as_fit(said, leads, weight=1.0):
    """(k, n) of one annotator who said (True: the first side) of pairs with these (mean, sd)."""
    votes = pl.DataFrame(
        {
            "annotator": "p",
            "unit": range(len(said)),
            "value": [0 if first else 1 for first in said],
            "again": False,
        }
    )
    consensus = pl.DataFrame(
        {"unit": range(len(said)), "lead": [m for m, _ in leads], "sd": [s for _, s in leads]}
    )
    found = count_as_fit(votes, consensus, pl.DataFrame({"annotator": ["p"], "weight": [weight]}))
    return (0, 0) if found.is_empty() else found.select("k", "n").row(0)


@pytest.mark.parametrize("prior_sd", [0.3, 1, 2.3, 5])
@pytest.mark.parametrize("weight", [0.0, 0.2, 1.0, 1.6])
def test_who_alone_made_the_favourite_of_24_questions_is_held_against_none(prior_sd, weight):
    said = [i % 3 > 0 for i in range(24)]
    leads = [posterior(0, prior_sd, [(weight, first)]) for first in said]
    k, n = as_fit(said, leads, weight)
    assert k == n


def test_the_rest_decides_as_exact_integration_without_the_vote():
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(300):
        prior = float(rng.normal(0, 1)), float(rng.uniform(0.5, 2.5))
        others = [(float(rng.uniform(0.3, 1.4)), bool(rng.random() < 0.6)) for _ in range(rng.integers(0, 7))]
        weight, first = float(rng.uniform(0, 1.5)), bool(rng.random() < 0.5)
        without = posterior(*prior, others)[0] * (1 if first else -1)
        k, n = as_fit([first], [posterior(*prior, [*others, (weight, first)])], weight)
        if abs(without) < 0.45:  # near a half the normal approximation may say either, or nothing
            continue
        told += n
        assert (k, n) in {(int(without > 0), 1), (0, 0)}, (prior, others, weight, first)
    assert told > 150


def test_a_vote_against_a_fit_that_others_have_made_sure_counts_against():
    others = [(1.0, True)] * 9
    assert as_fit([False], [posterior(0, 1.5, [*others, (1.0, False)])]) == (0, 1)
    assert as_fit([True], [posterior(0, 1.5, [*others, (1.0, True)])]) == (1, 1)
    # One vote for each side, by two people: each is held against the other.
    both = posterior(0, 1.5, [(1.0, True), (1.0, False)])
    assert as_fit([True, False], [both, both]) == (0, 2)


def test_a_rest_that_leans_to_neither_side_says_nothing():
    assert as_fit([True], [(4 * LEANS - 0.02, 0.01)]) == (0, 0)
    assert as_fit([True], [(4 * LEANS + 0.02, 0.01)]) == (1, 1)


def test_leads_are_as_wide_as_the_fit_has_them():
    # Draws of two completions whose level nobody knows, and whose difference is known well.
    rng = np.random.default_rng(2)
    level = rng.normal(0, 2, 200_000)
    pairs = []
    for apart in (-0.8, -0.2, 0.5, 1.5):
        a, b = level + rng.normal(apart, 0.4, level.size), level + rng.normal(0, 0.4, level.size)
        pairs.append((a.mean() - b.mean(), np.hypot(a.std(), b.std()), (a > b).mean()))
    pairs.append((0.0, np.hypot(2, 2), 0.5))  # no lead: narrowed as the others are
    pairs.append((9.0, np.hypot(2, 2), 1.0))  # surer than draws can say: no narrower than they can
    found = narrow_leads(pl.DataFrame(pairs, schema=["lead", "sd", "p"], orient="row"))
    true = np.hypot(0.4, 0.4)
    assert found["sd"][:5].to_list() == pytest.approx([true] * 5, rel=0.05)
    assert found["sd"][5] == pytest.approx(min(9 / 3.0, np.hypot(2, 2)))
    assert found.columns == ["lead", "sd"]
    unknown = pl.DataFrame({"lead": [1.0], "sd": [2.0], "p": [None]}, schema_overrides={"p": pl.Float64})
    assert narrow_leads(unknown)["sd"].to_list() == [2.0]
    assert narrow_leads(unknown.clear()).height == 0


def test_fuse_and_agreement_doubt_the_same_people():
    names = ["p_below_half", "p_ties_often", "p_ties_seldom"]
    found = [
        {"annotator": f"p{i}", "votes": 1, "reliability": {"mean": 1.0, "low": 0.5, "high": 1.5}}
        | {name: 0.95 if i == 2 * k else 0.89 for k, name in enumerate(names)}
        for i in range(7)
    ]
    said = describe_annotators(found)
    assert "7 voted" in said
    people = [one["annotator"] for one in found]
    votes = pl.DataFrame(
        {
            "completion_a": "a",
            "completion_b": "b",
            "choice": "a",
            "annotator": people,
            "shown_first": "a",
            "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 7,
            "path": "f",
            "line": range(7),
            "n": 0,
        }
    )
    nothing = {"completion_a": pl.String, "completion_b": pl.String}
    judged = SourceJudgements(
        votes,
        pl.DataFrame(
            schema={"completion": pl.String, "criterion": pl.String, "value": pl.Int64, "levels": pl.Int64}
            | {name: votes.schema[name] for name in ("annotator", "at", "path", "line", "n")}
        ),
        pl.DataFrame({"key": people, "kind": "crowd", "pseudonym": people}),
        pl.DataFrame(schema=nothing | {"expected": pl.String}),
        pl.DataFrame(schema=nothing | {"lead": pl.Float64, "sd": pl.Float64}),
        {one["annotator"]: one["reliability"] | {name: one[name] for name in names} for one in found},
    )
    looks = {p.annotator for p in compute_agreement("s", judged, resamples=1).annotators if p.look}
    assert looks == {"p0", "p2", "p4"} == set(re.findall(r"p\d", said))
