"""What holds for every type of signal: it is read, explained by the model, checked and named in words."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from numpyro import handlers

from preceptor.schemas.tables import SIGNALS, TABLES
from preceptor.tests.bench.fusion.simulate import Size, ordinary, simulate
from preceptor.toolkit.fusion.likelihoods.priors import LOG_PROBS
from preceptor.toolkit.fusion.likelihoods.registry import LIKELIHOODS
from preceptor.toolkit.fusion.model import collect_counts, make_arrays, run_model
from preceptor.toolkit.fusion.sampling.hmc import trace_shapes
from preceptor.toolkit.fusion.sampling.warm_start import _GROUPS
from preceptor.toolkit.ingest.formats import FORMATS

named = pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)


@pytest.fixture(scope="module")
def obs():
    size = Size(12, 3, annotators=4, learners=4, votes=60, ratings=60, outcomes=60)
    return simulate(np.random.default_rng(0), size, ordinary()).obs


def test_every_type_of_signal_has_a_likelihood():
    assert list(LIKELIHOODS) == [signal.name for signal in SIGNALS]


@named
def test_a_signal_is_ingested_about_completions_and_without_ids_of_people(signal):
    assert (FORMATS[signal.name].about, FORMATS[signal.name].people) == ("completions", True)


@named
def test_the_columns_of_a_signal_are_those_of_its_table(signal):
    columns = {column.name: column for column in signal.table.columns}
    assert TABLES[signal.name] is signal.table
    assert {*signal.completions, signal.person, *(c.name for c in signal.published)} <= columns.keys()
    assert {"source", "path", "line", "n", "at"} <= columns.keys()
    assert bool(signal.annotator) != bool(signal.learner)
    assert columns[signal.person].person == bool(signal.learner)


def test_every_row_has_a_log_probability_for_each_category(obs):
    data = jax.tree.map(jnp.asarray, make_arrays(obs))
    trace = handlers.trace(handlers.seed(run_model, jax.random.PRNGKey(0))).get_trace(data)
    counts = collect_counts(data)
    assert set(counts) == {part.site for part in obs.parts}
    for part in obs.parts:
        log_probs = np.asarray(trace[f"{LOG_PROBS}{part.site}"]["value"])
        assert log_probs.shape == counts[part.site].shape == (part.rows, len(part.categories))
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(counts[part.site], part.table)


def test_members_of_every_group_are_known_by_name(obs):
    sites = [name.removeprefix("z_") for name in trace_shapes(make_arrays(obs)) if name.startswith("z_")]
    assert len(sites) == 6
    assert {site.partition(":")[0] for site in sites} <= _GROUPS.keys()


def test_parameters_of_the_likelihoods_are_named_in_words(obs):
    single = {name.partition(":")[0] for name in trace_shapes(make_arrays(obs)) if name.startswith("tau_")}
    words = [name for likelihood in LIKELIHOODS.values() for name in likelihood.parameters]
    assert single <= set(words)


def test_thinning_keeps_whole_rows(obs):
    kept = np.zeros(obs.completions.height, dtype=bool)
    kept[obs.prompt < 6] = True
    for part in obs.parts:
        few = part.keep(kept, np.cumsum(kept) - 1)
        assert few.rows == kept[part.items[0]].sum() == len(few.table)
        assert all((index >= 0).all() and (index < kept.sum()).all() for index in few.items)


def test_counts_of_completions_are_columns_of_effectiveness():
    assert {signal.count for signal in SIGNALS} <= set(TABLES["effectiveness"].names)
    assert pl.Series([signal.kind for signal in SIGNALS]).is_unique().all()
