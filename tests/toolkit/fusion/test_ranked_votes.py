"""Votes of rankings in the likelihood, the mean reliability, and whom an approximation names."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from preceptor.tests.bench.fusion.simulate import Size, ordinary, simulate
from preceptor.toolkit.fusion.findings.checks import check_predictions
from preceptor.toolkit.fusion.findings.posterior import summarise_fit
from preceptor.toolkit.fusion.likelihoods.registry import LIKELIHOODS
from preceptor.toolkit.fusion.methods import fit_by
from preceptor.toolkit.fusion.model import collect_counts, evaluate_joint, make_arrays
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.fusion.sampling.diagnostics import Approximation, Diagnostics
from preceptor.toolkit.fusion.sampling.fit import Posterior, SamplerSettings
from preceptor.toolkit.fusion.sampling.hmc import trace_shapes

TEXT = pl.String
FEW = SamplerSettings(warmup=200, draws=200, max_draws=200)


def signals(rows):
    """Votes (completion_a, completion_b, choice, annotator, weight) about completions of one prompt."""
    names = sorted({c for row in rows for c in row[:2]})
    people = sorted({row[3] for row in rows})
    return {
        "completions": pl.DataFrame({"completion": names, "prompt": ["q"] * len(names)}),
        "annotators": pl.DataFrame({"annotator": people, "pseudonym": people}),
        "votes": pl.DataFrame(
            [(*row[:4], None, row[4]) for row in rows],
            schema={
                **dict.fromkeys(["completion_a", "completion_b", "choice", "annotator", "shown_first"], TEXT),
                "weight": pl.Float64,
            },
            orient="row",
        ),
    }


VOTES = [
    ("a", "b", "a", "x", 0.5),
    ("a", "b", "a", "x", 0.5),
    ("a", "c", "tie", "x", 0.5),
    ("b", "a", "b", "y", 1.0),
]


def test_a_weight_multiplies_the_log_likelihood_and_whole_votes_are_shown():
    obs = encode(signals(VOTES))
    arrays = make_arrays(obs)
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=shape) for name, shape in trace_shapes(arrays, latent=True).items()}
    prior, sites = evaluate_joint(values, make_arrays(replace(obs, parts=(_no_votes(obs.votes),))))
    log_probs = np.asarray(sites["log_probs:votes"])
    expected = (log_probs * obs.votes.counts * obs.votes.weight[:, None]).sum()
    assert evaluate_joint(values, arrays)[0] - prior == pytest.approx(expected, rel=1e-4)
    assert np.asarray(collect_counts(arrays)["votes"]).sum() == 2.5
    assert obs.completions["n_votes"].to_list() == [4, 3, 1]
    shown = LIKELIHOODS["votes"]
    assert obs.votes.table.sum() == 4
    checks = check_predictions(obs, Posterior({}, {"votes": log_probs[None]}, None), {}, 0)
    assert {check["n"] for check in checks} == {4}
    assert shown.replicate is None


def _no_votes(votes):
    """The same rows, weighing nothing, of the same voters."""
    return replace(votes, weight=np.zeros(len(votes.counts)))


def test_the_mean_reliability_of_voters_is_one_wherever_the_sampler_is():
    arrays = make_arrays(encode(signals([*VOTES, ("b", "c", "a", "z", 1.0)])))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        shapes = trace_shapes(arrays, latent=True)
        values = {name: 4 * rng.normal(size=shape) for name, shape in shapes.items()}
        _, sites = evaluate_joint(values, arrays)
        assert np.asarray(sites["annotator_reliability"]).mean() == pytest.approx(1, abs=1e-4)


def test_who_has_not_voted_keeps_the_reliability_of_a_new_annotator():
    obs = encode(signals(VOTES))
    gone = replace(obs.votes, counts=obs.votes.counts * (obs.votes.annotator == 0)[:, None])
    arrays = make_arrays(replace(obs, parts=(gone,)))
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size=shape) for name, shape in trace_shapes(arrays, latent=True).items()}
    _, sites = evaluate_joint(values, arrays)
    found = np.asarray(sites["annotator_reliability"])
    assert found[0] == pytest.approx(1)
    assert found[1] == pytest.approx(
        1 + float(sites["tau_reliability"]) * float(values["z_reliability"][1]), rel=1e-4
    )


@pytest.mark.parametrize("method", ["hmc", "laplace", "map"])
def test_chains_that_start_turned_over_do_not_stay_there(method):
    """Most annotators agree with the truth: e never comes out mirrored, by any method."""
    made = simulate(np.random.default_rng(2), Size(12, 3, annotators=3, votes=300), ordinary())
    posterior = fit_by(made.obs, replace(FEW, method=method))
    assert np.corrcoef(posterior.flatten("e").mean(axis=0), made.truth["e"])[0, 1] > 0.5
    assert posterior.flatten("annotator_reliability").mean(axis=1) == pytest.approx(1, abs=1e-3)


def approximation(habit, completions):
    """A posterior of 200 draws in which annotators' tie habits are `habit`, sd 0.3."""
    rng = np.random.default_rng(4)
    n = len(habit)
    sites = {
        "rho": np.zeros((1, 200)),
        "annotator_reliability": 1 + 0.1 * rng.normal(size=(1, 200, n)),
        "tie_habit": np.array(habit) + 0.3 * rng.normal(size=(1, 200, n)),
    }
    verdict = Diagnostics(0, "", 0, "", 0, 0, 0, 0, 0, 0, 0.0, Approximation(completions, 1.0, 0.0, True, 9))
    return Posterior(sites, {}, verdict)


@pytest.mark.parametrize(
    ("habit", "completions", "named"),
    [
        ([1.5] * 4, 0, []),  # all tie more than `vote_tie` says: nobody more than the others
        ([1.5] * 4, 50, []),
        ([1.6, 0.0, 0.0, 0.0], 50, [0]),  # sure, with chains beside it
        ([1.6, 0.0, 0.0, 0.0], 0, []),  # the same by a quick look: not sure
        ([4.0, 0.0, 0.0, 0.0], 0, [0]),
    ],
)
def test_an_approximation_names_nobody_it_is_not_sure_of(habit, completions, named):
    made = simulate(np.random.default_rng(0), Size(6, 2, annotators=4, votes=60), ordinary())
    found = summarise_fit(made.obs, approximation(habit, completions))["annotators"]
    assert [i for i, one in enumerate(found) if one["p_ties_often"] > 0.9] == named
    assert not [one for one in found if one["p_below_half"] > 0.9]
