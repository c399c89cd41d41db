"""The model, the sampler and the diagnostics, without the store."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from arviz_stats.base import array_stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import constrain_fn, potential_energy
from scipy.special import expit
from scipy.stats import halfnorm, norm, spearmanr

from preceptor.schemas.errors import FusionError
from preceptor.tests.bench.fusion.simulate import Size, ordinary, simulate
from preceptor.toolkit.fusion import methods as large
from preceptor.toolkit.fusion.findings.posterior import draw_qualities, summarise_fit, summarise_pairs
from preceptor.toolkit.fusion.likelihoods.priors import half_normal
from preceptor.toolkit.fusion.likelihoods.ratings import compute_ordered_log_probs
from preceptor.toolkit.fusion.likelihoods.votes import compute_davidson_log_probs
from preceptor.toolkit.fusion.methods import fit_by
from preceptor.toolkit.fusion.model import make_arrays, run_model
from preceptor.toolkit.fusion.observations import encode, thin
from preceptor.toolkit.fusion.sampling import diagnostics
from preceptor.toolkit.fusion.sampling import fit as fit_module
from preceptor.toolkit.fusion.sampling.diagnostics import Diagnostics
from preceptor.toolkit.fusion.sampling.fit import Posterior, SamplerSettings, fit, round_up
from preceptor.toolkit.fusion.sampling.hmc import trace_shapes

floats = st.floats(-8, 8, width=32, allow_subnormal=False)


def signals(votes=(), ratings=(), outcomes=(), completions=None, annotators=()):
    """Signal tables from short tuples; completions p1a, p1b … belong to the prompt of their name."""
    text = pl.String
    names = completions or sorted(
        {c for v in votes for c in v[:2]} | {r[0] for r in ratings} | {o[0] for o in outcomes}
    )
    return {
        "completions": pl.DataFrame(
            {"completion": names, "prompt": [name[:-1] for name in names]},
            schema={"completion": text, "prompt": text},
        ),
        "annotators": pl.DataFrame(
            {"annotator": list(annotators), "pseudonym": list(annotators)},
            schema={"annotator": text, "pseudonym": text},
        ),
        "votes": pl.DataFrame(
            [(*v, None, None)[:5] for v in votes],
            schema={
                "completion_a": text,
                "completion_b": text,
                "choice": text,
                "annotator": text,
                "shown_first": text,
            },
            orient="row",
        ),
        "ratings": pl.DataFrame(
            [(*r, None)[:3] for r in ratings],
            schema={"completion": text, "value": pl.Int64, "annotator": text},
            orient="row",
        ).with_columns(criterion=pl.lit("helpful"), levels=pl.lit(5), higher_is_better=pl.lit(True)),
        "outcomes": pl.DataFrame(
            [(c, float(v), censored, None) for c, v, censored in outcomes],
            schema={"completion": text, "value": pl.Float64, "censored": pl.Boolean, "learner": text},
            orient="row",
        ).with_columns(measure=pl.lit("turns")),
    }


@given(arrays(np.float32, 5, elements=floats), floats)
def test_davidson_probabilities_sum_to_one_and_mirror(eta, tie):
    p = np.exp(compute_davidson_log_probs(jnp.asarray(eta), jnp.asarray(tie)))
    mirrored = np.exp(compute_davidson_log_probs(jnp.asarray(-eta), jnp.asarray(tie)))
    np.testing.assert_allclose(p.sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(p[[1, 0, 2]], mirrored, rtol=1e-4)
    np.testing.assert_allclose(p[0] / (p[0] + p[1]), expit(eta), rtol=1e-3, atol=1e-6)


@given(arrays(np.float32, 4, elements=floats), arrays(np.float32, 3, elements=st.floats(0.125, 3, width=32)))
def test_ordered_probabilities_are_differences_of_the_logistic(location, gaps):
    cutpoints = np.concatenate([[-2.0], -2 + np.cumsum(gaps)])
    p = np.exp(compute_ordered_log_probs(jnp.asarray(location), jnp.asarray(cutpoints, dtype=np.float32)))
    below = expit(cutpoints[None, :] - location[:, None])
    expected = np.diff(np.concatenate([np.zeros((4, 1)), below, np.ones((4, 1))], axis=1))
    np.testing.assert_allclose(p, expected, atol=2e-5)


def test_scales_are_half_normal_and_their_slope_is_what_is_stated():
    x = jnp.linspace(-4, 5, 37)
    assert np.asarray(half_normal(x)) == pytest.approx(halfnorm.ppf(norm.cdf(np.asarray(x))), rel=2e-3)
    slope = jax.vmap(jax.grad(half_normal))(x)
    steps = (halfnorm.isf(norm.sf(np.asarray(x) + 1e-4)) - halfnorm.isf(norm.sf(np.asarray(x) - 1e-4))) / 2e-4
    assert np.asarray(slope) == pytest.approx(steps, rel=2e-3)


def test_log_density_counts_equal_rows_exactly():
    """Five equal votes as a count of five: the same density as five rows, at any position."""
    votes = [("p1a", "p1b", "a")] * 5 + [("p1b", "p1a", "tie")] * 2 + [("p1a", "p1b", "b")]
    ratings = [("p1a", 4)] * 3 + [("p1b", 2)]
    outcomes = [("p1a", 2, False), ("p1a", 0, False), ("p1b", 3, True)]
    obs = encode(signals(votes, ratings, outcomes))
    assert obs.votes.counts.tolist() == [[5, 1, 2]]
    (rated,) = obs.ratings
    assert rated.counts.tolist() == [[0, 0, 0, 3, 0], [0, 1, 0, 0, 0]]
    (tried,) = obs.outcomes
    assert (tried.successes.tolist(), tried.failures.tolist()) == ([2, 0], [2, 3])
    data = jax.tree.map(jnp.asarray, make_arrays(obs))
    rows = dict(data)
    rows["votes"] = {
        "first": jnp.zeros(8, int),
        "second": jnp.ones(8, int),
        "annotator": -jnp.ones(8, int),
        "counts": jnp.asarray([[1, 0, 0]] * 5 + [[0, 0, 1]] * 2 + [[0, 1, 0]], dtype=float),
    }
    rng = np.random.default_rng(0)
    at = {
        name: jnp.asarray(rng.normal(size=shape)) for name, shape in trace_shapes(data, latent=True).items()
    }
    density = jax.jit(lambda arrays: potential_energy(run_model, (arrays,), {}, at))
    counted, listed = (float(density(arrays)) for arrays in (data, rows))
    assert counted == pytest.approx(listed, rel=1e-5)


def test_a_pair_is_oriented_one_way_whatever_the_vote_says():
    votes = [("p1b", "p1a", "a", None, "a"), ("p1a", "p1b", "b", None, "b")]
    obs = encode(signals(votes))
    assert obs.votes.counts.tolist() == [[0, 2, 0]]
    assert obs.votes.shown_first.tolist() == [-1]


def test_lower_is_better_is_mirrored():
    tables = signals(ratings=[("p1a", 1), ("p1b", 5)])
    tables["ratings"] = tables["ratings"].with_columns(higher_is_better=pl.lit(False))
    (rated,) = encode(tables).ratings
    assert rated.counts.tolist() == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]


def test_one_criterion_on_two_scales_is_two_scales():
    tables = signals(ratings=[("p1a", 1), ("p1b", 5), ("p1b", 4)])
    tables["ratings"] = tables["ratings"].with_columns(levels=pl.Series([7, 5, 5]))
    obs = encode(tables)
    assert [(r.name, r.counts.sum()) for r in obs.ratings] == [
        ("helpful (5 levels)", 2),
        ("helpful (7 levels)", 1),
    ]
    assert sum(name.startswith("ratings:") for name in make_arrays(obs)) == 2


def test_nothing_to_fuse_says_what_to_do():
    with pytest.raises(FusionError, match="nothing to fuse"):
        encode(signals(completions=["p1a"]))


def test_only_what_was_tried_has_a_latent_of_its_own():
    obs = encode(signals([("p1a", "p1b", "a"), ("p2a", "p2b", "b")], outcomes=[("p2a", 1, False)]))
    shapes = trace_shapes(make_arrays(obs), latent=True)
    assert shapes["own"] == (4,)
    assert shapes["w"] == (1,)
    assert not any(name.startswith("rating") for name in shapes)


def autoregressive(phi, chains=4, n=2000, parameters=3, seed=0):
    rng = np.random.default_rng(seed)
    x = np.zeros((chains, n, parameters))
    x[:, 0] = rng.normal(size=(chains, parameters))
    for t in range(1, n):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * rng.normal(size=(chains, parameters))
    return x


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_diagnostics_agree_with_arviz(phi):
    draws = autoregressive(phi)
    draws[..., 2] = np.exp(2 * draws[..., 2])
    for i in range(draws.shape[2]):
        one = draws[:, :, i]
        oracle = {
            "r_hat": array_stats.rhat(one, chain_axis=0, draw_axis=1, method="rank"),
            "bulk": array_stats.ess(one, chain_axis=0, draw_axis=1, method="bulk"),
            "tail": array_stats.ess(one, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)),
        }
        r_hats, sizes = diagnostics.compute_r_hat_and_ess(draws)
        assert r_hats[i] == pytest.approx(oracle["r_hat"], abs=1e-3)
        assert sizes[i] == pytest.approx(min(oracle["bulk"], oracle["tail"]), rel=0.1)


def test_diagnostics_see_chains_that_disagree():
    shifted, wider = autoregressive(0.0), autoregressive(0.0)
    shifted[0] += 1
    wider[0] *= 3
    assert (diagnostics.compute_r_hat_and_ess(autoregressive(0.0))[0] < 1.01).all()
    assert (diagnostics.compute_r_hat_and_ess(shifted)[0] > 1.05).all()
    assert (diagnostics.compute_r_hat_and_ess(wider)[0] > 1.05).all()  # only the folded half sees this
    assert diagnostics.compute_r_hat_and_ess(np.ones((4, 100, 1)))[1][0] > 0


@pytest.fixture(scope="module")
def small():
    """Votes of an unnamed crowd on 12 prompts where a is better, and one prompt nobody decided."""
    votes = []
    for n in range(12):
        a, b = f"q{n:02d}a", f"q{n:02d}b"
        votes += [(a, b, "a")] * 8 + [(a, b, "b")] + [(a, b, "tie")]
    votes += [("zza", "zzb", choice) for choice in ("a", "b", "tie", "tie")]
    obs = encode(signals(votes, completions=sorted({c for v in votes for c in v[:2]} | {"zzc"})))
    return obs, fit(obs, SamplerSettings(seed=3))


def test_a_clear_majority_is_found_and_a_draw_stays_open(small):
    obs, posterior = small
    assert posterior.diagnostics.converged, posterior.diagnostics
    e, o = draw_qualities(obs, posterior, 3)
    rows = summarise_pairs(obs, posterior, e, o, target=0.0)
    decided = rows.filter(pl.col("completion_a").str.starts_with("q"))
    assert decided.height == 12
    assert (decided["p"] > 0.85).all()
    open_ = rows.filter((pl.col("completion_a") == "zza") & (pl.col("completion_b") == "zzb"))
    assert 0.35 < open_["p"].item() < 0.65
    assert open_["information_gain"].item() > decided["information_gain"].max()


def test_without_outcomes_rho_and_observed_stay_at_their_priors(small):
    obs, posterior = small
    _, o = draw_qualities(obs, posterior, 3)
    rho = summarise_fit(obs, posterior)["rho"]
    # 2 Beta(2, 2) - 1 has mean 0 and 90 % interval (-0.729, 0.729).
    assert rho["mean"] == pytest.approx(0, abs=0.1)
    assert rho["low"] == pytest.approx(-0.729, abs=0.08)
    assert o.std(axis=0) == pytest.approx(1, abs=0.08)


def test_the_same_seed_gives_the_same_draws(small):
    obs, posterior = small
    again = fit(obs, SamplerSettings(seed=3))
    for name, values in posterior.sites.items():
        np.testing.assert_array_equal(values, again.sites[name])


@pytest.mark.slow
def test_the_posterior_is_that_of_numpyros_nuts():
    """Every kind of term at once: named annotators, order shown, ratings, outcomes with censoring."""
    rng = np.random.default_rng(4)
    names = [f"p{p}{side}" for p in range(6) for side in "abc"]
    votes = [
        (
            *(f"p{rng.integers(6)}"[:2] + side for side in pair),
            rng.choice(["a", "b", "tie"]),
            f"j{rng.integers(3)}",
            rng.choice(["a", "b"]),
        )
        for pair in rng.permuted(np.tile(list("abc"), (90, 1)), axis=1)[:, :2]
    ]
    votes = [(a, a[:2] + b[2], *rest) for a, b, *rest in votes]
    ratings = [(c, int(rng.integers(1, 6)), f"j{rng.integers(3)}") for c in names for _ in range(2)]
    outcomes = [(c, int(rng.integers(0, 3)), bool(rng.random() < 0.2)) for c in names[:9] for _ in range(2)]
    obs = encode(signals(votes, ratings, outcomes, annotators=["j0", "j1", "j2"]))
    ours = fit(obs, SamplerSettings(seed=1))
    assert ours.diagnostics.converged
    data = jax.tree.map(jnp.asarray, make_arrays(obs))
    start = {name: jnp.zeros(shape) for name, shape in trace_shapes(data, latent=True).items()}
    # From the model itself it would begin operation by operation, each compiled for itself: half a minute.
    potential = jax.jit(lambda at: potential_energy(run_model, (data,), {}, at))
    sampler = MCMC(
        NUTS(potential_fn=potential), num_warmup=400, num_samples=1000, num_chains=1, progress_bar=False
    )
    sampler.run(jax.random.PRNGKey(0), init_params=start)
    constrained = jax.jit(
        jax.vmap(lambda at: constrain_fn(run_model, (data,), {}, at, return_deterministic=True))
    )
    theirs = constrained(sampler.get_samples())
    assert ours.sites.keys() <= theirs.keys()
    for name in ours.sites:
        mine = ours.flatten(name).reshape(len(ours.flatten(name)), -1)
        other = np.asarray(theirs[name], dtype=float).reshape(1000, -1)
        sd = other.std(axis=0)
        # Some 400 independent draws of theirs at worst: errors of means 0.05 sd, of sds 0.04 sd.
        assert np.abs(mine.mean(axis=0) - other.mean(axis=0)).max() < 0.22 * sd.max(), name
        assert mine.std(axis=0) == pytest.approx(sd, rel=0.25), name


@pytest.fixture(scope="module")
def made():
    """Votes, ratings and turns of 24 named annotators on 120 completions, some of them adversarial."""
    size = Size(40, 3, annotators=24, votes=1000, ratings=300, outcomes=300, learners=30, adversarial=0.1)
    return simulate(np.random.default_rng(2), size, ordinary()).obs


@pytest.fixture(scope="module")
def crowd(made):
    """The normal approximation, and the chains that it was set beside: here on all rows, not on a part."""
    chains = []

    def kept(obs, settings):
        assert obs is made
        chains.append(fit(obs, settings))
        return chains[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large, "fit", kept)
        posterior = fit_by(made, SamplerSettings(seed=1, method="laplace"))
    return made, posterior, *chains


@pytest.mark.slow
def test_the_normal_approximation_says_what_the_chains_say(crowd):
    _, posterior, chains = crowd
    a = posterior.diagnostics.approximation
    assert a.settled
    assert a.completions == 120
    assert a.rank_correlation > 0.99
    assert a.p_difference < 0.03
    assert posterior.diagnostics.converged
    for name in ("e", "annotator_reliability", "vote_slope", "rho"):
        mine, theirs = posterior.flatten(name), chains.flatten(name)
        assert np.abs(mine.mean(axis=0) - theirs.mean(axis=0)).max() < theirs.std(axis=0).max(), name
        assert 0.6 < np.median(mine.std(axis=0) / theirs.std(axis=0)) < 1.4, name
    low, high = np.quantile(posterior.flatten("e"), [0.05, 0.95], axis=0)
    theirs = chains.flatten("e").mean(axis=0)
    assert ((low < theirs) & (theirs < high)).all()


@pytest.mark.slow
def test_a_quick_look_ranks_alike_and_is_marked(crowd):
    obs, posterior, _ = crowd
    quick = fit_by(obs, SamplerSettings(seed=1, method="map"))
    assert spearmanr(quick.flatten("e").mean(axis=0), posterior.flatten("e").mean(axis=0)).statistic > 0.98
    assert not quick.diagnostics.converged
    assert "--method auto" in quick.diagnostics.advice


def test_a_part_of_the_prompts_keeps_people_and_places(made):
    obs = made
    part = thin(obs, 800, seed=0)
    assert 500 < part.rows < 1100
    assert part.annotators.equals(obs.annotators)
    keys = part.completions["completion"].to_numpy()
    everything = obs.completions["completion"].to_numpy()
    of_part = set(keys)
    kept = [i for i, name in enumerate(everything[obs.votes.first]) if name in of_part]
    assert (everything[obs.votes.first[kept]] == keys[part.votes.first]).all()
    assert (everything[obs.votes.second[kept]] == keys[part.votes.second]).all()
    assert (obs.votes.counts[kept] == part.votes.counts).all()
    assert thin(obs, 10_000, seed=0) is obs


@given(st.integers(1, 10**7))
def test_rounded_sizes_hold_what_they_round(n):
    assert n <= round_up(n) <= max(8, 1.34 * n)


def test_authors_of_several_completions_differ_by_what_they_share():
    """Voted answers of two models on ten prompts; a third prompt's answers got no votes at all."""
    votes, names, authors = [], [], {}
    for n in range(10):
        a, b = f"q{n}a", f"q{n}b"
        votes += [(a, b, "a")] * 5 + [(a, b, "b")]
        authors |= {a: "good", b: "poor"}
    authors |= {"x0a": "good", "x0b": "poor", "x0c": "once"}
    names = sorted(authors)
    tables = signals(votes, completions=names)
    tables["completions"] = tables["completions"].with_columns(
        pl.Series("author", [authors[name] for name in names])
    )
    obs = encode(tables)
    assert obs.authors == ("good", "poor")  # who wrote one completion shares it with nobody
    assert obs.author[names.index("x0c")] == -1
    posterior = fit(obs, SamplerSettings(seed=0))
    e, o = draw_qualities(obs, posterior, 0)
    pairs = summarise_pairs(obs, posterior, e, o, target=0.0)
    p = pairs.filter(completion_a="x0a", completion_b="x0b")["p"].item()
    assert p > 0.7  # nobody voted here: it is the authors who tell
    found = summarise_fit(obs, posterior)["authors"]
    assert [(row["author"], row["completions"]) for row in found] == [("good", 11), ("poor", 11)]
    assert found[0]["expressed"]["mean"] > 0 > found[1]["expressed"]["mean"]
    unknown = encode(signals(votes, completions=names))
    assert unknown.authors == ()
    # Under other pseudonyms the same people stay in the same places.
    renamed = tables["completions"].with_columns(pl.col("author").replace({"good": "z", "poor": "a"}))
    again = encode(tables | {"completions": renamed})
    assert again.authors == ("z", "a")
    assert again.author.tolist() == obs.author.tolist()


def test_too_few_draws_are_not_converged_and_say_what_to_try():
    obs = encode(signals([("p1a", "p1b", "a"), ("p2a", "p2b", "b")]))
    posterior = fit(obs, SamplerSettings(warmup=50, draws=50, max_draws=50))
    assert not posterior.diagnostics.converged
    assert "try" in posterior.diagnostics.advice


@pytest.mark.parametrize(
    ("diverging", "tried"), [((0,), [0.8]), ((3, 0), [0.8, 0.9]), ((3, 2, 1), [0.8, 0.9, 0.95])]
)
def test_divergences_begin_anew_with_smaller_steps(monkeypatch, diverging, tried):
    accepted = []

    def draw(settings):
        accepted.append(settings.target_accept)
        verdict = Diagnostics(
            1.0, "e", 900.0, "e", diverging[len(accepted) - 1], 0.9, 4, 4, 750, 500, settings.target_accept
        )
        return Posterior({}, {}, verdict)

    monkeypatch.setattr(fit_module, "_draw", lambda _, task, *__: draw(task.settings))
    obs = encode(signals([("p1a", "p1b", "a")]))
    found = fit(obs, SamplerSettings()).diagnostics
    assert accepted == pytest.approx(tried)
    assert found.target_accept == pytest.approx(tried[-1])
    assert found.converged == (diverging[-1] == 0)
    if diverging[-1]:
        assert (
            found.advice == "1 divergent draws even at --target-accept 0.95: try 0.99, or a longer --warmup"
        )
