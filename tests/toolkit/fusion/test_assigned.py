"""Explanations drawn by chance beside those that learners chose: what a fit makes of either, and says of both."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from preceptor.schemas.recipe import Recipe
from preceptor.schemas.tables import ASSIGNMENTS
from preceptor.toolkit.cli.dataset.fuse_assigned import describe_assigned
from preceptor.toolkit.cli.store.why import _lines as describe_row
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.why import why
from preceptor.toolkit.fusion.fuse import fuse
from preceptor.toolkit.fusion.influence.units import list_units
from preceptor.toolkit.fusion.inputs.read import read_input
from preceptor.toolkit.fusion.inputs.signals import hash_inputs, read_signals
from preceptor.toolkit.fusion.model import make_arrays
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
from preceptor.toolkit.fusion.sampling.hmc import trace_shapes
from preceptor.toolkit.fusion.sampling.warm_start import _members
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.report.page import render_report
from preceptor.toolkit.store.connection import insert, open_store, query, run

TERMS, STRONG = 8, 12
QUICK = SamplerSettings(method="map")
AT = datetime(2026, 5, 1, tzinfo=UTC)


def write_inputs(folder):
    """In the log explanation a succeeds, in the study b; a third one is only rated, and a fourth by nobody."""
    prompts = [
        {"id": f"t{t}", "task": "mnemonic", "prompt": f"term {t}",
         "completions": [{"id": f"t{t}-{side}", "content": f"explanation {side} of {t}"} for side in "abc"]}
        for t in range(TERMS)
    ]  # fmt: skip
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    for name, better in (("log", "a"), ("study", "b")):
        rows = [
            {"completion": f"t{t}-{side}", "learner": f"{name}-{n}-{t}-{side}", "measure": "success",
             "value": int(n < (STRONG - 2 if side == better else 3))}
            for t in range(TERMS) for side in "ab" for n in range(STRONG)
        ]  # fmt: skip
        pl.DataFrame(rows).write_csv(folder / f"{name}.csv")
    ratings = [{"completion": f"t{t}-c", "criterion": "clear", "value": 3, "levels": 5} for t in range(TERMS)]
    pl.DataFrame(ratings).write_csv(folder / "ratings.csv")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with a log and a study of the same explanations, and no assignments yet."""
    folder = tmp_path_factory.mktemp("assigned")
    write_inputs(folder)
    with open_store(folder / "preceptor.duckdb", create=True) as con:
        ingest_files(con, "prompts", [folder / "prompts.jsonl"], "texts", license="CC-BY-4.0")
        for name in ("log", "study"):
            ingest_files(con, "outcomes", [folder / f"{name}.csv"], name, about="texts", license="CC-BY-4.0")
        ingest_files(con, "ratings", [folder / "ratings.csv"], "ratings", about="texts", license="CC-BY-4.0")
        yield con


@pytest.fixture
def assign(store):
    """Say that the study's explanations were drawn, with the given propensity and chances."""

    def write(propensity=0.5, fits=(None,)):
        rows = query(
            store,
            """SELECT o.source, o.learner, o.completion, c.prompt, c.ref AS arm, o.path, o.line
            FROM outcomes o JOIN completions c ON c.key = o.completion WHERE o.source = 'study' ORDER BY o.key""",
        )
        run(store, "DELETE FROM assignments")
        insert(
            store,
            ASSIGNMENTS,
            rows.with_columns(
                pl.col("prompt").alias("item"),
                pl.lit(propensity).alias("propensity"),
                pl.lit('{"a": 0.5, "b": 0.5}').alias("chances"),
                pl.lit("uniform").alias("policy"),
                pl.Series("fit", [fits[n % len(fits)] for n in range(rows.height)], dtype=pl.String),
                pl.lit(False).alias("knew"),
                pl.lit("c").alias("consent"),
                pl.lit(AT).alias("at"),
                pl.lit(None, pl.Datetime("us", "UTC")).alias("both_at"),
            ),
        )

    yield write
    run(store, "DELETE FROM assignments")


def read_b_over_a(store, fit):
    """Mean P(b helps more than a) over terms."""
    rows = query(
        store,
        """SELECT if(a.ref LIKE '%-a', 1 - p_observed, p_observed) AS p FROM preferences p
        JOIN completions a ON a.key = p.completion_a JOIN completions b ON b.key = p.completion_b
        WHERE p.fit = ? AND NOT (a.ref LIKE '%-c' OR b.ref LIKE '%-c')""",
        [fit.key],
    )
    assert rows.height == TERMS
    return rows["p"].mean()


@pytest.mark.slow
def test_drawn_outcomes_count_for_more_than_a_log_that_contradicts_them(store, assign):
    blind = fuse(store, 1.0, settings=QUICK)
    assert blind.findings["assigned"]["drawn"] == 0
    assert "none of 384 outcomes" in describe_assigned(blind.findings["assigned"])
    assert 0.2 < read_b_over_a(store, blind) < 0.8  # the two cancel out
    assign()
    seeing = fuse(store, 1.0, settings=QUICK)
    found = seeing.findings["assigned"]
    assert read_b_over_a(store, seeing) > 0.85
    assert (found["drawn"], found["logged"]) == (TERMS * 2 * STRONG, TERMS * 2 * STRONG)
    assert found["pairs"] == {"drawn": TERMS, "judged": 2 * TERMS}
    assert found["prompts"] == {"drawn": TERMS}
    assert found["misled"]["success"]["low"] > 0.3
    words = describe_assigned(found)
    assert "192 outcomes of explanations drawn by chance, 192 of others" in words
    assert "8 drawn on both sides: causal, 16 on votes and ratings alone" in words
    bases = query(
        store, "SELECT basis, count(*) AS n FROM preferences WHERE fit = ? GROUP BY ALL", [seeing.key]
    )
    assert dict(bases.rows()) == {"drawn": TERMS, "judged": 2 * TERMS}
    page = render_report(store, seeing.key)
    assert "What the labels stand on" in page
    assert "192 outcomes of explanations that were drawn by chance" in page
    assert "None of 384 outcomes" in render_report(store, blind.key)


def test_without_assignments_a_fit_reads_what_it_read(store):
    outcomes = read_signals(store, [])["outcomes"]
    assert "draw" not in outcomes.columns
    assert not {"logged", "stratum"} & make_arrays(encode(read_signals(store, [])))["outcomes:success"].keys()


def test_an_explanation_that_could_not_have_been_another_is_not_drawn(store, assign):
    before = hash_inputs(read_signals(store, []))
    assign(propensity=1.0)
    assert hash_inputs(read_signals(store, [])) == before
    assign()
    assert hash_inputs(read_signals(store, [])) != before


def test_learners_are_compared_with_those_drawn_at_the_same_chances(store, assign):
    assign(fits=(None, "f1", "f2"))
    (part,) = read_input(store, [], False).obs.outcomes
    assert part.strata == ("study f1", "study f2", "study uniform")
    assert set(part.stratum[part.drawn == 1]) == {0, 1, 2}
    assert set(part.stratum[part.drawn == 0]) == {-1}
    assign(fits=("f1",))  # the level of the measure is enough
    (part,) = read_input(store, [], False).obs.outcomes
    assert part.strata == ()


def test_members_of_what_assignment_adds_are_known_by_name(store, assign):
    assign(fits=("f1", "f2"))
    obs = read_input(store, [], False).obs
    shapes = trace_shapes(make_arrays(obs))
    for site, size in (("z_outcome_bias:success", 2 * TERMS), ("z_outcome_stratum:success", 2)):
        assert shapes[site] == (size,)
        assert len(set(_members(obs, site))) == size


def test_each_source_is_left_out_with_the_rows_that_it_gave(store, assign):
    assign(fits=("f1", "f2"))
    obs = read_input(store, [], False).obs
    units = list_units(store, obs, "source")
    (part,) = obs.outcomes
    for name, drawn in (("study", 1), ("log", 0)):
        counts = units[name]["outcomes:success"]
        np.testing.assert_array_equal(counts, np.where((part.drawn == drawn)[:, None], part.table, 0))


@pytest.mark.slow
def test_a_dataset_says_what_its_labels_stand_on(store, assign, tmp_path):
    assign()
    fit = fuse(store, 1.0, settings=QUICK)
    ((found,),) = run(store, "SELECT diagnostics FROM fits WHERE key = ?", [fit.key])
    passed = json.loads(found) | {"r_hat_max": 1.0, "ess_min": 900, "divergences": 0, "converged": True}
    run(store, "UPDATE fits SET diagnostics = ? WHERE key = ?", [json.dumps(passed), fit.key])
    recipe = Recipe.model_validate(
        {
            "name": "x",
            "target": 1,
            "pairs": {"policy": "all", "min_confidence": 0.5, "eligible": "basis = 'drawn'"},
        }
    )
    build(store, recipe, tmp_path / "out", fit.key)
    meta = pl.concat([pl.read_parquet(file) for file in (tmp_path / "out/preference_meta").glob("*.parquet")])
    assert meta["basis"].to_list() == ["drawn"] * TERMS
    card = (tmp_path / "out/README.md").read_text()
    assert "192 are of answers that learners got by chance (randomised) and 192 of answers" in card
    assert "| drawn | 8 | learners tried both answers, drawn by chance" in card
    row = why(store, meta["key"][0], [tmp_path / "out"])
    assert any("drawn by chance" in line for line in describe_row(row))
