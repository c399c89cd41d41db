"""Leaving annotators out: weights beside refits, the command, exclusion, what forget says."""

import json

import numpy as np
import pytest

from preceptor.schemas.errors import FusionError
from preceptor.toolkit.fusion.fuse import fuse
from preceptor.toolkit.fusion.influence.influence import (
    measure_influence,
    needs_refit,
    read_fit,
    refit_without,
    weigh_without,
)
from preceptor.toolkit.fusion.influence.units import list_units
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query

PEOPLE = ("anna", "ben", "cleo", "dora", "eli", "finn")
AGAINST = "finn"  # votes against what the others say
QUICK = SamplerSettings(draws=500, max_draws=1500, warmup=300)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, preceptor):
    """A store of 16 prompts of two answers, judged by six people in two files, fitted; its folder."""
    folder = tmp_path_factory.mktemp("influence")
    random = np.random.default_rng(4)
    (folder / "texts.jsonl").write_text(
        "\n".join(
            json.dumps(
                {
                    "id": f"p{i}",
                    "task": "tutor",
                    "prompt": f"Why is {i} so?",
                    "completions": [{"id": f"p{i}-{c}", "content": f"Since {c}."} for c in "ab"],
                }
            )
            for i in range(16)
        )
    )
    for name, whom in (("votes", PEOPLE[:3]), ("more", PEOPLE[3:])):
        rows = ["completion_a,completion_b,choice,annotator"]
        for i in range(16):
            for who in whom:
                better = "a" if (i % 2 == 0) != (random.random() < 0.2) else "b"
                choice = better if who != AGAINST else {"a": "b", "b": "a"}[better]
                rows.append(f"p{i}-a,p{i}-b,{choice},{who}")
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    with open_store(folder / "preceptor.duckdb", create=True) as con:
        ingest_files(con, "prompts", [folder / "texts.jsonl"], "texts", license="CC0-1.0")
        for name in ("votes", "more"):
            ingest_files(con, "votes", [folder / f"{name}.csv"], name, license="CC0-1.0", about="texts")
        assert fuse(con, 0.0, settings=QUICK).converged
    return folder


@pytest.fixture
def stored(fitted):
    with open_store(fitted / "preceptor.duckdb", read_only=True) as con:
        yield con


@pytest.mark.slow
def test_weighted_draws_say_what_a_refit_says(stored, named):
    """One of six who all judged the same sixteen pairs is a hard case: the weights say so."""
    fit = read_fit(stored)
    unit = list_units(stored, fit.kept.obs, "annotator")[named("anna")]
    weighed = weigh_without(fit, unit)
    assert needs_refit(weighed)
    again = refit_without(stored, fit, unit)
    moved = weighed["without"].to_numpy() - weighed["p"].to_numpy()
    assert np.abs(again - weighed["without"].to_numpy()).mean() < 0.03
    assert np.corrcoef(moved, again - weighed["p"].to_numpy())[0, 1] > 0.8


@pytest.mark.slow
def test_units_of_every_kind_have_all_signals(stored, named):
    found = measure_influence(stored, refits=False)
    assert sorted(found.units["unit"]) == sorted(named(*PEOPLE))
    assert found.units["signals"].to_list() == [16] * 6
    assert found.changes["unit"].is_in(found.units["unit"].implode()).all()
    by_source = measure_influence(stored, "source", refits=False).units
    assert dict(by_source.select("unit", "signals").rows()) == {"votes": 48, "more": 48}
    with pytest.raises(FusionError, match="no campaigns to leave out"):
        measure_influence(stored, "campaign")


@pytest.mark.slow
def test_a_fit_says_how_it_predicts_votes_that_it_has_not_seen(stored):
    (found,) = query(stored, "SELECT findings->'predicts' AS p FROM fits")["p"]
    found = json.loads(found)
    assert (found["votes"], found["left_out"], found["decided"]) == (96, 96, 96)
    assert found["loss"] < found["uniform"]
    assert sum(one["n"] for one in found["curve"]) == 96
    assert 0 <= found["ece"] < 0.25
    assert found["refit"] < 0.1


@pytest.mark.slow
def test_the_command_exclude_and_include(fitted, preceptor, named, tmp_path):
    (tmp_path / "preceptor.duckdb").write_bytes((fitted / "preceptor.duckdb").read_bytes())
    done = preceptor("influence", "--no-refit", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    units = {one["unit"]: one for one in json.loads(done.stdout)["units"]}
    assert set(units) == set(named(*PEOPLE))
    wrong = preceptor("annotate", "exclude", named("finn")[:-1] + "x", cwd=tmp_path)
    assert wrong.returncode == 2
    assert f"did you mean '{named('finn')}'?" in wrong.stderr
    out = preceptor("annotate", "exclude", "finn", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith(f"{named('finn')}: excluded\n16 votes and ratings no longer count\nfit ")
    assert "of 16 pairs" in out.stdout
    assert named("finn") in preceptor("status", cwd=tmp_path).stdout.split("left out of fits")[1]
    stale = preceptor("influence", cwd=tmp_path)
    assert stale.returncode == 1
    assert "run preceptor fuse again" in stale.stderr
    fused = preceptor("fuse", "--method", "map", cwd=tmp_path)
    assert named("finn") in fused.stdout.split("excluded")[1]
    assert "80 votes" in fused.stdout
    with open_store(tmp_path / "preceptor.duckdb", read_only=True) as con:
        assert query(con, "SELECT count(*) FROM votes").item() == 96
        (config,) = query(con, "SELECT config FROM fits WHERE method = 'map'")["config"]
        assert json.loads(config)["excluded"] == [named("finn")]
    back = preceptor("annotate", "include", named("finn")[:8], cwd=tmp_path)
    assert back.stdout.startswith(f"{named('finn')}: included\n16 votes and ratings count again")
    again = preceptor("annotate", "include", "finn", cwd=tmp_path)
    assert again.stdout == f"{named('finn')}: was included already\n"
    forgot = preceptor("forget", "anna", cwd=tmp_path)
    assert "of 16 pairs" in forgot.stdout
    with open_store(tmp_path / "preceptor.duckdb", read_only=True) as con:
        assert query(con, "SELECT count(*) FROM draws").item() == 0
