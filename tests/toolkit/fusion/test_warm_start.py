"""A fit that begins where the chains of an earlier one ended."""

import csv
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from preceptor.tests.bench.fusion.simulate import Size, ordinary, simulate
from preceptor.toolkit.fusion.observations import thin
from preceptor.toolkit.fusion.sampling.fit import BLOCK, prepare
from preceptor.toolkit.fusion.sampling.hmc import MassMatrix, list_entries, make_sampler
from preceptor.toolkit.fusion.sampling.warm_start import Ends, record_ends, start_from
from preceptor.toolkit.store.connection import open_store, query


@pytest.fixture(scope="module")
def whole():
    size = Size(30, 3, annotators=9, votes=300, ratings=100, outcomes=120, learners=12)
    return simulate(np.random.default_rng(4), size, ordinary()).obs


def ended(obs, seed=0):
    """Chains that ended somewhere, with a metric of some shape."""
    data, shapes = prepare(obs)
    sampler = make_sampler(data, BLOCK)
    rng = np.random.default_rng(seed)
    root = np.tril(rng.normal(size=(sampler.globals, sampler.globals))) * 1e-3 + np.eye(sampler.globals)
    spread = np.exp(rng.normal(size=sampler.size - sampler.globals) - 4)
    last = rng.normal(size=(4, sampler.size))
    return sampler, shapes, last, MassMatrix(root, spread)


@pytest.mark.parametrize("text", [False, True])
def test_an_input_begins_where_it_ended(whole, text):
    if text:
        columns = np.random.default_rng(1).normal(size=(len(whole.prompt), 3))
        whole = replace(whole, text={"cheap": columns})
    sampler, shapes, last, metric = ended(whole)
    ends = Ends(record_ends(whole, sampler, shapes, last, metric), 13.0)
    begun = start_from(ends, whole, sampler, shapes, 4, 0)
    real = [column for column, *_ in list_entries(sampler.packing, shapes)]
    assert len(real) < sampler.size  # the rest is padding
    assert np.allclose(begun.at[:, real], last[:, real], rtol=1e-5)
    assert np.allclose(begun.metric.globals, metric.globals, atol=1e-4)
    known = np.array([column - sampler.globals for column in real if column >= sampler.globals])
    assert np.allclose(np.asarray(begun.metric.members)[known], metric.members[known], rtol=1e-5)
    assert begun.step == pytest.approx(2.6 / 13)
    six = start_from(ends, whole, sampler, shapes, 6, 0)
    assert np.allclose(six.at[4, real], last[0, real], rtol=1e-5)


def test_members_are_found_by_name_and_new_ones_start_at_their_priors(whole):
    part = thin(whole, 200, 3)
    assert 20 < len(part.prompt) < len(whole.prompt)
    sampler, shapes, last, metric = ended(part)
    named = {
        key: last[:, column]
        for column, site, place in list_entries(sampler.packing, shapes)
        if site == "own"
        for key in [part.completions["completion"][place]]
    }
    grown = make_sampler(prepare(whole)[0], BLOCK)
    begun = start_from(
        Ends(record_ends(part, sampler, shapes, last, metric), 10.0), whole, grown, prepare(whole)[1], 4, 0
    )
    new = []
    for column, site, place in list_entries(grown.packing, prepare(whole)[1]):
        if site == "own":
            key = whole.completions["completion"][place]
            if key in named:
                assert np.allclose(begun.at[:, column], named[key], rtol=1e-5)
            else:
                new.append(column)
    assert len(new) == len(whole.prompt) - len(part.prompt)
    assert np.abs(begun.at[:, new]).max() < 5
    assert np.allclose(np.asarray(begun.metric.members)[np.array(new) - grown.globals], 1)


@pytest.fixture(scope="module")
def part(sample, preceptor, tmp_path_factory):
    """A folder with a store of the sample's first twelve prompts and what was said of them."""
    folder = tmp_path_factory.mktemp("part")
    lines = (sample / "prompts.jsonl").read_text().splitlines(keepends=True)[:12]
    (folder / "prompts.jsonl").write_text("".join(lines))
    known = {c["id"] for line in lines for c in json.loads(line)["completions"]}
    votes = pl.read_csv(sample / "votes.csv").filter(pl.col("completion_a").is_in(known))
    votes.write_csv(folder / "votes.csv")
    for format, *about in (("prompts",), ("votes", "--about", "prompts")):
        (path,) = folder.glob(f"{format}.*")
        done = preceptor("ingest", format, path, "--source", format, *about, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_after_some_new_votes_a_fit_goes_on(part, preceptor, tmp_path):
    store = tmp_path / "preceptor.duckdb"
    store.write_bytes((part / "preceptor.duckdb").read_bytes())
    done = preceptor("fuse", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with open_store(store, read_only=True) as con:
        first = query(con, "SELECT key FROM fits")["key"].item()[:8]
    votes = pl.read_csv(part / "votes.csv").head(12)
    with (tmp_path / "more.csv").open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["completion_a", "completion_b", "choice", "annotator"])
        out.writerows(
            (v["completion_a"], v["completion_b"], v["choice"], v["annotator"]) for v in votes.to_dicts()
        )
    done = preceptor("ingest", "votes", "more.csv", "--source", "more", "--about", "prompts", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = preceptor("fuse", "--warm-start", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"begun where fit {first} ended" in " ".join(done.stdout.split())
    with open_store(store, read_only=True) as con:
        fits = query(con, "SELECT key, config, diagnostics FROM fits ORDER BY fitted_at").to_dicts()
        both = query(
            con,
            """SELECT cold.p, warm.p AS again FROM preferences cold
            JOIN preferences warm USING (completion_a, completion_b) WHERE cold.fit = ? AND warm.fit = ?""",
            [fit["key"] for fit in fits],
        )
        ends = query(con, "SELECT fit, count(*) AS n FROM chain_ends GROUP BY fit")
    cold, warm = (json.loads(fit["diagnostics"]) for fit in fits)
    assert warm["warmup"] < cold["warmup"]
    assert json.loads(fits[1]["config"])["warm_start"] == fits[0]["key"] == warm["warm_start"]
    assert spearmanr(both["p"], both["again"]).statistic > 0.97
    assert set(ends["fit"]) == {fit["key"] for fit in fits}
    assert ends["n"].n_unique() == 1  # nobody is new, so they end in as many numbers
    again = preceptor("fuse", "--warm-start", cwd=tmp_path)
    assert "already fitted" in again.stdout
    assert again.returncode == 0


def test_a_warm_start_needs_chains(part, preceptor):
    done = preceptor("fuse", "--warm-start", "--method", "map", cwd=part)
    assert done.returncode == 1
    assert "--warm-start is for chains" in done.stderr
