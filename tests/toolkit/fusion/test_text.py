"""What texts tell: a prior of expressed quality, expectations of what nobody judged, what length is worth."""

import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from preceptor.tests.bench.fusion.simulate import Size, ordinary, simulate
from preceptor.toolkit.fusion.methods import fit_by
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
from preceptor.toolkit.fusion.text.features import (
    make_components,
    scale_group,
    standardise,
    subtract_means,
    take_out,
)
from preceptor.toolkit.store.connection import open_store, query

JUDGED, UNJUDGED = 30, 6
QUICK = ("--warmup", "100", "--max-draws", "300")  # enough to see what is said; not to converge


def rows(store, sql):
    with open_store(store, read_only=True) as con:
        return query(con, sql)


def write_store(folder, preceptor):
    """Prompts of a short and a long answer; voters like the long one, but for one prompt in six; one voter is against all."""
    rng = np.random.default_rng(0)
    words = ["think", "of", "a", "drum", "you", "hear", "loud", "red", "seven", "trees", "my", "hill"]

    def text(n):
        return " ".join(rng.choice(words, n)).capitalize() + "."

    prompts = [
        {
            "id": f"p{i}",
            "task": "qa",
            "prompt": f"What is {text(3)}?",
            "completions": [
                {"id": f"p{i}-short", "content": text(rng.integers(4, 8))},
                {"id": f"p{i}-long", "content": text(rng.integers(16, 40))},
            ],
        }
        for i in range(JUDGED + UNJUDGED)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    votes = [
        (f"p{i}-short", f"p{i}-long", "a" if (i % 6 == 0) != (j == 3) else "b", f"judge-{j}")
        for i in range(JUDGED)
        for j in range(4)
    ]
    frame = pl.DataFrame(votes, schema=["completion_a", "completion_b", "choice", "annotator"], orient="row")
    frame.write_csv(folder / "votes.csv")
    for what in (("prompts", "prompts.jsonl"), ("votes", "votes.csv", "--about", "mine")):
        name = "mine" if what[0] == "prompts" else "mine-votes"
        done = preceptor("ingest", *what, "--source", name, "--license", "CC0-1.0", cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder / "preceptor.duckdb"


@pytest.fixture(scope="module")
def fits(tmp_path_factory, preceptor):
    """A folder, its store, and by way of fitting what `fuse` said."""
    folder = tmp_path_factory.mktemp("text")
    store = write_store(folder, preceptor)
    said = {}
    for way in ("", "--text", "--length-controlled"):
        asked = way.replace("--text", "--text cheap").split()
        said[way] = preceptor("fuse", *QUICK, "--target", "expressed", *asked, cwd=folder)
        assert "fit" in said[way].stdout, said[way].stderr
    return folder, store, said


def of_fit(store, where):
    """Effectiveness, preferences, config and findings of the fit of which `where` holds."""
    fit = rows(store, f"SELECT * FROM fits WHERE {where}")
    assert fit.height == 1
    key = fit["key"][0]
    return (
        rows(
            store,
            f"SELECT e.*, c.ref FROM effectiveness e JOIN completions c ON c.key = completion WHERE fit = '{key}'",
        ),
        rows(
            store,
            f"""SELECT f.* REPLACE (if(b.ref LIKE '%-long', 1 - p, p) AS p,
                if(b.ref LIKE '%-long', 1 - p_expressed, p_expressed) AS p_expressed,
                if(b.ref LIKE '%-long', 1 - p_text, p_text) AS p_text), q.ref
            FROM preferences f JOIN completions b ON b.key = completion_b JOIN prompts q ON q.key = f.prompt
            WHERE fit = '{key}'""",
        ),  # p: that the long one is better
        json.loads(fit["config"][0]),
        json.loads(fit["findings"][0]),
    )


PLAIN = "NOT json_exists(config, '$.text') AND NOT json_exists(config, '$.length_controlled')"
TEXT = "json_exists(config, '$.text') AND NOT json_exists(config, '$.length_controlled')"
CONTROLLED = "NOT json_exists(config, '$.text') AND json_exists(config, '$.length_controlled')"
UNHEARD = [f"p{i}" for i in range(JUDGED, JUDGED + UNJUDGED)]


@pytest.mark.slow
def test_without_text_nothing_is_read_and_nothing_expected(fits):
    _, store, said = fits
    effects, pairs, config, findings = of_fit(store, PLAIN)
    assert set(effects["basis"]) == {"signals"}
    assert effects.height == 2 * JUDGED
    assert pairs["p_text"].is_null().all()
    assert not {"text", "length_controlled"} & set(config)
    assert "text_share" not in findings["parameters"]
    assert not re.search(r"^ *text ", said[""].stdout, re.M)


@pytest.mark.slow
def test_what_nobody_judged_gets_an_expectation_with_an_honest_width(fits):
    _, store, said = fits
    effects, pairs, config, findings = of_fit(store, TEXT)
    assert config["text"]["features"] == "cheap"
    assert config["text"]["digest"]
    alone = effects.filter(basis="text")
    assert alone.height == 2 * UNJUDGED == findings["text_alone"]
    assert set(alone["ref"].str.extract(r"(p\d+)")) == set(UNHEARD)
    heard = effects.filter(basis="signals")
    assert alone["expressed_sd"].mean() > 1.1 * heard["expressed_sd"].mean()
    assert alone["expressed_sd"].max() < 1.3
    unheard = pairs.filter(pl.col("ref").is_in(UNHEARD))
    assert unheard["p_expressed"].mean() > 0.65  # long ones, as of the other prompts
    assert np.abs(unheard["p_expressed"] - unheard["p_text"]).max() < 0.1
    assert unheard["information_gain"].min() > 0
    against = pairs.filter(~pl.col("ref").is_in(UNHEARD), pl.col("p_expressed") < 0.3)
    assert against.height  # where voters liked the short one, votes outweigh texts
    assert against["p_text"].mean() > 0.5
    assert f"{2 * UNJUDGED} completions that nobody judged stand on it alone" in " ".join(
        said["--text"].stdout.split()
    )


@pytest.mark.slow
def test_what_length_is_worth_is_said_by_every_fit_alike(fits):
    _, store, said = fits
    worth = {where: of_fit(store, where)[3]["length"]["votes"] for where in (PLAIN, TEXT, CONTROLLED)}
    exact = worth[CONTROLLED]
    assert exact["low"] > 0
    for one in worth.values():
        assert one["low"] > 0
        assert one["mean"] == pytest.approx(exact["mean"], abs=0.4 * (exact["high"] - exact["low"]))
    assert all("they like it long" in " ".join(one.stdout.split()) for one in said.values())


@pytest.mark.slow
def test_length_is_taken_out_of_the_target_alone(fits):
    _, store, said = fits
    _, before, _, _ = of_fit(store, PLAIN)
    _, pairs, _, findings = of_fit(store, CONTROLLED)
    assert before["p"].mean() > 0.65
    assert pairs["p_expressed"].mean() > 0.65
    assert pairs["p"].mean() == pytest.approx(0.5, abs=0.12)
    assert findings["length"]["controlled"]
    assert 0 <= findings["length"]["turned"] <= findings["length"]["decided"] <= JUDGED
    assert "taken out of the target" in " ".join(said["--length-controlled"].stdout.split())


RECIPE = """name: mine
pairs: {{policy: best-worst, min_confidence: 0.5{more}}}
splits: {{train: 1, validation: 0, test: 0}}
configs: [preference]
"""


@pytest.mark.slow
def test_what_nobody_judged_is_built_only_if_the_recipe_says_so(fits, tmp_path, preceptor):
    _, store, _ = fits
    kept = tmp_path / "preceptor.duckdb"
    kept.write_bytes(store.read_bytes())
    with open_store(kept) as con:
        con.execute(
            "UPDATE fits SET converged = true, diagnostics = json_merge_patch(diagnostics, "
            '\'{"converged": true, "r_hat_max": 1.0, "ess_min": 1000}\')'
        )
        (fit,), (plain,) = (con.execute(f"SELECT key FROM fits WHERE {w}").fetchone() for w in (TEXT, PLAIN))
    for n, more in enumerate(("", ", unjudged: true")):
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(more=more))
        out = f"out{n}"
        done = preceptor("build", "recipe.yaml", "--out", out, "--fit", fit, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        card = (tmp_path / out / "README.md").read_text()
        assert "Labels were not controlled for length." in card
        assert "Texts were read, too (cheap features)" in card
        assert ("were taken" in card) == bool(more)
        texts = pl.read_parquet(tmp_path / out / "preference_meta" / "train.parquet").height
        assert texts == JUDGED + (UNJUDGED if more else 0)
    refused = preceptor("build", "recipe.yaml", "--out", "out9", "--fit", plain, cwd=tmp_path)
    assert refused.returncode == 2
    assert "pairs.unjudged needs a fit that has read texts" in refused.stderr
    assert "preceptor fuse --text" in refused.stderr
    (tmp_path / "recipe.yaml").write_text(
        RECIPE.format(more=", unjudged: true").replace("best-worst", "right-over-wrong")
    )
    refused = preceptor("build", "recipe.yaml", "--out", "out9", cwd=tmp_path)
    assert "unjudged has no effect with policy 'right-over-wrong'" in refused.stderr
    assert not (tmp_path / "out9").exists()


@pytest.mark.parametrize("method", ["map", "hmc"])
def test_every_method_learns_what_texts_explain(method):
    size = Size(40, 2, annotators=6, votes=300)
    made = simulate(np.random.default_rng(3), size, ordinary())
    rng = np.random.default_rng(4)
    said = made.truth["e"] + 0.5 * rng.normal(size=size.items)
    features = scale_group(standardise(np.stack([said, *rng.normal(size=(3, size.items))], axis=1)))
    how = SamplerSettings(method=method, warmup=100, draws=200, max_draws=200)
    posterior = fit_by(replace(made.obs, text={"made": features}), how)
    weights = posterior.flatten("text_weight:made").mean(axis=0)
    assert weights[0] > 0.25
    assert np.abs(weights[1:]).max() < 0.25
    assert 0.1 < posterior.flatten("text_share").mean() < 0.9
    assert np.corrcoef(posterior.flatten("e").mean(axis=0), made.truth["e"])[0, 1] > 0.8
    assert not np.allclose(posterior.flatten("own"), posterior.flatten("text_mean"))


@given(
    arrays(float, (12, 5), elements=st.floats(-1e3, 1e3, width=32)),
    arrays(np.int64, 12, elements=st.integers(0, 4)),
)
def test_features_are_centred_in_their_prompt_and_of_one_size(features, prompt):
    prompt = np.unique(prompt, return_inverse=True)[1]
    centred = subtract_means(features, prompt)
    for k in range(prompt.max() + 1):
        assert np.allclose(centred[prompt == k].sum(axis=0), 0, atol=1e-6)
    scaled = scale_group(standardise(centred))
    assert np.isfinite(scaled).all()
    assert not scaled.any() or np.square(scaled).sum(axis=1).mean() == pytest.approx(1)
    known = centred[:, :1]
    assert np.allclose(known.T @ take_out(centred, known), 0, atol=1e-3 * max(1, np.square(known).sum()))


def test_components_are_whitened_and_their_signs_are_fixed():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 30)) @ rng.normal(size=(30, 30))
    features -= features.mean(axis=0)
    found = make_components(features, 6)
    assert np.allclose(found.T @ found / 200, np.eye(6), atol=1e-8)
    assert np.allclose(make_components(features[::-1], 6)[::-1], found)
    assert make_components(np.zeros((10, 30))).shape == (10, 0)
