"""Influence weighs a fit's draws with the input that the fit had: copies dropped, texts read, length taken out."""

import json

import numpy as np
import pytest

from preceptor.toolkit.fusion.fuse import fuse
from preceptor.toolkit.fusion.influence.influence import measure_influence, read_fit
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store

QUICK = SamplerSettings(draws=500, max_draws=1500, warmup=300)
PROMPTS = 24


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Votes of four people and of two models that say the same, on short and long answers."""
    folder = tmp_path_factory.mktemp("same")
    random = np.random.default_rng(3)
    rows = ["completion_a,completion_b,choice,annotator,kind"]
    texts = []
    for i in range(PROMPTS):
        sides = {"a": "Since it is so.", "b": "Since it is so, " + "and so on " * (1 + i % 4)}
        texts.append(
            {
                "id": f"p{i}",
                "task": "tutor",
                "prompt": f"Why is {i} so?",
                "completions": [{"id": f"p{i}-{side}", "content": said} for side, said in sides.items()],
            }
        )
        rows += [
            f"p{i}-a,p{i}-b,{'b' if random.random() < 0.75 else 'a'},{who},crowd"
            for who in ("anna", "ben", "cleo", "dora")
        ]
        model = "a" if random.random() < 0.6 else "b"
        rows += [f"p{i}-a,p{i}-b,{model},gpt-{n},model" for n in "xy"]
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    (folder / "votes.csv").write_text("\n".join(rows) + "\n")
    with open_store(folder / "preceptor.duckdb", create=True) as con:
        ingest_files(con, "prompts", [folder / "texts.jsonl"], "texts", license="CC0-1.0")
        ingest_files(con, "votes", [folder / "votes.csv"], "votes", license="CC0-1.0", about="texts")
    return folder / "preceptor.duckdb"


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{}, {"text": "cheap"}, {"text": "cheap", "length_controlled": True}])
def test_kept_draws_give_the_fit_s_own_p(store, asked):
    with open_store(store) as con:
        made = fuse(con, 0.0, settings=QUICK, **asked)
        assert made.converged, made.advice
        assert made.findings["judges"]["copies"] == [["gpt-x", "gpt-y"]]
    with open_store(store, read_only=True) as con:
        stored = read_fit(con)
        assert stored.key == made.key
        assert stored.kept.obs.votes.counts.sum() == PROMPTS * 5
        ours = (stored.drawn[:, stored.places.a] > stored.drawn[:, stored.places.b]).mean(axis=0)
        assert np.abs(ours - stored.pairs["p"].to_numpy()).max() < 0.06
        found = measure_influence(con, refits=False)
    assert dict(found.units.select("unit", "signals").rows())["gpt-x"] == PROMPTS
